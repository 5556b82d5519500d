"""What RFC 8259 leaves open and every reader of ours refuses: a member twice, and numbers that are none."""

from __future__ import annotations

from typing import Any, NoReturn


class DuplicateMemberError(ValueError):
    """Two members of one object have the same name."""


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object of its members, for `object_pairs_hook`. Raises DuplicateMemberError.

    RFC 8259 §4 leaves a repeated name undefined: two readers would read two things.
    """
    members = dict(pairs)
    if len(members) != len(pairs):
        raise DuplicateMemberError("a member is written twice in one object")
    return members


def no_constant(name: str) -> NoReturn:
    """Refuse NaN and infinities (RFC 8259 §6), for `parse_constant`."""
    raise ValueError(f"{name} is not JSON")
