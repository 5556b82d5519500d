"""Directory roles: who may call which part of the admin API, by permission strings.

Shapes: Microsoft Graph reference, unifiedRoleDefinition and unifiedRoleAssignment. Which built-in role has which
string: `built_in_roles.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field, StringConstraints

from tunneld.policy.built_in_roles import BUILT_IN, BY_ID, BY_NAME
from tunneld.policy.directory import Directory, Tenant, User, UserType
from tunneld.policy.directory_document import Guid, Text
from tunneld.policy.guests.collaboration import GUEST_AS_MEMBER, GUEST_LIMITED
from tunneld.policy.objects import Conflict, GraphObject, ObjectKind
from tunneld.policy.role_grants import WHOLE_TENANT, HeldRole, RoleGrants

Permission = Annotated[str, StringConstraints(pattern=r"^microsoft\.[A-Za-z]+(/[A-Za-z0-9.]+){2,5}$", max_length=160)]
Scope = Annotated[str, StringConstraints(pattern=r"^/([0-9a-fA-F-]{36})?$")]
Context = Annotated[str, StringConstraints(pattern=r"^c([1-9]|[1-9][0-9])$")]

# What everybody may read: Microsoft's default user permissions, as far as the objects exist here.
USERS, GROUPS, APPLICATIONS, ORGANIZATION = (
    f"microsoft.directory/{name}/standard/read" for name in ("users", "groups", "applications", "organization")
)
MEMBERS, LISTING_USERS, LISTING_GROUPS = (
    f"microsoft.directory/{name}/read" for name in ("groups/members", "users/list", "groups/list")
)
OWN_OBJECT = "microsoft.directory/users/self/read"
OWN_GROUPS = "microsoft.directory/users/self/memberOf/read"
_MEMBER = frozenset({
    USERS, GROUPS, APPLICATIONS, ORGANIZATION, MEMBERS, LISTING_USERS, LISTING_GROUPS, OWN_OBJECT, OWN_GROUPS,
})
_LIMITED_GUEST = frozenset({USERS, GROUPS, MEMBERS, ORGANIZATION, OWN_OBJECT, OWN_GROUPS})
_RESTRICTED_GUEST = frozenset({OWN_OBJECT})
# What owning an application allows over it (Microsoft Entra: default permissions of owners of applications).
_OWNER = frozenset({
    APPLICATIONS, "microsoft.directory/applications/basic/update", "microsoft.directory/applications/owners/update",
    "microsoft.directory/applications/delete", "microsoft.directory/servicePrincipals/appRoleAssignedTo/read",
    "microsoft.directory/servicePrincipals/appRoleAssignedTo/update",
})


GLOBAL_ADMINISTRATOR = BY_NAME["global administrator"].id


class RolePermission(GraphObject):
    """A set of permission strings of a role."""

    allowed_resource_actions: tuple[Permission, ...] = Field(max_length=200)
    condition: None = None


class RoleDefinition(GraphObject):
    """A custom role; the built-in ones are shown in the same shape."""

    id: Guid
    display_name: Text
    description: Annotated[str, StringConstraints(max_length=1024)] | None = None
    is_built_in: bool = False
    is_enabled: bool = True
    resource_scopes: tuple[Scope, ...] = (WHOLE_TENANT,)
    role_permissions: tuple[RolePermission, ...] = Field(default=(), max_length=10)
    template_id: Guid | None = None
    version: Annotated[str, StringConstraints(max_length=64)] | None = None


class RoleAssignment(GraphObject):
    """A role given to a user, over the whole tenant or for one application."""

    id: Annotated[str, StringConstraints(max_length=128)]
    principal_id: Guid
    role_definition_id: Guid
    directory_scope_id: Scope = WHOLE_TENANT


class ResourceAction(GraphObject):
    """A permission that a Conditional Access policy may protect (Graph beta, unifiedRbacResourceAction)."""

    id: Annotated[str, StringConstraints(max_length=160)]
    name: Permission
    description: str = ""
    authentication_context_id: Context | None = None
    is_authentication_context_settable: bool = True


@dataclass(frozen=True, slots=True)
class Permit:
    """Allowed, and by which role's name ("" for what everybody may)."""

    role: str = ""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Not allowed: the permission that is missing and the built-in roles that have it."""

    permission: str
    roles: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Say what would help."""
        if not self.roles:
            return f"The permission {self.permission} is needed."
        return f"The permission {self.permission} is needed; for example the role {self.roles[0]} has it."


