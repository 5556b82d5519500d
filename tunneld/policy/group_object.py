"""Groups as the admin API reads and writes them, nested ones included (Microsoft Graph reference: group)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tunneld.policy.directory import Directory, Group, Tenant
from tunneld.policy.directory_document import Guid, Text
from tunneld.policy.objects import Conflict, GraphObject, ObjectKind

Line = Annotated[str, StringConstraints(max_length=1024, pattern=r"^[^\x00-\x1f\x7f]*$")]
MAX_MEMBERS = 100_000  # a choice: twice the users that one directory document is made for


class GroupObject(GraphObject):
    """A group; `members` holds ids of users and groups."""

    id: Guid
    display_name: Text
    description: Line | None = None
    security_enabled: bool = True
    mail_enabled: Literal[False] = False
    mail_nickname: Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9._-]*$")] | None = None
    group_types: tuple[()] = ()
    visibility: Literal["Public", "Private", "HiddenMembership"] | None = None
    members: Annotated[tuple[Guid, ...], Field(max_length=MAX_MEMBERS)] = ()
    owners: Annotated[tuple[Guid, ...], Field(max_length=100)] = ()  # Graph's limit is 100 owners
    created_date_time: Annotated[str, StringConstraints(max_length=40)] | None = None


def group_object(group: Group) -> GroupObject:
    """Return a group of the directory as if it had been stored."""
    visibility = "HiddenMembership" if group.members_hidden else None
    return GroupObject.model_validate({
        "id": group.id, "displayName": group.name, "visibility": visibility, "members": sorted(group.members),
    })


def groups_of(object_id: str, groups: Mapping[str, Group]) -> tuple[str, ...]:
    """Return every group that an object is in, directly or through other groups, in the order of their ids."""
    found: set[str] = set()
    waiting = {object_id}
    while waiting:
        new = {group.id for group in groups.values() if group.id not in found and not waiting.isdisjoint(group.members)}
        found |= new
        waiting = new
    return tuple(sorted(found))


def members_of(group_id: str, groups: Mapping[str, Group]) -> frozenset[str]:
    """Return the ids of everything inside a group, directly or through other groups."""
    seen: set[str] = set()
    waiting = [group_id]
    while waiting:
        group = groups.get(waiting.pop())
        new = group.members - seen if group is not None else frozenset()
        seen |= new
        waiting += [member for member in new if member in groups]
    return frozenset(seen)


def with_groups(tenant: Tenant, groups: Mapping[str, Group], changed: Iterable[str]) -> Tenant:
    """Return the tenant with other groups, and with the memberships of everybody whom that moves.

    Only members of a changed group, or of a group around it, are looked at.
    """
    touched = set(changed)
    around = set(touched)
    for known in (tenant.groups, groups):
        for group_id in touched:
            around.update(groups_of(group_id, known))
    renamed = {
        group_id for group_id in touched
        if (old := tenant.groups.get(group_id)) and (new := groups.get(group_id)) and old.name != new.name
    }
    joined: dict[str, set[str]] = {}
    left: dict[str, set[str]] = {}
    for group_id in around:
        before, after = members_of(group_id, tenant.groups), members_of(group_id, groups)
        for member in after if group_id in renamed else after - before:
            joined.setdefault(member, set()).add(group_id)
        for member in before - after:
            left.setdefault(member, set()).add(group_id)
    users = dict(tenant.users)
    for oid in joined.keys() | left.keys():
        if oid in users:
            held = (set(users[oid].groups) | joined.get(oid, set())) - left.get(oid, set())
            names = frozenset(groups[group].name.lower() for group in held if group in groups)
            users[oid] = replace(users[oid], groups=tuple(sorted(held)), group_keys=frozenset(held) | names)
    return replace(tenant, groups=groups, users=users)


def _put(directory: Directory, tenant_id: str, values: Mapping[str, GraphObject | None]) -> Directory:
    tenant = directory.tenants[tenant_id]
    groups = dict(tenant.groups)
    for group_id, value in values.items():
        if isinstance(value, GroupObject):
            hidden = value.visibility == "HiddenMembership"
            groups[group_id] = Group(value.id, value.display_name, frozenset(value.members), hidden)
        else:
            groups.pop(group_id, None)
    changed = with_groups(tenant, groups, values)
    return replace(directory, tenants={**directory.tenants, tenant_id: changed})


def _check(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    assert isinstance(value, GroupObject)
    tenant = directory.tenants[tenant_id]
    if value.id in tenant.users:
        return Conflict("idTaken", "A user has this id.", "Choose another id.", "id", 409)
    name = value.display_name.lower()
    for other in tenant.groups.values():
        # The directory document assigns by name: a second group of that name would get what was meant for the first.
        if other.id != value.id and name in (other.name.lower(), other.id):
            return Conflict("displayNameTaken", f"Another group is called {value.display_name}.",
                            "Choose another name: assignments may name groups.", "displayName")
    for member in value.members:
        if member == value.id:
            return Conflict("memberOfItself", "A group is not a member of itself.", "Remove it.", "members")
        if member not in tenant.users and member not in tenant.groups and tenant.object("device", member) is None:
            return Conflict("unknownMember", f"There is no user or group {member}.", "Remove it.", "members")
    for owner in value.owners:
        if owner not in tenant.users:
            return Conflict("unknownOwner", f"There is no user {owner}.", "Remove it.", "owners")
    return None


def _implied(directory: Directory, tenant_id: str, object_id: str) -> GraphObject | None:
    group = directory.tenants[tenant_id].groups.get(object_id)
    return group_object(group) if group is not None else None


def _implied_ids(directory: Directory, tenant_id: str) -> Iterable[str]:
    return directory.tenants[tenant_id].groups


GROUP = ObjectKind("group", GroupObject, _put, _check, implied=_implied, implied_ids=_implied_ids)
