"""Applications as the admin API reads and writes them (Microsoft Graph reference: application).

`assignments` and `appRoleAssignments` belong to the service principal in Graph; here one object stands for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tunneld.policy.directory import (
    DAEMON_CLIENT,
    DIRECTORY_API,
    ENROLMENT_API,
    Application,
    Assignments,
    Client,
    Directory,
)
from tunneld.policy.directory_document import Guid, Reference, Text
from tunneld.policy.objects import Conflict, GraphObject, ObjectKind
from tunneld.policy.token_shape import TUNNEL_SHAPE, AppRole, shaped

Line = Annotated[str, StringConstraints(max_length=1024, pattern=r"^[^\x00-\x1f\x7f]*$")]
RedirectUri = Annotated[str, StringConstraints(max_length=2048, pattern=r"^[a-z][a-z0-9+.-]*://[^\s#\x00-\x1f\x7f]+$")]
RedirectUris = Annotated[tuple[RedirectUri, ...], Field(max_length=256)]
_ALL_ROLES = "00000000-0000-0000-0000-000000000000"  # Graph: an assignment without a particular role


class ApplicationAssignments(GraphObject):
    """Who has it: users by id or name, groups by id or name, user types."""

    users: Annotated[tuple[Reference, ...], Field(max_length=10_000)] = ()
    groups: Annotated[tuple[Reference, ...], Field(max_length=10_000)] = ()
    user_types: tuple[Literal["member", "guest"], ...] = ()


class OptionalClaim(GraphObject):
    """One claim that is asked for."""

    name: Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
    source: Line | None = None
    essential: bool = False
    additional_properties: Annotated[tuple[Line, ...], Field(max_length=16)] = ()


class OptionalClaims(GraphObject):
    """Claims by kind of token."""

    access_token: Annotated[tuple[OptionalClaim, ...], Field(max_length=64)] = ()
    id_token: Annotated[tuple[OptionalClaim, ...], Field(max_length=64)] = ()
    saml2_token: Annotated[tuple[OptionalClaim, ...], Field(max_length=64)] = ()


class RoleObject(GraphObject):
    """A role that the application defines."""

    id: Guid
    value: Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=r"^[^\s\x00-\x1f\x7f]+$")]
    display_name: Line
    description: Line | None = None
    allowed_member_types: tuple[Literal["User", "Application"], ...] = ("User",)
    is_enabled: bool = True


class RoleHolder(GraphObject):
    """A user or group that has a role."""

    principal_id: Guid
    app_role_id: Guid = _ALL_ROLES


class PublicClient(GraphObject):
    """Where a public client receives codes."""

    redirect_uris: RedirectUris = ()


class ApplicationObject(GraphObject):
    """An application: the audience of its tokens, and a client when it has redirect URIs."""

    id: Guid
    app_id: Guid | None = None  # the object's id unless given
    display_name: Text
    description: Line | None = None
    sign_in_audience: Literal["AzureADMyOrg", "AzureADMultipleOrgs"] = "AzureADMyOrg"
    app_roles: Annotated[tuple[RoleObject, ...], Field(max_length=200)] = ()
    app_role_assignments: Annotated[tuple[RoleHolder, ...], Field(max_length=10_000)] = ()
    assignments: ApplicationAssignments = ApplicationAssignments()
    owners: Annotated[tuple[Guid, ...], Field(max_length=100)] = ()
    optional_claims: OptionalClaims | None = None
    group_membership_claims: Annotated[str, StringConstraints(max_length=128, pattern=r"^[A-Za-z, ]+$")] | None = None
    redirect_uris: RedirectUris = ()
    public_client: PublicClient = PublicClient()
    is_fallback_public_client: bool | None = None
    created_date_time: Annotated[str, StringConstraints(max_length=40)] | None = None

    @property
    def audience(self) -> str:
        """What tokens for it name."""
        return self.app_id or self.id

    @property
    def redirections(self) -> tuple[str, ...]:
        """All redirect URIs, wherever they are written."""
        return (*self.redirect_uris, *self.public_client.redirect_uris)


def application_object(application: Application) -> ApplicationObject:
    """Return an application of the directory document as if it had been stored."""
    whom = application.assignments
    return ApplicationObject.model_validate({
        "id": application.id, "appId": application.id, "displayName": application.name,
        "owners": sorted(application.owners),
        "assignments": ApplicationAssignments.model_validate({
            "users": sorted(whom.users), "groups": sorted(whom.groups), "userTypes": sorted(map(str, whom.user_types)),
        }),
    })


def compile_application(value: ApplicationObject) -> Application:
    """Return the application as decisions and tokens read it."""
    whom = value.assignments
    principals = frozenset(each.principal_id for each in value.app_role_assignments)
    # A principal's id is either a user's or a group's, and never both.
    assignments = Assignments(
        frozenset(whom.users) | principals, frozenset(whom.groups) | principals, frozenset(whom.user_types)
    )
    asked = value.optional_claims
    shape = TUNNEL_SHAPE
    if asked is not None or value.group_membership_claims is not None:
        claims = asked or OptionalClaims()
        shape = shaped(_claims(claims.access_token), _claims(claims.id_token), value.group_membership_claims)
    held = value.app_role_assignments
    roles = tuple(
        AppRole(role.value, frozenset(one.principal_id for one in held if one.app_role_id == role.id), role.is_enabled)
        for role in value.app_roles
    )
    return Application(
        value.audience, value.display_name, assignments, shape, roles, frozenset(value.owners), value.id
    )


def _claims(claims: Iterable[OptionalClaim]) -> dict[str, frozenset[str]]:
    return {claim.name: frozenset(claim.additional_properties) for claim in claims}


def _put(directory: Directory, tenant_id: str, values: Mapping[str, GraphObject | None]) -> Directory:
    tenant = directory.tenants[tenant_id]
    clients = dict(directory.clients)
    applications = {}
    for audience, application in tenant.applications.items():
        if (application.object_id or audience) not in values:
            applications[audience] = application
        elif (registered := clients.get(audience)) is not None and registered.tenant == tenant_id:
            del clients[audience]
    for value in values.values():
        # Who has the audience keeps it, so that the check meets them there and refuses the newcomer.
        if isinstance(value, ApplicationObject) and value.audience not in applications:
            applications[value.audience] = compile_application(value)
            if value.redirections:  # the check has refused another client's id
                clients.setdefault(value.audience, _client(tenant_id, value))
    changed = replace(tenant, applications=applications)
    return replace(directory, tenants={**directory.tenants, tenant_id: changed}, clients=clients)


def _client(tenant_id: str, value: ApplicationObject) -> Client:
    everybody = value.sign_in_audience == "AzureADMultipleOrgs"
    return Client(value.audience, value.display_name, value.redirections, tenant=tenant_id, everybody=everybody)


def _check(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    assert isinstance(value, ApplicationObject)
    tenant = directory.tenants[tenant_id]
    reserved = value.audience in (DIRECTORY_API, ENROLMENT_API, DAEMON_CLIENT) or value.audience in tenant.channels
    holder = tenant.applications.get(value.audience)
    if reserved or holder is None or holder.object_id != value.id:
        return Conflict("appIdTaken", f"The appId {value.audience} is in use.", "Leave it out, or choose another.",
                        "appId", 409)
    known = directory.clients.get(value.audience)
    if known is not None and known != _client(tenant_id, value):  # also without redirect URIs: it is not its own
        return Conflict("appIdTaken", f"The appId {value.audience} is another client's.", "Choose another.",
                        "appId", 409)
    for owner in value.owners:
        if owner not in tenant.users:
            return Conflict("unknownOwner", f"There is no user {owner}.", "Remove it.", "owners")
    roles = {role.id for role in value.app_roles} | {_ALL_ROLES}
    for each in value.app_role_assignments:
        if each.app_role_id not in roles:
            return Conflict("unknownRole", f"The application has no role {each.app_role_id}.", "Define it in appRoles.",
                            "appRoleAssignments")
        if each.principal_id not in tenant.users and each.principal_id not in tenant.groups:
            return Conflict("unknownPrincipal", f"There is no user or group {each.principal_id}.", "Remove it.",
                            "appRoleAssignments")
    return None


def _implied(directory: Directory, tenant_id: str, object_id: str) -> GraphObject | None:
    application = directory.tenants[tenant_id].applications.get(object_id)
    return application_object(application) if application is not None and not application.object_id else None


def _implied_ids(directory: Directory, tenant_id: str) -> Iterable[str]:
    return [one.id for one in directory.tenants[tenant_id].applications.values() if not one.object_id]


APPLICATION = ObjectKind("application", ApplicationObject, _put, _check, implied=_implied, implied_ids=_implied_ids)
