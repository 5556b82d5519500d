"""Where a user or group stands in its tenant: groups, applications and roles that name it, left at a deletion.

A restored user gets groups, ownerships and application roles back, and no directory role: whoever may restore users
need not be somebody who may hand out roles. That is a choice.
"""

from __future__ import annotations

from collections.abc import Iterable

from tunneld.policy.application_object import ApplicationObject, RoleHolder
from tunneld.policy.deleted_objects import DELETED_USER, DeletedObject, Place
from tunneld.policy.directory import Directory, Tenant
from tunneld.policy.group_object import GroupObject
from tunneld.policy.objects import Change, GraphObject, ObjectRef
from tunneld.policy.roles import RoleAssignment
from tunneld.policy.views import view

_GROUP, _APPLICATION, _ROLE = "group", "application", "roleAssignment"


def leaving(directory: Directory, tenant_id: str, gone: str) -> list[Change]:
    """Return the changes that take an object out of groups, applications and roles: nothing may name what is gone."""
    tenant = directory.tenants[tenant_id]
    changes: list[Change] = []
    for key, group in _groups(directory, tenant, gone):
        less = group.model_copy(update={
            "members": tuple(one for one in group.members if one != gone),
            "owners": tuple(one for one in group.owners if one != gone),
        })
        changes.append(Change(ObjectRef(tenant_id, _GROUP, key), less))
    for key, application in _applications(tenant, gone):
        rest = application.model_copy(update={
            "owners": tuple(one for one in application.owners if one != gone),
            "app_role_assignments": tuple(one for one in application.app_role_assignments if one.principal_id != gone),
        })
        changes.append(Change(ObjectRef(tenant_id, _APPLICATION, key), rest))
    for key, assignment in tenant.objects.get(_ROLE, {}).items():
        if isinstance(assignment, RoleAssignment) and assignment.principal_id == gone:
            changes.append(Change(ObjectRef(tenant_id, _ROLE, key), None))
    return changes


def places_of(directory: Directory, tenant_id: str, oid: str) -> tuple[Place, ...]:
    """Return what a deleted object has to remember of where it was."""
    tenant, found = directory.tenants[tenant_id], list[Place]()
    for key, group in _groups(directory, tenant, oid):
        if oid in group.members:
            found.append(Place(kind="group", id=key, place="members"))
        if oid in group.owners:
            found.append(Place(kind="group", id=key, place="owners"))
    for key, application in _applications(tenant, oid):
        if oid in application.owners:
            found.append(Place(kind="application", id=key, place="owners"))
        found += [
            Place(kind="application", id=key, place="appRoleAssignments", app_role_id=one.app_role_id)
            for one in application.app_role_assignments if one.principal_id == oid
        ]
    return tuple(found)


def returning(directory: Directory, tenant_id: str, kept: DeletedObject) -> list[Change]:
    """Return the changes that put a restored object back where it was, as far as those places still exist."""
    oid = kept.id
    values: dict[ObjectRef, GraphObject] = {}
    for place in kept.places:
        ref = ObjectRef(tenant_id, place.kind, place.id)
        value = values.get(ref) or view(directory, tenant_id, place.kind, place.id)
        if isinstance(value, GroupObject):
            ids = value.members if place.place == "members" else value.owners
            values[ref] = value.model_copy(update={place.place: tuple(dict.fromkeys((*ids, oid)))})
        elif isinstance(value, ApplicationObject) and place.place == "owners":
            values[ref] = value.model_copy(update={"owners": tuple(dict.fromkeys((*value.owners, oid)))})
        elif isinstance(value, ApplicationObject):
            holder = RoleHolder(principal_id=oid, app_role_id=place.app_role_id)
            holders = tuple(dict.fromkeys((*value.app_role_assignments, holder)))
            values[ref] = value.model_copy(update={"app_role_assignments": holders})
    return [Change(ref, value) for ref, value in values.items()]


def deletion(directory: Directory, tenant_id: str, kept: DeletedObject) -> list[Change]:
    """Return the changes that delete a user so that it can be restored."""
    kept = kept.model_copy(update={"places": places_of(directory, tenant_id, kept.id)})
    return [
        Change(ObjectRef(tenant_id, "user", kept.id), None),
        Change(ObjectRef(tenant_id, DELETED_USER.name, kept.id), kept),
        *leaving(directory, tenant_id, kept.id),
    ]


def last_of_each(changes: Iterable[Change]) -> list[Change]:
    """Return the last change of each object: several people of one commit may leave the same group."""
    return list({change.ref: change for change in changes}.values())


def _groups(directory: Directory, tenant: Tenant, oid: str) -> list[tuple[str, GroupObject]]:
    found = []
    for group in tenant.groups.values():
        stored = tenant.object(_GROUP, group.id)
        if oid in group.members or (isinstance(stored, GroupObject) and oid in stored.owners):
            value = view(directory, tenant.id, _GROUP, group.id)
            if isinstance(value, GroupObject):
                found.append((group.id, value))
    return found


def _applications(tenant: Tenant, oid: str) -> list[tuple[str, ApplicationObject]]:
    return [
        (key, value) for key, value in tenant.objects.get(_APPLICATION, {}).items()
        if isinstance(value, ApplicationObject)
        and (oid in value.owners or any(one.principal_id == oid for one in value.app_role_assignments))
    ]
