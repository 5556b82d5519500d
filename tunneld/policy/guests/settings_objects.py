"""The objects in which external collaboration settings are kept, as Microsoft Graph names and shapes them.

Microsoft Graph reference: authorizationPolicy, authenticationFlowsPolicy, emailAuthenticationMethodConfiguration.
The domain list is `b2bManagementPolicy` in Microsoft Entra's own storage and audit log; Graph has no published
resource for it, so its shape here follows the `InvitationsAllowedAndBlockedDomainsPolicy` that the audit log shows.
`workload` is ours: it says whether an application asks the directory before it invites.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, StringConstraints

from tunneld.policy.directory import Directory
from tunneld.policy.guests.addresses import is_domain_pattern
from tunneld.policy.guests.collaboration import (
    GUEST_AS_MEMBER,
    GUEST_LIMITED,
    GUEST_RESTRICTED,
    Collaboration,
    InvitersAllowed,
)
from tunneld.policy.objects import Conflict, GraphObject, ObjectKind

MAX_DOMAIN_POLICY = 25_000  # characters of the whole policy (Microsoft Entra External ID, allow or block invitations)

_GUEST_ROLES = (GUEST_AS_MEMBER, GUEST_LIMITED, GUEST_RESTRICTED)


def _canonical_domain(text: str) -> str:
    domain = text.strip().lower()
    if not is_domain_pattern(domain):
        raise ValueError("not a domain; write names in other scripts as xn--…")
    return domain


def _canonical_guid(text: str) -> str:
    return str(UUID(text))


Domain = Annotated[str, StringConstraints(max_length=255), AfterValidator(_canonical_domain)]
Guid = Annotated[str, StringConstraints(max_length=40), AfterValidator(_canonical_guid)]
GuestRole = Annotated[str, AfterValidator(_canonical_guid)]
Name = Annotated[str, StringConstraints(max_length=256)]
Value = TypeVar("Value", bound=GraphObject)


class AuthorizationPolicy(GraphObject):
    """`/policies/authorizationPolicy`: who may invite, what guests see, whether they may leave by themselves."""

    id: Literal["authorizationPolicy"] = "authorizationPolicy"
    display_name: Name = "Authorization Policy"
    description: Annotated[str, StringConstraints(max_length=1024)] = ""
    allow_invites_from: InvitersAllowed = InvitersAllowed.EVERYONE
    guest_user_role_id: GuestRole = GUEST_LIMITED
    external_users_may_leave: bool = True  # Graph keeps it in externalIdentitiesPolicy (allowExternalIdentitiesToLeave)


class DomainList(GraphObject):
    """Both lists of the domain policy. At most one may have entries; an absent list is null."""

    allowed_domains: tuple[Domain, ...] | None = None
    blocked_domains: tuple[Domain, ...] | None = None


class B2BManagementPolicy(GraphObject):
    """The list of domains that may, or may not, be invited."""

    id: Literal["b2bManagementPolicy"] = "b2bManagementPolicy"
    display_name: Name = "B2BManagementPolicy"
    invitations_allowed_and_blocked_domains_policy: DomainList = DomainList()


class SelfServiceSignUp(GraphObject):
    """Whether people may make themselves guests through a user flow."""

    is_enabled: bool = False


class AuthenticationFlowsPolicy(GraphObject):
    """`/policies/authenticationFlowsPolicy`."""

    id: Literal["authenticationFlowsPolicy"] = "authenticationFlowsPolicy"
    display_name: Name = "Authentication flows policy"
    description: Annotated[str, StringConstraints(max_length=1024)] = ""
    self_service_sign_up: SelfServiceSignUp = SelfServiceSignUp()


class EmailAuthenticationMethod(GraphObject):
    """`…/authenticationMethodConfigurations/email`: the one-time passcode of guests. "default" means enabled."""

    id: Literal["Email", "email"] = "Email"
    state: Literal["enabled", "disabled"] = "enabled"
    allow_external_id_to_use_email_otp: Literal["default", "enabled", "disabled"] = "default"

    @property
    def passcodes(self) -> bool:
        return self.allow_external_id_to_use_email_otp != "disabled"


class Workload(GraphObject):
    """An application and whether it respects the directory's settings when it invites."""

    id: Guid
    display_name: Name = ""
    respects_directory_settings: bool = True


