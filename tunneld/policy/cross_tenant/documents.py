"""Cross-tenant access settings as Microsoft Graph writes them: the policy, its default, its partners, their templates.

Sources: Microsoft Graph reference, crossTenantAccessPolicy, …ConfigurationDefault, …ConfigurationPartner,
crossTenantIdentitySyncPolicyPartner, multiTenantOrganization…Template. A partner's null inherits. Members that are
about meetings and document protection are stored and given back, and decide nothing here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue, StrictBool

from tunneld.policy.cross_tenant.effective import AccessType
from tunneld.policy.cross_tenant.words import (
    ALL_APPLICATIONS,
    ALL_USERS,
    Cloud,
    DisplayName,
    Fallback,
    Guid,
    Primary,
    TargetName,
    TargetType,
    TemplateLevel,
    any_case,
)
from tunneld.policy.objects import GraphObject

Opaque = dict[str, JsonValue]
# A JSON array is a list, also where a validator has seen it before the strict judgement of types.
_LIST = BeforeValidator(lambda given: tuple(given) if isinstance(given, list) else given)


class Target(GraphObject):
    """One target: an object id of the tenant that the list is about, or a reserved word."""

    target: TargetName
    target_type: Annotated[TargetType, any_case(TargetType)]


class TargetConfiguration(GraphObject):
    """Whether the named targets are let in or kept out."""

    access_type: Annotated[AccessType, any_case(AccessType)]
    targets: Annotated[tuple[Target, ...], _LIST]


class B2BSetting(GraphObject):
    """Both lists are required: Graph does not say what one alone would mean."""

    users_and_groups: TargetConfiguration
    applications: TargetConfiguration


class TenantRestrictionsSetting(B2BSetting):
    """The same for accounts of others on our network; `devices` is always null in what Graph returns."""

    devices: TargetConfiguration | None = None


class InboundTrustSetting(GraphObject):
    """What counts of home's claims."""

    is_mfa_accepted: StrictBool = False
    is_compliant_device_accepted: StrictBool = False
    is_hybrid_azure_ad_joined_device_accepted: StrictBool = Field(
        default=False, alias="isHybridAzureADJoinedDeviceAccepted"
    )


class DirectionSetting(GraphObject):
    """Graph's inboundOutboundPolicyConfiguration."""

    inbound_allowed: StrictBool | None = None
    outbound_allowed: StrictBool | None = None


class RedemptionSetting(GraphObject):
    """Graph's defaultInvitationRedemptionIdentityProviderConfiguration."""

    primary_identity_provider_precedence_order: Annotated[
        tuple[Annotated[Primary, any_case(Primary)], ...], _LIST
    ] = ()
    fallback_identity_provider: Annotated[Fallback, any_case(Fallback)] | None = None


def _everything(access: AccessType) -> B2BSetting:
    users = TargetConfiguration(access_type=access, targets=(Target(target=ALL_USERS, target_type=TargetType.USER),))
    applications = (Target(target=ALL_APPLICATIONS, target_type=TargetType.APPLICATION),)
    return B2BSetting(
        users_and_groups=users, applications=TargetConfiguration(access_type=access, targets=applications)
    )


OPEN_SETTING, CLOSED_SETTING = _everything(AccessType.ALLOWED), _everything(AccessType.BLOCKED)
CLOSED_NETWORK = TenantRestrictionsSetting(
    users_and_groups=CLOSED_SETTING.users_and_groups, applications=CLOSED_SETTING.applications
)
DEFAULT_ORDER = RedemptionSetting(
    primary_identity_provider_precedence_order=tuple(Primary), fallback_identity_provider=Fallback.CONFIGURED
)
NO_DIRECTION = DirectionSetting(inbound_allowed=False, outbound_allowed=False)


def _or(value: GraphObject) -> BeforeValidator:
    """Read null in the default object as what the service starts with: there is nothing else to inherit."""
    return BeforeValidator(lambda given: value if given is None else given)


class AccessPolicy(GraphObject):
    """`/policies/crossTenantAccessPolicy`."""

    id: Literal["policy"] = "policy"
    display_name: DisplayName = "CrossTenantAccessPolicy"
    allowed_cloud_endpoints: tuple[Cloud, ...] = ()