def allowed(tenant: Tenant, user: User, permission: str, scope: str = "") -> Permit | Refuse:
    """Tell whether a user object of `tenant` has `permission` there, or over the application `scope` alone."""
    for held in held_roles(tenant, user):
        if held.scope not in (WHOLE_TENANT, f"/{scope}"):
            continue
        role = BY_ID.get(held.definition)
        if role is not None and role.allows(permission):
            return Permit(role.name)
        if permission in tenant.policy.roles.custom.get(held.definition, ()):
            return Permit(tenant.policy.roles.custom_names[held.definition])
    if permission in everybody_may(tenant, user):
        return Permit()
    if permission in _OWNER and owns_application(tenant, user, scope):
        return Permit("owner")
    return Refuse(permission, tuple(role.name for role in reversed(BUILT_IN) if role.allows(permission)))


def owns_application(tenant: Tenant, user: User, application_id: str) -> bool:
    """Tell whether a user is an owner of an application (by its `appId`) and may manage who has it."""
    application = tenant.applications.get(application_id)
    return application is not None and user.oid in application.owners


def held_roles(tenant: Tenant, user: User) -> list[HeldRole]:
    """Return all assignments of a user, those of the directory document first, in a fixed order."""
    held = {HeldRole(role) for role in user.roles} | tenant.policy.roles.held.get(user.oid, frozenset())
    return sorted(held, key=lambda one: (one.scope, one.definition))


def roles_of(tenant: Tenant, user: User) -> frozenset[str]:
    """Return the ids of the role definitions that a user holds over the whole tenant."""
    return frozenset(held.definition for held in held_roles(tenant, user) if held.scope == WHOLE_TENANT)


def everybody_may(tenant: Tenant, user: User) -> frozenset[str]:
    """Return what a user may read without a role; for guests that is `authorizationPolicy.guestUserRoleId`."""
    level = tenant.policy.collaboration.guest_role
    if user.user_type is UserType.MEMBER or level == GUEST_AS_MEMBER:
        return _MEMBER
    return _LIMITED_GUEST if level == GUEST_LIMITED else _RESTRICTED_GUEST


def role_id(name: str) -> str | None:
    """Return the id of the built-in role that a name or an id stands for, in any case."""
    role = BY_NAME.get(name.lower()) or BY_ID.get(name.lower())
    return role.id if role is not None else None


def built_in_definition(role_id: str) -> RoleDefinition | None:
    """Return a built-in role as Graph shows it; its patterns are not permission strings, so none are listed."""
    role = BY_ID.get(role_id)
    if role is None:
        return None
    return RoleDefinition(
        id=role.id, display_name=role.name, description=role.description, is_built_in=True, template_id=role.id
    )