def compile_collaboration(objects: Mapping[str, Mapping[str, GraphObject]]) -> Collaboration:
    """Return what all of a tenant's objects say together; an absent object says what a new tenant starts with."""
    authorization = _the(objects, "authorizationPolicy", AuthorizationPolicy)
    domains = _the(objects, "b2bManagementPolicy", B2BManagementPolicy).invitations_allowed_and_blocked_domains_policy
    workloads = [value for value in objects.get("workload", {}).values() if isinstance(value, Workload)]
    return Collaboration(
        allow_invites_from=authorization.allow_invites_from,
        guest_role=authorization.guest_user_role_id,
        allowed_domains=_entries(domains.allowed_domains),
        blocked_domains=_entries(domains.blocked_domains),
        one_time_passcode=_the(objects, "emailAuthenticationMethod", EmailAuthenticationMethod).passcodes,
        self_service_sign_up=_the(
            objects, "authenticationFlowsPolicy", AuthenticationFlowsPolicy
        ).self_service_sign_up.is_enabled,
        guests_may_leave=authorization.external_users_may_leave,
        workloads_apart=frozenset(value.id for value in workloads if not value.respects_directory_settings),
    )


def _the(objects: Mapping[str, Mapping[str, GraphObject]], kind: str, model: type[Value]) -> Value:
    for value in objects.get(kind, {}).values():
        if isinstance(value, model):
            return value
    return model()


def _entries(domains: tuple[str, ...] | None) -> frozenset[str] | None:
    # An empty list is how clients clear one, so it is no list; "nobody" is said by allowInvitesFrom.
    return frozenset(domains) if domains else None


def _put(directory: Directory, tenant_id: str, values: Mapping[str, GraphObject | None]) -> Directory:
    """Compile anew from everything: five small objects, and no order of writes to think of."""
    del values
    tenant = directory.tenants[tenant_id]
    policy = replace(tenant.policy, collaboration=compile_collaboration(tenant.objects))
    return replace(directory, tenants={**directory.tenants, tenant_id: replace(tenant, policy=policy)})


def _check_guest_role(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    del directory, tenant_id
    assert isinstance(value, AuthorizationPolicy)
    if value.guest_user_role_id in _GUEST_ROLES:
        return None
    mend = f"Use {GUEST_AS_MEMBER} (as members), {GUEST_LIMITED} (limited) or {GUEST_RESTRICTED} (restricted)."
    return Conflict("unknownGuestRole", "There is no such guest user role.", mend, "guestUserRoleId")


def _check_domains(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    """One list, allow or block, never both; not longer than the product's."""
    del directory, tenant_id
    assert isinstance(value, B2BManagementPolicy)
    member = "invitationsAllowedAndBlockedDomainsPolicy"
    lists = value.invitations_allowed_and_blocked_domains_policy
    if lists.allowed_domains and lists.blocked_domains:
        message = "A tenant has a list of allowed domains or one of blocked domains, never both."
        return Conflict("bothDomainLists", message, "Set one of the two to null.", member)
    if len(json.dumps(value.to_json(), separators=(",", ":"))) > MAX_DOMAIN_POLICY:
        message = f"The policy is longer than {MAX_DOMAIN_POLICY} characters."
        return Conflict("domainPolicyTooLong", message, "Join domains with *.<domain>, or shorten the list.", member)
    return None


def _check_passcode(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    """A redemption order whose last resort is the passcode needs the passcode."""
    assert isinstance(value, EmailAuthenticationMethod)
    cross_tenant = directory.tenants[tenant_id].policy.cross_tenant
    fallbacks = {settings.redemption_order.fallback
                 for settings in (cross_tenant.default, *cross_tenant.partners.values()) if settings.redemption_order}
    if value.passcodes or "emailOneTimePasscode" not in fallbacks:
        return None
    return Conflict(
        "fallbackNeedsPasscode", "The redemption order falls back to the one-time passcode, which would be off.",
        "Set fallbackIdentityProvider to defaultConfiguredIdp or microsoftAccount first.",
        "allowExternalIdToUseEmailOtp",
    )


COLLABORATION_KINDS = (
    ObjectKind("authorizationPolicy", AuthorizationPolicy, _put, _check_guest_role),
    ObjectKind("b2bManagementPolicy", B2BManagementPolicy, _put, _check_domains),
    ObjectKind("authenticationFlowsPolicy", AuthenticationFlowsPolicy, _put),
    ObjectKind("emailAuthenticationMethod", EmailAuthenticationMethod, _put, _check_passcode),
    ObjectKind("workload", Workload, _put),
)
