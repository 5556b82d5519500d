"""Rows of users, groups, applications and the organization's own settings."""

from __future__ import annotations

from typing import Any

from tunneld.idp.graph.call import Call
from tunneld.idp.graph.directory_hooks import (
    application_scope,
    as_guests_see,
    bound_members,
    leave_everything,
    not_above_oneself,
    password_of,
    user_id,
    without_members,
)
from tunneld.idp.graph.history import deleted_operations
from tunneld.idp.graph.relations import Relation, relation_operations
from tunneld.idp.graph.resource import SINGLETON, Activities, Operation, Permissions, ResourceType
from tunneld.idp.graph.rows_access import permissions
from tunneld.policy.objects import GraphObject
from tunneld.policy.roles import APPLICATIONS, GROUPS, LISTING_GROUPS, LISTING_USERS, MEMBERS, OWN_OBJECT, USERS

_TIMES = frozenset({"id", "createdDateTime", "modifiedDateTime", "deletedDateTime"})
_DIRECTORY = "microsoft.directory/"
_HIDDEN_MEMBERS = f"{_DIRECTORY}groups/hiddenMembers/read"
_CHANGE_MEMBERS = f"{_DIRECTORY}groups/members/update"
_CHANGE_GROUP_OWNERS = f"{_DIRECTORY}groups/owners/update"
_CHANGE_OWNERS = f"{_DIRECTORY}applications/owners/update"
_CHANGE_ASSIGNED = f"{_DIRECTORY}servicePrincipals/appRoleAssignedTo/update"


def _named(**members: Any) -> dict[str, Any]:
    """Return each member's string also for the references by which it may be set."""
    return {name + suffix: string for name, string in members.items() for suffix in ("", "@odata.bind")}


USERS_ROW = ResourceType(
    kind="user", collection="/users", find=user_id,
    permissions=Permissions(
        USERS, f"{_DIRECTORY}users/create", f"{_DIRECTORY}users/basic/update", f"{_DIRECTORY}users/delete",
        members={"passwordProfile": f"{_DIRECTORY}users/password/update"}, enumerate=LISTING_USERS, own=OWN_OBJECT,
    ),
    audit=Activities("UserManagement", "Add user", "Update user", "Delete user", "User"),
    # A guest's state follows from invitation and redemption alone.
    read_only=_TIMES | {"externalUserState", "externalUserStateChangeDateTime", "creationType", "identities"},
    deleted="deletedUser", receive=password_of, prepare=not_above_oneself, along=leave_everything, show=as_guests_see,
)
GROUPS_ROW = ResourceType(
    kind="group", collection="/groups",
    permissions=Permissions(
        GROUPS, f"{_DIRECTORY}groups/create", f"{_DIRECTORY}groups/basic/update", f"{_DIRECTORY}groups/delete",
        members=_named(members=_CHANGE_MEMBERS, owners=_CHANGE_GROUP_OWNERS), enumerate=LISTING_GROUPS,
    ),
    audit=Activities("GroupManagement", "Add group", "Update group", "Delete group", "Group"), read_only=_TIMES,
    receive=bound_members, show=without_members, along=leave_everything,
)
APPLICATIONS_ROW = ResourceType(
    kind="application", collection="/applications", scope=application_scope,
    permissions=Permissions(
        APPLICATIONS, f"{_DIRECTORY}applications/create", f"{_DIRECTORY}applications/basic/update",
        f"{_DIRECTORY}applications/delete",
        members={"owners": _CHANGE_OWNERS, "assignments": _CHANGE_ASSIGNED, "appRoleAssignments": _CHANGE_ASSIGNED},
    ),
    audit=Activities("ApplicationManagement", "Add application", "Update application", "Delete application",
                     "Application"),
    read_only=_TIMES,
)
AUTHORIZATION_POLICY = ResourceType(
    kind="authorizationPolicy", item="/policies/authorizationPolicy", singleton="authorizationpolicy", verbs=SINGLETON,
    permissions=permissions("authorizationPolicy"), read_only=frozenset({"id"}),
    audit=Activities("AuthorizationPolicy", "", "Update authorization policy", ""),
)

DIRECTORY_ROWS = (USERS_ROW, GROUPS_ROW, APPLICATIONS_ROW, AUTHORIZATION_POLICY)
PRINCIPALS = (("user", USERS_ROW), ("group", GROUPS_ROW))


def members_readable(call: Call, value: GraphObject) -> None:
    """Raise ApiError(403) for a group whose members are hidden from those outside of it."""
    document = value.to_json()
    if document.get("visibility") == "HiddenMembership" and document["id"] not in call.user.groups:
        call.require(_HIDDEN_MEMBERS)


def _always(call: Call, value: GraphObject) -> None:
    del call, value


def directory_operations() -> list[Operation]:
    """Return members, owners, and deleted users."""
    relations = (
        Relation(GROUPS_ROW, "members", PRINCIPALS, MEMBERS, _CHANGE_MEMBERS, "Add member to group",
                 "Remove member from group", members_readable),
        Relation(GROUPS_ROW, "owners", PRINCIPALS, MEMBERS, _CHANGE_GROUP_OWNERS, "Add owner to group",
                 "Remove owner from group", _always),
        Relation(APPLICATIONS_ROW, "owners", PRINCIPALS, APPLICATIONS, _CHANGE_OWNERS, "Add owner to application",
                 "Remove owner from application", _always),
    )
    deleted = deleted_operations(
        USERS_ROW, "/directory/deletedItems/microsoft.graph.user", f"{_DIRECTORY}users/restore",
        f"{_DIRECTORY}deletedItems.users/delete",
        read=f"{_DIRECTORY}deletedItems.users/standard/read",
    )
    return [*(operation for relation in relations for operation in relation_operations(relation)), *deleted]
