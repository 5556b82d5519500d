"""Graph's documents: read leniently in letter case, written canonically, put back to the start."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.access_oracle import INITIAL, everything
from tests.support.access_world import BARE, HOME, RESOURCE, change, directory_of
from tunneld.policy.cross_tenant.documents import AccessDefault, AccessPolicy
from tunneld.policy.cross_tenant.effective import (
    CLOSED,
    OPEN,
    SERVICE_DEFAULT,
    AutomaticConsent,
    CrossTenantPolicy,
    Effective,
    InboundTrust,
    RedemptionOrder,
    Settings,
    policy_id,
)
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, ObjectRef
from tunneld.policy.overlay import put_objects

Body = dict[str, Any]


def read(kind: str, body: Body) -> Body:
    return KINDS[kind].model.model_validate_json(json.dumps(body), strict=True).to_json()


def test_words_are_read_in_any_case_and_written_in_one() -> None:
    """Case and stray blanks do not matter, in words and in ids."""
    body = {
        "tenantId": f" {HOME.upper()} ",
        "b2bCollaborationInbound": {
            "usersAndGroups": {"accessType": " ALLOWED", "targets": [{"target": "allusers ", "targetType": "User"}]},
            "applications": {"accessType": "Blocked", "targets": [
                {"target": "OFFICE365", "targetType": " application "},
                {"target": " EEEEEEEE-0000-4000-8000-000000000001", "targetType": "Application"},
            ]},
        },
        "invitationRedemptionIdentityProviderConfiguration": {
            "primaryIdentityProviderPrecedenceOrder": ["ExternalFederation", " azureactivedirectory"],
            "fallbackIdentityProvider": "EmailOneTimePasscode ",
        },
    }
    found = read("crossTenantAccessPartner", body)
    assert found["tenantId"] == HOME
    assert found["b2bCollaborationInbound"] == {
        "usersAndGroups": {"accessType": "allowed", "targets": [{"target": "AllUsers", "targetType": "user"}]},
        "applications": {"accessType": "blocked", "targets": [
            {"target": "Office365", "targetType": "application"},
            {"target": "eeeeeeee-0000-4000-8000-000000000001", "targetType": "application"},
        ]},
    }
    assert found["invitationRedemptionIdentityProviderConfiguration"] == {
        "primaryIdentityProviderPrecedenceOrder": ["externalFederation", "azureActiveDirectory"],
        "fallbackIdentityProvider": "emailOneTimePasscode",
    }
    level = {"templateApplicationLevel": "ExistingPartners, newPartners"}
    template = read("multiTenantOrganizationPartnerTemplate", level)
    assert template["templateApplicationLevel"] == "newPartners,existingPartners"
    clouds = {"allowedCloudEndpoints": [" MICROSOFTONLINE.US", "microsoftonline.cn"]}
    canonical = ["microsoftonline.us", "partner.microsoftonline.cn"]
    assert read("crossTenantAccessPolicy", clouds)["allowedCloudEndpoints"] == canonical


@pytest.mark.parametrize("kind", ["crossTenantAccessPartner", "crossTenantAccessDefault"])
def test_what_decides_nothing_comes_back_as_it_was(kind: str) -> None:
    """Meetings and document protection are stored and shown."""
    opaque = {
        "m365CollaborationInbound": {"users": {"accessType": "allowed", "targets": []}},
        "m365CollaborationOutbound": {"usersAndGroups": {"anything": [1, None, {"deep": True}]}},
        "appServiceConnectInbound": {"applications": None, "m365Capabilities": ["x"]},
        "crossCloudMeetingConfiguration": {"inboundAllowed": True, "outboundAllowed": None},
        "protectedContentSharing": {"inboundAllowed": False, "outboundAllowed": True},
    }
    body = {**opaque, "tenantRestrictions": {**everything("blocked"), "devices": None}}
    if kind == "crossTenantAccessPartner":
        body["tenantId"] = HOME
    found = read(kind, body)
    assert {name: found[name] for name in opaque} == opaque
    assert read(kind, found) == found


BAD: list[tuple[str, Body]] = [
    ("crossTenantAccessPartner", {}),
    ("crossTenantAccessPartner", {"tenantId": "contoso.example"}),
    ("crossTenantAccessPartner", {"tenantId": HOME, "unknown": 1}),
    ("crossTenantAccessPartner", {"tenantId": HOME, "inboundTrust": {"isMfaAccepted": "true"}}),
    ("crossTenantAccessPartner", {"tenantId": HOME, "inboundTrust": {"isMfaAccepted": 1}}),
    ("crossTenantAccessPartner", {"tenantId": HOME, "isServiceProvider": "yes"}),
    ("crossTenantAccessDefault", {"isServiceDefault": 0}),
    ("crossTenantAccessDefault", {"inboundTrust": []}),
    ("crossTenantAccessDefault", {"id": "x" * 65}),
    ("crossTenantAccessPolicy", {"allowedCloudEndpoints": ["example.com"]}),
    ("crossTenantAccessPolicy", {"displayName": "nul\u0000"}),
    ("crossTenantAccessPolicy", {"displayName": "x" * 257}),
    ("identitySynchronization", {"tenantId": HOME, "userSyncInbound": {"isSyncAllowed": None}}),
    ("multiTenantOrganizationPartnerTemplate", {"templateApplicationLevel": "all"}),
]
HALF = everything("allowed")
BAD_SETTINGS: list[Any] = [
    {"usersAndGroups": HALF["usersAndGroups"]},
    {"applications": HALF["applications"]},
    {**HALF, "usersAndGroups": None},
    {**HALF, "usersAndGroups": {"accessType": "unknownFutureValue", "targets": []}},
    {**HALF, "usersAndGroups": {"accessType": 1, "targets": []}},
    {**HALF, "usersAndGroups": {"accessType": "allowed", "targets": "AllUsers"}},
    {**HALF, "usersAndGroups": {"accessType": "allowed", "targets": [{"target": "somebody", "targetType": "user"}]}},
    {**HALF, "usersAndGroups": {"accessType": "allowed", "targets": [{"target": HOME, "targetType": "device"}]}},
    {**HALF, "usersAndGroups": {"accessType": "allowed", "targets": [{"target": HOME}]}},
    {**HALF, "more": 1},
]


@pytest.mark.parametrize(
    ("kind", "body"),
    [*BAD, *(("crossTenantAccessDefault", {"b2bCollaborationInbound": setting}) for setting in BAD_SETTINGS),
     *(("crossTenantAccessPartner", {"tenantId": HOME, "tenantRestrictions": setting}) for setting in BAD_SETTINGS)],
)
def test_malformed_documents_are_refused(kind: str, body: Body) -> None:
    """Wrong types, unknown members and words, halves of a setting."""
    with pytest.raises(ValidationError):
        read(kind, body)


def test_default_of_the_service_and_back() -> None:
    """A tenant starts with the published values; what it writes is its own; a reset forgets that."""
    first = AccessDefault().to_json()
    assert first["isServiceDefault"]
    assert {name: first[name] for name in INITIAL if name != "tenantRestrictions"} == {
        name: value for name, value in INITIAL.items() if name != "tenantRestrictions"
    }
    assert first["tenantRestrictions"] == {**INITIAL["tenantRestrictions"], "devices": None}
    patched = {**first, "b2bCollaborationInbound": everything("blocked"), "isServiceDefault": False}
    changed = put_objects(BARE, [change(RESOURCE, "crossTenantAccessDefault", "default", patched)])
    policy = changed.tenants[RESOURCE].policy.cross_tenant
    assert policy.collaboration_inbound(HOME) == Effective(CLOSED, "default")
    assert policy.inbound_trust(HOME) == Effective(InboundTrust(), "default")
    reset = change(RESOURCE, "crossTenantAccessDefault", "default", first)
    gone = Change(ObjectRef(RESOURCE, "crossTenantAccessDefault", "default"), None)
    for back in (reset, gone):
        policy = put_objects(changed, [back]).tenants[RESOURCE].policy.cross_tenant
        assert (policy.is_service_default, policy.default) == (True, SERVICE_DEFAULT)
        assert policy.collaboration_inbound(HOME) == Effective(OPEN, "service")


def test_nulls_in_the_default_are_what_the_service_starts_with() -> None:
    """There is nothing else to inherit."""
    nulls = dict.fromkeys(("b2bCollaborationInbound", "inboundTrust", "tenantRestrictions",
                           "automaticUserConsentSettings", "invitationRedemptionIdentityProviderConfiguration"))
    assert read("crossTenantAccessDefault", nulls) == AccessDefault().to_json()


def test_policies_and_partners_go_as_they_came() -> None:
    """Deleting an object takes its effect away."""
    bodies = {RESOURCE: {
        "policy": {"allowedCloudEndpoints": ["microsoftonline.us"]}, "partners": {HOME: {"isServiceProvider": True}},
        "template": {"templateApplicationLevel": "newPartners", "inboundTrust": {"isMfaAccepted": True}},
    }}
    directory = directory_of(bodies)
    policy = directory.tenants[RESOURCE].policy.cross_tenant
    assert (policy.allowed_clouds, policy.service_provider(HOME)) == (frozenset({"microsoftonline.us"}), True)
    assert policy.template == Settings(inbound_trust=InboundTrust(mfa=True))
    refs = (("crossTenantAccessPolicy", "policy"), ("crossTenantAccessPartner", HOME),
            ("multiTenantOrganizationPartnerTemplate", "template"))
    gone = put_objects(directory, [Change(ObjectRef(RESOURCE, *ref), None) for ref in refs])
    assert gone.tenants[RESOURCE].policy.cross_tenant == CrossTenantPolicy()
    assert AccessPolicy().to_json()["allowedCloudEndpoints"] == []


def test_every_lookup_says_where_it_found_its_value() -> None:
    """Partner, else the template for members, else the default, else the service."""
    own = Settings(redemption_order=RedemptionOrder((), "microsoftAccount"), in_multi_tenant_organization=True)
    template = Settings(automatic_consent=AutomaticConsent(True, True))
    changed = Settings(block_service_provider_outbound=True)
    policy = CrossTenantPolicy(changed, False, {HOME: own}, template=template)
    assert policy.redemption_order(HOME) == Effective(RedemptionOrder((), "microsoftAccount"), "partner")
    assert policy.redemption_order() == Effective(RedemptionOrder(), "service")
    assert policy.automatic_consent(HOME) == Effective(AutomaticConsent(True, True), "template")
    assert policy.block_service_provider_outbound(HOME) == Effective(True, "default")
    outsider = CrossTenantPolicy(changed, False, {HOME: Settings()}, template=template)
    assert outsider.automatic_consent(HOME) == Effective(AutomaticConsent(), "service")
    assert policy.tenant_restrictions(HOME) == Effective(CLOSED, "service")


def test_the_policy_id_is_a_guid_of_the_tenant() -> None:
    """It is what a network's header names, and the same for ever."""
    assert policy_id(HOME) == "c17c100b-2088-8291-8e81-1f3c69818c78"
    assert policy_id(HOME) != policy_id(RESOURCE)
