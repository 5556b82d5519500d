"""From Graph's documents to the settings that decide, and the kinds of object that they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from tunneld.policy.cross_tenant import rules
from tunneld.policy.cross_tenant.documents import (
    AccessDefault,
    AccessPartner,
    AccessPolicy,
    B2BSetting,
    DirectionSetting,
    IdentitySynchronization,
    InboundTrustSetting,
    PartnerTemplate,
    RedemptionSetting,
    SynchronizationTemplate,
    TargetConfiguration,
)
from tunneld.policy.cross_tenant.effective import (
    SERVICE_DEFAULT,
    AutomaticConsent,
    CrossTenantPolicy,
    InboundTrust,
    RedemptionOrder,
    Settings,
    Targets,
)
from tunneld.policy.cross_tenant.effective import B2BSetting as Compiled
from tunneld.policy.cross_tenant.words import ALL_APPLICATIONS, ALL_USERS, SUITES, TargetType, TemplateLevel
from tunneld.policy.directory import Directory, Tenant
from tunneld.policy.objects import GraphObject, ObjectKind

POLICY, DEFAULT, PARTNER = "crossTenantAccessPolicy", "crossTenantAccessDefault", "crossTenantAccessPartner"
SYNCHRONIZATION = "identitySynchronization"
PARTNER_TEMPLATE = "multiTenantOrganizationPartnerTemplate"
SYNCHRONIZATION_TEMPLATE = "multiTenantOrganizationIdentitySyncTemplate"

Values = Mapping[str, GraphObject | None]
Document = TypeVar("Document", bound=GraphObject)


def _put_policy(directory: Directory, tenant_id: str, values: Values) -> Directory:
    root = _only(values, "policy", AccessPolicy)
    clouds = frozenset(root.allowed_cloud_endpoints) if root is not None else frozenset[str]()
    return _with_policy(directory, tenant_id, replace(_policy(directory, tenant_id), allowed_clouds=clouds))


def _put_default(directory: Directory, tenant_id: str, values: Values) -> Directory:
    document = _only(values, "default", AccessDefault)
    settings = default_settings(document) if document is not None else SERVICE_DEFAULT
    untouched = document is None or (document.is_service_default and settings == SERVICE_DEFAULT)
    policy = replace(_policy(directory, tenant_id), default=settings, is_service_default=untouched)
    return _with_policy(directory, tenant_id, policy)


def _put_partners(directory: Directory, tenant_id: str, values: Values) -> Directory:
    """Compile again what belongs to the partners named, from all that the tenant holds of them."""
    policy, tenant = _policy(directory, tenant_id), directory.tenants[tenant_id]
    partners = dict(policy.partners)
    for partner in values:
        partners.pop(partner, None)
        document = tenant.object(PARTNER, partner)
        if isinstance(document, AccessPartner):
            partners[partner] = replace(
                partner_settings(document), user_sync_allowed=_may_synchronize(tenant, partner, document)
            )
    return _with_policy(directory, tenant_id, replace(policy, partners=partners))


def _put_template(directory: Directory, tenant_id: str, values: Values) -> Directory:
    template = _only(values, "template", PartnerTemplate)
    applied = template is not None and template.template_application_level is not TemplateLevel.NONE
    settings = template_settings(template) if template is not None and applied else None
    return _with_policy(directory, tenant_id, replace(_policy(directory, tenant_id), template=settings))


def _put_synchronization_template(directory: Directory, tenant_id: str, values: Values) -> Directory:
    del values
    return _put_partners(directory, tenant_id, dict.fromkeys(_policy(directory, tenant_id).partners))


def _may_synchronize(tenant: Tenant, partner: str, document: AccessPartner) -> bool:
    """Tell whether the partner may push users: its own object says so, or a member's template where it has none."""
    own = tenant.object(SYNCHRONIZATION, partner)
    if isinstance(own, IdentitySynchronization):
        return own.user_sync_inbound is not None and own.user_sync_inbound.is_sync_allowed
    template = tenant.object(SYNCHRONIZATION_TEMPLATE, "template")
    if not document.is_in_multi_tenant_organization or not isinstance(template, SynchronizationTemplate):
        return False
    applied = template.template_application_level is not TemplateLevel.NONE
    return applied and template.user_sync_inbound is not None and template.user_sync_inbound.is_sync_allowed


def default_settings(document: AccessDefault) -> Settings:
    """Return what a default object means."""
    return Settings(
        collaboration_inbound=compile_setting(document.b2b_collaboration_inbound),
        collaboration_outbound=compile_setting(document.b2b_collaboration_outbound),
        direct_connect_inbound=compile_setting(document.b2b_direct_connect_inbound),
        direct_connect_outbound=compile_setting(document.b2b_direct_connect_outbound),
        tenant_restrictions=compile_setting(document.tenant_restrictions),
        inbound_trust=_trust(document.inbound_trust),
        redemption_order=_order(document.invitation_redemption_identity_provider_configuration),
        automatic_consent=AutomaticConsent(),
        block_service_provider_outbound=document.block_service_provider_outbound_access,
    )


