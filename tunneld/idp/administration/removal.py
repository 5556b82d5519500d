"""Deleting a user so that it can be restored for 30 days."""

from __future__ import annotations

from tunneld.idp.graph.history import deleted_object
from tunneld.policy.deleted_objects import DELETED_USER
from tunneld.policy.objects import Change, GraphObject, ObjectRef


def removal(tenant_id: str, value: GraphObject | None, oid: str, now: int) -> list[Change]:
    """Return the changes that delete a user and keep what restoring needs; none when there is no such user."""
    if value is None:
        return []
    kept = deleted_object(value, oid, now)
    return [Change(ObjectRef(tenant_id, "user", oid), None), Change(ObjectRef(tenant_id, DELETED_USER.name, oid), kept)]
