"""What well-formed cross-tenant settings may not say: each rule with its name, the member, and the mend.

The portal only warns of most of these and Graph's error texts are not published, so the names are our own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tunneld.policy.clouds import same_cloud
from tunneld.policy.cross_tenant.documents import (
    CLOSED_SETTING,
    AccessDefault,
    AccessPartner,
    B2BSetting,
    IdentitySynchronization,
    InboundTrustSetting,
    PartnerTemplate,
    RedemptionSetting,
    Target,
    TargetConfiguration,
)
from tunneld.policy.cross_tenant.effective import PERSONAL_TENANT, AccessType
from tunneld.policy.cross_tenant.words import ALL_APPLICATIONS, ALL_USERS, SUITES, TargetType
from tunneld.policy.directory import Directory, Tenant
from tunneld.policy.objects import Conflict, GraphObject

Conflicts = Iterator[Conflict]
_DIRECT_CONNECT = ("b2bDirectConnectInbound", "b2bDirectConnectOutbound")
_PEOPLE = frozenset({TargetType.USER, TargetType.GROUP})


def check_default(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    """Hold a default object against the rules."""
    assert isinstance(value, AccessDefault)
    return next(_default_conflicts(directory.tenants[tenant_id], value), None)


def check_partner(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    """Hold a partner object against the rules."""
    assert isinstance(value, AccessPartner)
    return next(_partner_conflicts(directory, directory.tenants[tenant_id], value), None)


def check_template(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    """Hold a template against the rules that its settings would be held against in a partner."""
    assert isinstance(value, PartnerTemplate)
    tenant = directory.tenants[tenant_id]
    settings = _settings(value)
    conflicts = (conflict for name, setting in settings for conflict in _setting_conflicts(name, setting))
    return next(conflicts, None) or next(_licence_conflicts(tenant, settings, value.inbound_trust), None)


def check_synchronization(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    """Let users be pushed by partners only. Automatic redemption may be missing: the job says so when it runs."""
    assert isinstance(value, IdentitySynchronization)
    if value.tenant_id in directory.tenants[tenant_id].policy.cross_tenant.partners:
        return None
    mend = "Add the organization to the partners first."
    return Conflict("partnerNotFound", f"{value.tenant_id} is no partner.", mend, "tenantId")


def _default_conflicts(tenant: Tenant, value: AccessDefault) -> Conflicts:
    settings = _settings(value)
    for name, setting in settings:
        yield from _setting_conflicts(name, setting)
    for name, setting in settings:
        if not name.endswith("Outbound") and not _is_everybody(setting.users_and_groups):
            yield Conflict(
                "targetNotAllowedInDefault", f"{name} of the default names users or groups of unknown tenants.",
                "Use AllUsers, or set the targets in a partner.", f"{name}.usersAndGroups",
            )
    consent = value.automatic_user_consent_settings
    if consent.inbound_allowed or consent.outbound_allowed:
        yield Conflict(
            "notWritableInDefault", "Automatic redemption is agreed on with one organization, never by default.",
            "Set it in a partner.", "automaticUserConsentSettings",
        )
    yield from _order_conflicts(value.invitation_redemption_identity_provider_configuration)
    yield from _licence_conflicts(tenant, settings, value.inbound_trust)


def _partner_conflicts(directory: Directory, tenant: Tenant, value: AccessPartner) -> Conflicts:
    if value.tenant_id == tenant.id:
        yield Conflict(
            "ownTenantAsPartner", "A tenant is no partner of itself.", "Use the id of another tenant.", "tenantId"
        )
    settings = _settings(value)
    for name, setting in settings:
        yield from _setting_conflicts(name, setting)
        if value.tenant_id == PERSONAL_TENANT and not _is_everybody(setting.users_and_groups):
            yield Conflict(
                "personalAccountsNotTargetable", "Personal accounts cannot be told apart by user or group.",
                "Use AllUsers, and target applications.", f"{name}.usersAndGroups",
            )
    partner = directory.tenants.get(value.tenant_id)
    for name, setting in settings:
        across = partner is not None and not same_cloud(partner, tenant)
        if across and name in _DIRECT_CONNECT and setting != CLOSED_SETTING:
            yield Conflict(
                "directConnectAcrossClouds", "B2B direct connect does not work between clouds.",
                "Use null, or block all users and applications.", name,
            )
    if value.invitation_redemption_identity_provider_configuration is not None:
        yield from _order_conflicts(value.invitation_redemption_identity_provider_configuration)
    yield from _licence_conflicts(tenant, settings, value.inbound_trust)


def _settings(value: AccessDefault | AccessPartner | PartnerTemplate) -> list[tuple[str, B2BSetting]]:
    named: list[tuple[str, B2BSetting | None]] = [
        ("b2bCollaborationInbound", value.b2b_collaboration_inbound),
        ("b2bCollaborationOutbound", value.b2b_collaboration_outbound),
        ("b2bDirectConnectInbound", value.b2b_direct_connect_inbound),
        ("b2bDirectConnectOutbound", value.b2b_direct_connect_outbound),
    ]
    if not isinstance(value, PartnerTemplate):
        named.append(("tenantRestrictions", value.tenant_restrictions))
    return [(name, setting) for name, setting in named if setting is not None]


def _setting_conflicts(name: str, setting: B2BSetting) -> Conflicts:
    users, applications = setting.users_and_groups, setting.applications
    yield from _list_conflicts(f"{name}.usersAndGroups", users, _fits_users)
    yield from _list_conflicts(f"{name}.applications", applications, _fits_applications)
    nobody = users.access_type is AccessType.BLOCKED and _is_everybody(users)
    nothing = applications.access_type is AccessType.BLOCKED and _is_everything(applications)
    if nobody and not nothing:
        yield Conflict(
            "conflictingAccess", f"{name} blocks all users, but not all applications.",
            "Block AllApplications too, or let some users in.", f"{name}.applications",
        )
    if nothing and not nobody:
        said = "allows users" if users.access_type is AccessType.ALLOWED else "does not block all users"
        yield Conflict(
            "conflictingAccess", f"{name} {said}, but blocks all applications.",
            "Allow at least one application, or block AllUsers too.", f"{name}.usersAndGroups",
        )


def _list_conflicts(place: str, configuration: TargetConfiguration, fits: Callable[[Target], bool]) -> Conflicts:
    targets = configuration.targets
    if not targets:
        yield Conflict("emptyTargets", "The list names nobody and nothing.", "Name a target.", f"{place}.targets")
    for index, target in enumerate(targets):
        if not fits(target):
            yield Conflict(
                "targetTypeMismatch", f"{target.target} of type {target.target_type} does not belong in this list.",
                "Users and groups go with AllUsers (type user), applications with AllApplications.",
                f"{place}.targets[{index}]",
            )
    if len(targets) > 1 and any(target.target in (ALL_USERS, ALL_APPLICATIONS) for target in targets):
        yield Conflict(
            "keywordMixedWithIds", "A list that names all names nothing else.", "Keep the keyword or the ids.",
            f"{place}.targets",
        )


def _fits_users(target: Target) -> bool:
    if target.target == ALL_USERS:
        return target.target_type is TargetType.USER
    return target.target_type in _PEOPLE and target.target not in (ALL_APPLICATIONS, *SUITES)


def _fits_applications(target: Target) -> bool:
    return target.target_type is TargetType.APPLICATION and target.target != ALL_USERS


def _is_everybody(configuration: TargetConfiguration) -> bool:
    return any(target.target == ALL_USERS for target in configuration.targets)


def _is_everything(configuration: TargetConfiguration) -> bool:
    return any(target.target == ALL_APPLICATIONS for target in configuration.targets)


def _order_conflicts(order: RedemptionSetting) -> Conflicts:
    place = "invitationRedemptionIdentityProviderConfiguration"
    primary = order.primary_identity_provider_precedence_order
    if order.fallback_identity_provider is None:
        yield Conflict(
            "fallbackRequired", "An invitation needs a way to be redeemed when no other fits.",
            "Name a fallbackIdentityProvider.", f"{place}.fallbackIdentityProvider",
        )
    if len(set(primary)) != len(primary):
        yield Conflict(
            "duplicateIdentityProvider", "An identity provider is named twice.", "Name each once.",
            f"{place}.primaryIdentityProviderPrecedenceOrder",
        )


def _licence_conflicts(
    tenant: Tenant, settings: list[tuple[str, B2BSetting]], trust: InboundTrustSetting | None
) -> Conflicts:
    """Targets of one's own and trust are part of the first premium licence; so is direct connect."""
    if tenant.has_p1:
        return
    mend = "Give the tenant the licence, or use AllUsers and AllApplications without trust and direct connect."
    for name, setting in settings:
        coarse = _is_everybody(setting.users_and_groups) and _is_everything(setting.applications)
        if not coarse or (name in _DIRECT_CONNECT and setting != CLOSED_SETTING):
            yield Conflict("licenseRequired", f"{name} needs a Microsoft Entra ID P1 licence.", mend, name, 403)
    if trust is not None and trust != InboundTrustSetting():
        yield Conflict("licenseRequired", "Trust needs a Microsoft Entra ID P1 licence.", mend, "inboundTrust", 403)