def partner_settings(document: AccessPartner) -> Settings:
    """Return what a partner object means; None inherits."""
    return Settings(
        collaboration_inbound=_setting(document.b2b_collaboration_inbound),
        collaboration_outbound=_setting(document.b2b_collaboration_outbound),
        direct_connect_inbound=_setting(document.b2b_direct_connect_inbound),
        direct_connect_outbound=_setting(document.b2b_direct_connect_outbound),
        tenant_restrictions=_setting(document.tenant_restrictions),
        inbound_trust=_trust(document.inbound_trust),
        redemption_order=_order(document.invitation_redemption_identity_provider_configuration),
        automatic_consent=_consent(document.automatic_user_consent_settings),
        service_provider=bool(document.is_service_provider),
        in_multi_tenant_organization=bool(document.is_in_multi_tenant_organization),
        block_service_provider_outbound=document.block_service_provider_outbound_access,
    )


def template_settings(document: PartnerTemplate) -> Settings:
    """Return what members get where their own partner object is null.

    A choice: Graph copies a template into partners when they join; here it is read while they are members, so that
    the order of joining and changing the template does not matter. Either application level means all members.
    """
    return Settings(
        collaboration_inbound=_setting(document.b2b_collaboration_inbound),
        collaboration_outbound=_setting(document.b2b_collaboration_outbound),
        direct_connect_inbound=_setting(document.b2b_direct_connect_inbound),
        direct_connect_outbound=_setting(document.b2b_direct_connect_outbound),
        inbound_trust=_trust(document.inbound_trust),
        automatic_consent=_consent(document.automatic_user_consent_settings),
    )


def compile_setting(setting: B2BSetting) -> Compiled:
    """Return both lists as sets."""
    return Compiled(compile_targets(setting.users_and_groups), compile_targets(setting.applications))


def compile_targets(configuration: TargetConfiguration) -> Targets:
    """Return one list as sets."""
    names = {target.target for target in configuration.targets}
    groups = frozenset(each.target for each in configuration.targets if each.target_type is TargetType.GROUP)
    if names & {ALL_USERS, ALL_APPLICATIONS}:
        return Targets(configuration.access_type)
    keywords = names.intersection(SUITES)
    ids = {each.target for each in configuration.targets if each.target_type is not TargetType.GROUP}
    return Targets(configuration.access_type, False, frozenset(ids - keywords), groups, frozenset(keywords))


def _setting(setting: B2BSetting | None) -> Compiled | None:
    return compile_setting(setting) if setting is not None else None


def _trust(trust: InboundTrustSetting | None) -> InboundTrust | None:
    if trust is None:
        return None
    return InboundTrust(
        trust.is_mfa_accepted, trust.is_compliant_device_accepted, trust.is_hybrid_azure_ad_joined_device_accepted
    )


def _consent(consent: DirectionSetting | None) -> AutomaticConsent | None:
    if consent is None:
        return None
    return AutomaticConsent(bool(consent.inbound_allowed), bool(consent.outbound_allowed))


def _order(order: RedemptionSetting | None) -> RedemptionOrder | None:
    if order is None:
        return None
    primary = tuple(str(word) for word in order.primary_identity_provider_precedence_order)
    return RedemptionOrder(primary, str(order.fallback_identity_provider))


def _only(values: Values, key: str, model: type[Document]) -> Document | None:
    value = values.get(key)
    return value if isinstance(value, model) else None


def _policy(directory: Directory, tenant_id: str) -> CrossTenantPolicy:
    return directory.tenants[tenant_id].policy.cross_tenant


def _with_policy(directory: Directory, tenant_id: str, policy: CrossTenantPolicy) -> Directory:
    tenant = directory.tenants[tenant_id]
    tenant = replace(tenant, policy=replace(tenant.policy, cross_tenant=policy))
    return replace(directory, tenants={**directory.tenants, tenant_id: tenant})


CROSS_TENANT_KINDS = (
    ObjectKind(POLICY, AccessPolicy, _put_policy),
    ObjectKind(DEFAULT, AccessDefault, _put_default, rules.check_default),
    ObjectKind(PARTNER, AccessPartner, _put_partners, rules.check_partner),
    ObjectKind(SYNCHRONIZATION, IdentitySynchronization, _put_partners, rules.check_synchronization),
    ObjectKind(PARTNER_TEMPLATE, PartnerTemplate, _put_template, rules.check_template),
    ObjectKind(SYNCHRONIZATION_TEMPLATE, SynchronizationTemplate, _put_synchronization_template),
)
