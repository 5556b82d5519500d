"""The table of object kinds. A new kind is a module of its own and one line here."""

from __future__ import annotations

from tunneld.policy.objects import ObjectKind

_ALL: tuple[ObjectKind, ...] = ()

KINDS: dict[str, ObjectKind] = {kind.name: kind for kind in _ALL}
