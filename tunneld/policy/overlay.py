"""Laying changed objects over a directory: checked together, put in together, or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tunneld.policy.directory import Directory, Tenant
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, Conflict, GraphObject

_MODULUS = 1 << 128
_PLACES = {name: place for place, name in enumerate(KINDS)}


def change_directory(directory: Directory, changes: Sequence[Change]) -> Directory | Conflict:
    """Return the directory after all `changes`, or the first contradiction; then nothing is changed.

    Each object is checked against the directory as it is after all of them, so that a plan may add objects that
    need each other.
    """
    changed = put_objects(directory, changes)
    for change in changes:
        ref, kind = change.ref, KINDS[change.ref.kind]
        if change.value is None:
            conflict = kind.check_delete(changed, ref.tenant_id, ref.id)
        else:
            conflict = kind.check(changed, ref.tenant_id, change.value)
        if conflict is not None:
            return conflict
    return changed


def put_objects(directory: Directory, changes: Iterable[Change]) -> Directory:
    """Return the directory with objects that were accepted before. Costs one copy of each mapping that is touched."""
    grouped: dict[str, dict[str, dict[str, GraphObject | None]]] = {}
    for change in changes:
        ref = change.ref
        if ref.tenant_id in directory.tenants:  # a tenant may have left the file since
            grouped.setdefault(ref.tenant_id, {}).setdefault(ref.kind, {})[ref.id] = change.value
    for tenant_id, kinds in grouped.items():
        for kind, values in kinds.items():
            directory = with_tenant(directory, _with_objects(directory.tenants[tenant_id], kind, values))
    for tenant_id, kinds in grouped.items():
        # In the table's order: what others refer to is compiled before them, however a plan was written down.
        for kind in sorted(kinds, key=_PLACES.__getitem__):
            directory = KINDS[kind].put(directory, tenant_id, kinds[kind])
    return directory


def with_tenant(directory: Directory, tenant: Tenant) -> Directory:
    """Return the directory with a tenant replaced."""
    return replace(directory, tenants={**directory.tenants, tenant.id: tenant})


def _with_objects(tenant: Tenant, kind: str, values: Mapping[str, GraphObject | None]) -> Tenant:
    before = tenant.objects.get(kind, {})
    after = dict(before)
    total = int(tenant.version, 16) if tenant.version else 0
    for object_id, value in values.items():
        old = after.pop(object_id, None)
        if old is not None:
            total -= _digest(kind, object_id, old)
        if value is not None:
            after[object_id] = value
            total += _digest(kind, object_id, value)
    return replace(tenant, objects={**tenant.objects, kind: after}, version=f"{total % _MODULUS:032x}")


def _digest(kind: str, object_id: str, value: GraphObject) -> int:
    """A number per object; their sum fingerprints the set whatever the order of writes was."""
    body = json.dumps(value.stored(), sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(f"{kind}\0{object_id}\0{body}".encode()).digest()
    return int.from_bytes(digest[:16])