class AccessDefault(GraphObject):
    """`…/default`: one for each tenant, read by everybody who is no partner. `id` is what a network's header names."""

    id: str = Field(default="default", max_length=64)
    is_service_default: StrictBool = True
    b2b_collaboration_inbound: Annotated[B2BSetting, _or(OPEN_SETTING)] = Field(
        default=OPEN_SETTING, alias="b2bCollaborationInbound"
    )
    b2b_collaboration_outbound: Annotated[B2BSetting, _or(OPEN_SETTING)] = Field(
        default=OPEN_SETTING, alias="b2bCollaborationOutbound"
    )
    b2b_direct_connect_inbound: Annotated[B2BSetting, _or(CLOSED_SETTING)] = Field(
        default=CLOSED_SETTING, alias="b2bDirectConnectInbound"
    )
    b2b_direct_connect_outbound: Annotated[B2BSetting, _or(CLOSED_SETTING)] = Field(
        default=CLOSED_SETTING, alias="b2bDirectConnectOutbound"
    )
    inbound_trust: Annotated[InboundTrustSetting, _or(InboundTrustSetting())] = InboundTrustSetting()
    automatic_user_consent_settings: Annotated[DirectionSetting, _or(NO_DIRECTION)] = NO_DIRECTION
    tenant_restrictions: Annotated[TenantRestrictionsSetting, _or(CLOSED_NETWORK)] = CLOSED_NETWORK
    invitation_redemption_identity_provider_configuration: Annotated[RedemptionSetting, _or(DEFAULT_ORDER)] = (
        DEFAULT_ORDER
    )
    block_service_provider_outbound_access: StrictBool = False
    m365_collaboration_inbound: Opaque | None = Field(default=None, alias="m365CollaborationInbound")
    m365_collaboration_outbound: Opaque | None = Field(default=None, alias="m365CollaborationOutbound")
    app_service_connect_inbound: Opaque | None = Field(default=None, alias="appServiceConnectInbound")
    cross_cloud_meeting_configuration: DirectionSetting | None = None
    protected_content_sharing: DirectionSetting | None = None


class AccessPartner(GraphObject):
    """`…/partners/{tenantId}`."""

    tenant_id: Guid
    b2b_collaboration_inbound: B2BSetting | None = Field(default=None, alias="b2bCollaborationInbound")
    b2b_collaboration_outbound: B2BSetting | None = Field(default=None, alias="b2bCollaborationOutbound")
    b2b_direct_connect_inbound: B2BSetting | None = Field(default=None, alias="b2bDirectConnectInbound")
    b2b_direct_connect_outbound: B2BSetting | None = Field(default=None, alias="b2bDirectConnectOutbound")
    inbound_trust: InboundTrustSetting | None = None
    automatic_user_consent_settings: DirectionSetting | None = None
    tenant_restrictions: TenantRestrictionsSetting | None = None
    invitation_redemption_identity_provider_configuration: RedemptionSetting | None = None
    is_service_provider: StrictBool | None = None
    is_in_multi_tenant_organization: StrictBool | None = False
    block_service_provider_outbound_access: StrictBool | None = None
    m365_collaboration_inbound: Opaque | None = Field(default=None, alias="m365CollaborationInbound")
    m365_collaboration_outbound: Opaque | None = Field(default=None, alias="m365CollaborationOutbound")
    app_service_connect_inbound: Opaque | None = Field(default=None, alias="appServiceConnectInbound")
    cross_cloud_meeting_configuration: DirectionSetting | None = None
    protected_content_sharing: DirectionSetting | None = None


class UserSyncInbound(GraphObject):
    """Whether the partner may push its users here."""

    is_sync_allowed: StrictBool = False


class IdentitySynchronization(GraphObject):
    """`…/partners/{tenantId}/identitySynchronization`. Absent, null and false all refuse."""

    tenant_id: Guid
    display_name: DisplayName | None = None
    user_sync_inbound: UserSyncInbound | None = None


Level = Annotated[TemplateLevel, any_case(TemplateLevel)]


class PartnerTemplate(GraphObject):
    """`…/templates/multiTenantOrganizationPartnerConfiguration`."""

    id: Literal["template"] = "template"
    template_application_level: Level = TemplateLevel.NONE
    b2b_collaboration_inbound: B2BSetting | None = Field(default=None, alias="b2bCollaborationInbound")
    b2b_collaboration_outbound: B2BSetting | None = Field(default=None, alias="b2bCollaborationOutbound")
    b2b_direct_connect_inbound: B2BSetting | None = Field(default=None, alias="b2bDirectConnectInbound")
    b2b_direct_connect_outbound: B2BSetting | None = Field(default=None, alias="b2bDirectConnectOutbound")
    inbound_trust: InboundTrustSetting | None = None
    automatic_user_consent_settings: DirectionSetting | None = None


class SynchronizationTemplate(GraphObject):
    """`…/templates/multiTenantOrganizationIdentitySynchronization`."""

    id: Literal["template"] = "template"
    template_application_level: Level = TemplateLevel.NONE
    user_sync_inbound: UserSyncInbound | None = None
