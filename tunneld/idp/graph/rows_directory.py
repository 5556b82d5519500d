"""Rows of users, groups, applications and the organization's own settings."""

from __future__ import annotations

from tunneld.idp.graph.resource import SINGLETON, Activities, Permissions, ResourceType
from tunneld.idp.graph.rows_access import permissions
from tunneld.policy.directory import Tenant
from tunneld.policy.roles import APPLICATIONS, GROUPS, LISTING_GROUPS, LISTING_USERS, OWN_OBJECT, USERS

_TIMES = frozenset({"id", "createdDateTime", "modifiedDateTime", "deletedDateTime"})


def _user_id(tenant: Tenant, key: str) -> str:
    """Return the object id of a user who is named by id or by user principal name."""
    wanted = key.lower()
    if wanted in tenant.users or "@" not in wanted:
        return wanted
    return next((user.oid for user in tenant.users.values() if user.upn.lower() == wanted), wanted)


USERS_ROW = ResourceType(
    kind="user", collection="/users", find=_user_id,
    permissions=Permissions(
        USERS, "microsoft.directory/users/create", "microsoft.directory/users/basic/update",
        "microsoft.directory/users/delete", enumerate=LISTING_USERS, own=OWN_OBJECT,
        members={"passwordProfile": "microsoft.directory/users/password/update"},
    ),
    audit=Activities("UserManagement", "Add user", "Update user", "Delete user", "User"),
    read_only=_TIMES | {"externalUserStateChangeDateTime"}, deleted="deletedUser",
)
GROUPS_ROW = ResourceType(
    kind="group", collection="/groups",
    permissions=Permissions(
        GROUPS, "microsoft.directory/groups/create", "microsoft.directory/groups/basic/update",
        "microsoft.directory/groups/delete", enumerate=LISTING_GROUPS,
    ),
    audit=Activities("GroupManagement", "Add group", "Update group", "Delete group", "Group"), read_only=_TIMES,
)
APPLICATIONS_ROW = ResourceType(
    kind="application", collection="/applications",
    permissions=Permissions(
        APPLICATIONS, "microsoft.directory/applications/create", "microsoft.directory/applications/basic/update",
        "microsoft.directory/applications/delete",
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
