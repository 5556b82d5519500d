"""From the steps of a synchronization cycle to changes: users in the target, and what the job remembers of them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from tunneld.idp.changes import Actor, AuditEntry, AuditTarget
from tunneld.idp.guests.guest_objects import accepted, bound_at_home, own_domain, removed, written
from tunneld.policy.deleted_objects import DELETED_USER, DeletedObject
from tunneld.policy.directory import Directory, Tenant
from tunneld.policy.directory_places import returning
from tunneld.policy.guests.names import guest_principal_name
from tunneld.policy.guests.synchronization import Action, Step, UserValues
from tunneld.policy.guests.synchronization_job import SYNCHRONIZATION_ENTRY, SynchronizationEntry
from tunneld.policy.objects import Change, ObjectRef
from tunneld.policy.overlay import put_objects

_ACTIVITIES = {
    Action.CREATE: "Add user", Action.UPDATE: "Update user", Action.DISABLE: "Disable account",
    Action.DELETE: "Delete user", Action.RESTORE: "Restore user", Action.FORGET: "Hard Delete user",
}  # fmt: skip


def changes_of(
    directory: Directory, key: tuple[str, str], step: Step, *, now: int, names: set[str], before: Sequence[Change] = ()
) -> list[Change]:
    """Return what a step writes, after what the steps `before` it in its batch write.

    `names` holds the principal names that this batch has given away.
    """
    source, target = key[0], directory.tenants[key[1]]
    if step.action is Action.SKIP:
        return [_remembered(source, step.entry)] if step.entry is not None else []
    if step.action is Action.FORGET:
        return _forgotten(directory, key, step)
    if step.action is Action.DELETE:
        assert step.target_id is not None
        assert step.entry is not None
        return [*removed(directory, target.id, step.target_id, now, before=before), _remembered(source, step.entry)]
    assert step.values is not None
    assert step.entry is not None
    oid = step.target_id or str(uuid.uuid4())
    changes, part = [], _pushed(step.values)
    kept = target.object(DELETED_USER.name, oid) if step.action is Action.RESTORE else None
    if isinstance(kept, DeletedObject):
        part = {**kept.value, **part}
        changes.append(Change(ObjectRef(target.id, DELETED_USER.name, oid), None))
        changes += returning(put_objects(directory, before), target.id, kept)
    elif step.action in (Action.CREATE, Action.RESTORE):  # an administrator may have deleted it for good
        part = {**_new(target, step, names, now), **part}
    value = written(directory, target.id, oid, part)
    entry = step.entry.model_copy(update={"target_id": oid})
    return [*changes, Change(ObjectRef(target.id, "user", oid), value), _remembered(source, entry)]


def record_of(key: tuple[str, str], step: Step, actor: Actor) -> AuditEntry:
    """Return the target's audit record of a step."""
    target = AuditTarget(step.target_id or "", step.name, "User")
    return AuditEntry(
        _ACTIVITIES[step.action], "UserManagement", key[1], actor, (target,),
        details={"sourceTenantId": key[0], "sourceObjectId": step.source[1], "because": step.reason},
    )


def _pushed(values: UserValues) -> dict[str, Any]:
    members: dict[str, Any] = {
        "displayName": values.display_name, "mail": values.mail, "accountEnabled": values.enabled, **values.attributes,
    }
    if values.user_type is not None:
        members["userType"] = str(values.user_type).capitalize()
    return members


def _new(target: Tenant, step: Step, names: set[str], now: int) -> dict[str, Any]:
    assert step.values is not None
    taken = {user.upn.lower() for user in target.users.values()} | names
    upn = guest_principal_name(step.values.upn, own_domain(target), taken)
    names.add(upn.lower())
    return {
        "userPrincipalName": upn, "creationType": "Invitation", **accepted(now), **bound_at_home(),
        "alternativeSecurityId": {"tenantId": step.source[0], "objectId": step.source[1]},
    }


def _forgotten(directory: Directory, key: tuple[str, str], step: Step) -> list[Change]:
    changes = [Change(ObjectRef(key[0], SYNCHRONIZATION_ENTRY.name, f"{key[1]}~{step.source[1]}"), None)]
    if step.target_id and directory.tenants[key[1]].object(DELETED_USER.name, step.target_id) is not None:
        changes.append(Change(ObjectRef(key[1], DELETED_USER.name, step.target_id), None))
    return changes


def _remembered(source: str, entry: SynchronizationEntry) -> Change:
    return Change(ObjectRef(source, SYNCHRONIZATION_ENTRY.name, entry.id), entry)
