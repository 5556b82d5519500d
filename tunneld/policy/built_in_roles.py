"""The built-in directory roles with the template ids that Microsoft publishes, and what each may do here.

A pattern stands for permission strings: `*` matches any run of characters. Which strings a role has follows its
published description, narrowed to the objects that exist here.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

_CROSS_TENANT = "microsoft.directory/crossTenantAccessPolicy/"
_READ_POLICIES = (
    "*Policy/*/read", "*Policies/*/read", _CROSS_TENANT + "*/read", "*/namedLocations/*/read",
    "*/authenticationContexts/*/read", "*/agreements/*/read", "*/resourceActions/*/read",
)
_READ_DIRECTORY = (
    "microsoft.directory/users/*/read", "microsoft.directory/groups/*/read", "microsoft.directory/applications/*/read",
    "microsoft.directory/organization/*/read", "microsoft.directory/devices/*/read",
)
_READ_LOGS = ("microsoft.directory/auditLogs/*/read", "microsoft.directory/signInReports/*/read")
_READ_ROLES = ("microsoft.directory/roleDefinitions/*/read", "microsoft.directory/roleAssignments/*/read")
_ANY_USER = ("microsoft.directory/users/create", "microsoft.directory/users/delete",
             "microsoft.directory/users/restore", "microsoft.directory/users/*/update",
             "microsoft.directory/users/inviteGuest", "microsoft.directory/users/invalidateAllRefreshTokens",
             "microsoft.directory/deletedItems.users/*")
_CONDITIONAL_ACCESS = (
    "microsoft.directory/conditionalAccessPolicies/*", "microsoft.directory/namedLocations/*",
    "microsoft.directory/authenticationStrengthPolicies/*", "microsoft.directory/authenticationContexts/*",
    "microsoft.directory/agreements/*", "microsoft.directory/resourceNamespaces/resourceActions/*",
)


@dataclass(frozen=True, slots=True)
class BuiltInRole:
    """One role; `denied` takes patterns away from `allowed`."""

    id: str
    name: str
    description: str
    allowed: tuple[str, ...]
    denied: tuple[str, ...] = ()

    def allows(self, permission: str) -> bool:
        """Tell whether the role has a permission string."""
        return _any(permission, self.allowed) and not _any(permission, self.denied)


def _any(permission: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(permission, pattern) for pattern in patterns)


BUILT_IN: tuple[BuiltInRole, ...] = (
    BuiltInRole("62e90394-69f5-4237-9190-012177145e10", "Global Administrator", "Everything.", ("*",)),
    BuiltInRole(
        "194ae4cb-b126-40b2-bd5b-6091b380977d", "Security Administrator",
        "Reads everything of security, and writes cross-tenant access settings and Conditional Access.",
        (_CROSS_TENANT + "*", "microsoft.directory/policies/*", *_CONDITIONAL_ACCESS, *_READ_POLICIES,
         *_READ_DIRECTORY, *_READ_LOGS, *_READ_ROLES, "microsoft.directory/identityProviders/*",
         "microsoft.directory/domains/federation*", "microsoft.directory/users/invalidateAllRefreshTokens",
         "microsoft.networkAccess/*"),
    ),
    BuiltInRole(
        "5d6b6bb7-de71-4623-b4af-96380a352509", "Security Reader", "Reads security settings, sign-ins and audit.",
        (*_READ_POLICIES, *_READ_DIRECTORY, *_READ_LOGS, *_READ_ROLES, "microsoft.directory/identityProviders/*/read",
         "microsoft.networkAccess/*/read"),
    ),
    BuiltInRole(
        "f2ef992c-3afb-46b9-b7cf-a126ee74c451", "Global Reader", "Reads everything, writes nothing.", ("*/read",)
    ),
    BuiltInRole(
        "b1be1c3e-b65d-4f19-8427-f6fa0d97feb9", "Conditional Access Administrator",
        "Writes Conditional Access policies and what they name.",
        (*_CONDITIONAL_ACCESS, *_READ_DIRECTORY, *_READ_ROLES),
    ),
    BuiltInRole(
        "fe930be7-5e62-47db-91af-98c3a49a38b1", "User Administrator", "Manages users, guests and groups.",
        (*_ANY_USER, "microsoft.directory/groups/*", *_READ_DIRECTORY, "microsoft.directory/entitlementManagement/*",
         "microsoft.directory/accessReviews/*"),
    ),
    BuiltInRole(
        "95e79109-95c0-4d8e-aee3-d01accf2d47b", "Guest Inviter", "Invites guests whatever members may do.",
        ("microsoft.directory/users/inviteGuest", *_READ_DIRECTORY),
    ),
    BuiltInRole(
        "729827e3-9c14-49f7-bb1b-9608f156bbb8", "Helpdesk Administrator", "Resets passwords and ends sessions.",
        ("microsoft.directory/users/password/update", "microsoft.directory/users/invalidateAllRefreshTokens",
         *_READ_DIRECTORY),
    ),
    BuiltInRole(
        "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3", "Application Administrator", "Manages applications and assignments.",
        ("microsoft.directory/applications/*", "microsoft.directory/servicePrincipals/*", *_READ_DIRECTORY),
    ),
    BuiltInRole(
        "ac434307-12b9-4fa1-a708-88bf58caabc1", "Global Secure Access Administrator",
        "Manages network access; reads cross-tenant access settings and Conditional Access.",
        ("microsoft.networkAccess/*", *_READ_POLICIES, *_READ_DIRECTORY, *_READ_LOGS),
    ),
    BuiltInRole(
        "69091246-20e8-4a56-aa4d-066075b2a7a8", "Teams Administrator",
        "Writes cross-tenant access settings, except identity synchronization.",
        (_CROSS_TENANT + "*", *_READ_DIRECTORY),
        (_CROSS_TENANT + "partners/identitySynchronization/create",
         _CROSS_TENANT + "partners/identitySynchronization/*/update",
         _CROSS_TENANT + "partners/identitySynchronization/delete"),
    ),
    BuiltInRole(
        "c4e39bd9-1100-46d3-8c65-fb160da0071f", "Authentication Administrator",
        "Sees, sets and resets authentication methods, passwords and passcodes of non-administrators.",
        ("microsoft.directory/users/authenticationMethods/*", "microsoft.directory/users/password/update",
         "microsoft.directory/users/invalidateAllRefreshTokens", *_READ_DIRECTORY),
    ),
    BuiltInRole(
        "45d8d3c5-c802-45c6-b32a-1d70b5e1e86e", "Identity Governance Administrator",
        "Manages entitlement, access reviews and their time-limited assignments.",
        ("microsoft.directory/entitlementManagement/*", "microsoft.directory/accessReviews/*",
         "microsoft.directory/groups/members/update", *_READ_DIRECTORY),
    ),
)

BY_ID = {role.id: role for role in BUILT_IN}
BY_NAME = {role.name.lower(): role for role in BUILT_IN}