def _check_definition(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    assert isinstance(value, RoleDefinition)
    if value.is_built_in or value.id in BY_ID:
        return Conflict("builtInRole", "A built-in role cannot be changed.", "Create a custom role.", "isBuiltIn")
    others = directory.tenants[tenant_id].objects.get("roleDefinition", {}).values()
    names = {other.display_name.lower() for other in others
             if isinstance(other, RoleDefinition) and other.id != value.id}
    if value.display_name.lower() in names | set(BY_NAME):
        return Conflict("nameTaken", f"There is a role {value.display_name!r} already.", "Choose another name.",
                        "displayName", 409)
    return None


def _check_assignment(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    assert isinstance(value, RoleAssignment)
    tenant = directory.tenants[tenant_id]
    if value.principal_id not in tenant.users:
        return Conflict("principalUnknown", f"There is no user {value.principal_id} in the tenant.",
                        "Name a user by object id; groups hold no roles here.", "principalId")
    if value.role_definition_id not in BY_ID and value.role_definition_id not in tenant.policy.roles.custom:
        return Conflict("roleUnknown", f"There is no role {value.role_definition_id}.",
                        "List /roleManagement/directory/roleDefinitions.", "roleDefinitionId")
    scope = value.directory_scope_id.removeprefix("/").lower()
    if scope and scope not in tenant.applications:
        return Conflict("scopeUnknown", f"There is no application {scope}.", 'Use "/" or an application\'s id.',
                        "directoryScopeId")
    return None


def _check_protection(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    assert isinstance(value, ResourceAction)
    context = value.authentication_context_id
    known = directory.tenants[tenant_id].objects.get("authenticationContextClassReference", {})
    if context is not None and context not in known:
        return Conflict("authenticationContextUnknown", f"There is no authentication context {context}.",
                        "Create it, and a Conditional Access policy that names it.", "authenticationContextId")
    return None


def _check_unused(directory: Directory, tenant_id: str, object_id: str) -> Conflict | None:
    for assignment in directory.tenants[tenant_id].objects.get("roleAssignment", {}).values():
        if isinstance(assignment, RoleAssignment) and assignment.role_definition_id == object_id:
            return Conflict("roleInUse", "The role is assigned.", "Delete its assignments first.", "id", 409)
    return None


def _implied_definition(directory: Directory, tenant_id: str, object_id: str) -> GraphObject | None:
    del directory, tenant_id
    return built_in_definition(object_id)


def _implied_definitions(directory: Directory, tenant_id: str) -> Iterable[str]:
    del directory, tenant_id
    return BY_ID


def _implied_assignment(directory: Directory, tenant_id: str, object_id: str) -> GraphObject | None:
    """Show a role that the directory document gives a user; its id is both ids."""
    role, _, oid = object_id.partition(".")
    user = directory.tenants[tenant_id].users.get(oid)
    if user is None or role not in user.roles:
        return None
    return RoleAssignment(id=object_id, principal_id=oid, role_definition_id=role)


def _implied_assignments(directory: Directory, tenant_id: str) -> Iterable[str]:
    users = directory.tenants[tenant_id].users.values()
    return (f"{role}.{user.oid}" for user in users for role in user.roles)


def _check_written(directory: Directory, tenant_id: str, object_id: str) -> Conflict | None:
    if _implied_assignment(directory, tenant_id, object_id) is None:
        return None
    return Conflict("writtenInDocument", "The directory document gives the user this role.",
                    "Take it out of the document.", "id", 409)


def _put(directory: Directory, tenant_id: str, values: Mapping[str, GraphObject | None]) -> Directory:
    """Compile all three kinds anew: a tenant has a handful of roles, and they change rarely."""
    del values
    tenant = directory.tenants[tenant_id]
    policy = replace(tenant.policy, roles=_compile(tenant))
    return replace(directory, tenants={**directory.tenants, tenant_id: replace(tenant, policy=policy)})


def _compile(tenant: Tenant) -> RoleGrants:
    held: dict[str, frozenset[HeldRole]] = {}
    for assignment in tenant.objects.get("roleAssignment", {}).values():
        assert isinstance(assignment, RoleAssignment)
        role = HeldRole(assignment.role_definition_id, assignment.directory_scope_id.lower())
        held[assignment.principal_id] = held.get(assignment.principal_id, frozenset()) | {role}
    custom, names = {}, {}
    for definition in tenant.objects.get("roleDefinition", {}).values():
        assert isinstance(definition, RoleDefinition)
        strings = (one.allowed_resource_actions for one in definition.role_permissions)
        custom[definition.id] = frozenset(name for some in strings for name in some if definition.is_enabled)
        names[definition.id] = definition.display_name
    protected = {}
    for action in tenant.objects.get("protectedAction", {}).values():
        assert isinstance(action, ResourceAction)
        if action.authentication_context_id is not None:
            protected[action.name] = action.authentication_context_id
    return RoleGrants(held, custom, names, protected)


ROLE_DEFINITION = ObjectKind("roleDefinition", RoleDefinition, _put, _check_definition, _check_unused,
                             _implied_definition, _implied_definitions)
ROLE_ASSIGNMENT = ObjectKind("roleAssignment", RoleAssignment, _put, _check_assignment, _check_written,
                             _implied_assignment, _implied_assignments)
PROTECTED_ACTION = ObjectKind("protectedAction", ResourceAction, _put, _check_protection)

ROLE_KINDS = (ROLE_DEFINITION, ROLE_ASSIGNMENT, PROTECTED_ACTION)
