"""Reading objects as the API shows them, those that only the directory document has included."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tunneld.policy.directory import Directory
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import GraphObject, ObjectRef


def view(directory: Directory, tenant_id: str, kind: str, object_id: str) -> GraphObject | None:
    """Return one object, None when the tenant has no such."""
    if tenant_id not in directory.tenants:
        return None
    wanted = object_id.lower()
    stored = directory.tenants[tenant_id].objects.get(kind, {}).get(wanted)
    if stored is not None:
        return stored
    return KINDS[kind].implied(directory, tenant_id, wanted)


def view_all(directory: Directory, tenant_id: str, kind: str) -> Iterator[GraphObject]:
    """Yield every object of a kind, in the order of their ids."""
    tenant = directory.tenants.get(tenant_id)
    if tenant is None:
        return
    ids = {*tenant.objects.get(kind, ()), *KINDS[kind].implied_ids(directory, tenant_id)}
    for object_id in sorted(ids):
        found = view(directory, tenant_id, kind, object_id)
        if found is not None:
            yield found


def fingerprint(value: GraphObject) -> str:
    """Return what changes whenever the object as shown changes: the opaque part of its ETag (RFC 9110 §8.8.3)."""
    return _digest(value.to_json())


def fingerprint_of(directory: Directory, ref: ObjectRef) -> str:
    """Return the fingerprint of an object in its present form, "" when there is none.

    What is never shown counts here: a password or an end of all sessions must not be lost to a write that was
    made up before it. Without such members it is `fingerprint`.
    """
    value = view(directory, ref.tenant_id, ref.kind, ref.id)
    return "" if value is None else _digest(value.stored())


def _digest(document: Mapping[str, Any]) -> str:  # JSON
    body = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(body.encode()).hexdigest()[:32]
