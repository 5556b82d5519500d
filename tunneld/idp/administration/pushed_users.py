"""From the steps of a synchronization cycle to changes: users in the target, and what the job remembers of them."""

from __future__ import annotations

import json
import uuid
from typing import Any

from tunneld.idp.administration.removal import removal
from tunneld.idp.changes import Actor, AuditEntry, AuditTarget
from tunneld.policy.deleted_objects import DELETED_USER, DeletedObject
from tunneld.policy.directory import Directory, Tenant
from tunneld.policy.guests.names import guest_principal_name
from tunneld.policy.guests.synchronization import Action, Step, UserValues
from tunneld.policy.guests.synchronization_job import SYNCHRONIZATION_ENTRY, SynchronizationEntry
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, GraphObject, ObjectRef
from tunneld.policy.views import view

_ACTIVITIES = {
    Action.CREATE: "Add user", Action.UPDATE: "Update user", Action.DISABLE: "Disable account",
    Action.DELETE: "Delete user", Action.RESTORE: "Restore user", Action.FORGET: "Hard Delete user",
}  # fmt: skip


def changes_of(
    directory: Directory, key: tuple[str, str], step: Step, *, now: int, names: set[str]
) -> list[Change]:
    """Return what a step writes. `names` holds the principal names that this batch has given away."""
    source, target = key[0], directory.tenants[key[1]]
    if step.action is Action.SKIP:
        return [_remembered(source, step.entry)] if step.entry is not None else []
    if step.action is Action.FORGET:
        return _forgotten(directory, key, step)
    if step.action is Action.DELETE:
        assert step.target_id is not None
        assert step.entry is not None
        value = view(directory, target.id, "user", step.target_id)
        return [*removal(target.id, value, step.target_id, now), _remembered(source, step.entry)]
    assert step.values is not None
    assert step.entry is not None
    oid = step.target_id or str(uuid.uuid4())
    changes = []
    if step.action is Action.CREATE:
        document = _new(target, step, oid, names)
    else:
        document = _present(directory, target, oid)
        if step.action is Action.RESTORE:
            changes.append(Change(ObjectRef(target.id, DELETED_USER.name, oid), None))
    value = user_object({**document, **_pushed(step.values)})
    entry = step.entry.model_copy(update={"target_id": oid})
    return [*changes, Change(ObjectRef(target.id, "user", oid), value), _remembered(source, entry)]


def record_of(key: tuple[str, str], step: Step, actor: Actor) -> AuditEntry:
    """Return the target's audit record of a step."""
    target = AuditTarget(step.target_id or "", step.name, "User")
    return AuditEntry(
        _ACTIVITIES[step.action], "UserManagement", key[1], actor, (target,),
        details={"sourceTenantId": key[0], "sourceObjectId": step.source[1], "because": step.reason},
    )


def with_members(directory: Directory, tenant_id: str, oid: str, members: dict[str, Any]) -> GraphObject:
    """Return a user's object with some members changed."""
    return user_object({**_present(directory, directory.tenants[tenant_id], oid), **members})


def user_object(document: dict[str, Any]) -> GraphObject:
    """Return the user that a document is."""
    return KINDS["user"].model.model_validate_json(json.dumps(document))


def _pushed(values: UserValues) -> dict[str, Any]:
    members: dict[str, Any] = {
        "displayName": values.display_name, "mail": values.mail, "accountEnabled": values.enabled, **values.attributes,
    }
    if values.user_type is not None:
        members["userType"] = str(values.user_type).capitalize()
    return members


def _new(target: Tenant, step: Step, oid: str, names: set[str]) -> dict[str, Any]:
    assert step.values is not None
    domain = target.domains[0] if target.domains else f"{target.name}.onmicrosoft.com"
    taken = {user.upn.lower() for user in target.users.values()} | names
    upn = guest_principal_name(step.values.upn, domain, taken)
    names.add(upn.lower())
    return {
        "id": oid, "userPrincipalName": upn, "creationType": "Invitation", "externalUserState": "Accepted",
        "alternativeSecurityId": {"tenantId": step.source[0], "objectId": step.source[1]},
    }


def _present(directory: Directory, tenant: Tenant, oid: str) -> dict[str, Any]:
    value = view(directory, tenant.id, "user", oid)
    if value is not None:
        return value.to_json()
    kept = tenant.object(DELETED_USER.name, oid)
    return dict(kept.value) if isinstance(kept, DeletedObject) else {"id": oid}


def _forgotten(directory: Directory, key: tuple[str, str], step: Step) -> list[Change]:
    changes = [Change(ObjectRef(key[0], SYNCHRONIZATION_ENTRY.name, f"{key[1]}~{step.source[1]}"), None)]
    if step.target_id and directory.tenants[key[1]].object(DELETED_USER.name, step.target_id) is not None:
        changes.append(Change(ObjectRef(key[1], DELETED_USER.name, step.target_id), None))
    return changes


def _remembered(source: str, entry: SynchronizationEntry) -> Change:
    return Change(ObjectRef(source, SYNCHRONIZATION_ENTRY.name, entry.id), entry)
