"""One object of every kind, and a change of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.integration.idp.world import BOB, FABRIKAM
from tests.support.saml_partner import partner_certificate

PARTNERS = "/v1.0/policies/crossTenantAccessPolicy/partners"
READER = "5d6b6bb7-de71-4623-b4af-96380a352509"


@dataclass(frozen=True)
class Sample:
    """`before` is sent first; `key` is for objects that are put in a place; `shared` ones exist in every tenant."""

    create: dict[str, Any] = field(default_factory=dict)
    update: dict[str, Any] = field(default_factory=dict)
    before: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    key: str = ""
    shared: bool = False


NO_TARGETS = {
    "usersAndGroups": {"accessType": "blocked", "targets": [{"target": "AllUsers", "targetType": "user"}]},
    "applications": {
        "accessType": "blocked", "targets": [{"target": "AllApplications", "targetType": "application"}],
    },
}
POLICY = {
    "displayName": "MFA for all", "state": "enabledForReportingButNotEnforced",
    "conditions": {
        "users": {"includeUsers": ["All"]}, "applications": {"includeApplications": ["All"]},
        "clientAppTypes": ["all"],
    },
    "grantControls": {"operator": "OR", "builtInControls": ["mfa"]},
}

SAMPLES: dict[str, Sample] = {
    "crossTenantAccessPolicy": Sample(update={"displayName": "Ours"}),
    "crossTenantAccessDefault": Sample(update={"inboundTrust": {"isMfaAccepted": True}}),
    "crossTenantAccessPartner": Sample({"tenantId": FABRIKAM}, {"b2bCollaborationInbound": NO_TARGETS}),
    "identitySynchronization": Sample(
        {"userSyncInbound": {"isSyncAllowed": False}}, {"userSyncInbound": {"isSyncAllowed": True}},
        (("POST", PARTNERS, {"tenantId": FABRIKAM}),), FABRIKAM,
    ),
    "multiTenantOrganizationPartnerTemplate": Sample(update={"inboundTrust": {"isMfaAccepted": True}}),
    "multiTenantOrganizationIdentitySyncTemplate": Sample(update={"userSyncInbound": {"isSyncAllowed": True}}),
    "conditionalAccessPolicy": Sample(POLICY, {"state": "disabled"}),
    "namedLocation": Sample(
        {"@odata.type": "#microsoft.graph.ipNamedLocation", "displayName": "Office", "isTrusted": False,
         "ipRanges": [{"@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "203.0.113.0/24"}]},
        {"isTrusted": True},
    ),
    "authenticationStrengthPolicy": Sample(
        {"displayName": "Keys", "allowedCombinations": ["fido2"]}, {"description": "Security keys alone"},
    ),
    "authenticationContextClassReference": Sample(
        {"id": "c7", "displayName": "Careful", "isAvailable": True}, {"description": "For changes"},
    ),
    "agreement": Sample({"displayName": "Terms", "text": "Be kind."}, {"version": 2}),
    "authorizationPolicy": Sample(update={"allowInvitesFrom": "adminsAndGuestInviters"}),
    "roleDefinition": Sample(
        {"displayName": "Partner reader", "rolePermissions": [
            {"allowedResourceActions": ["microsoft.directory/crossTenantAccessPolicy/partners/standard/read"]}]},
        {"description": "Looks"},
    ),
    "federationConfiguration": Sample(
        {"displayName": "Partner", "issuerUri": "urn:partner", "passiveSignInUri": "https://sts.partner.example/ls",
         "signingCertificate": partner_certificate(), "preferredAuthenticationProtocol": "saml",
         "domains": [{"id": "partner.example"}]},
        {"displayName": "A partner"},
    ),
    "identityProvider": Sample(
        {"displayName": "Google", "identityProviderType": "Google", "clientId": "ours", "clientSecret": "hush-hush"},
        {"clientId": "ours-too"},
    ),
    "user": Sample(
        {"userPrincipalName": "carol@contoso.example", "displayName": "Carol", "accountEnabled": True,
         "mailNickname": "carol", "passwordProfile": {"password": "correct horse 9"}},
        {"department": "Sales", "otherMails": ["carol@home.example"]},
    ),
    "group": Sample({"displayName": "Sales", "mailEnabled": False, "securityEnabled": True}, {"description": "All"}),
    "application": Sample({"displayName": "Shop"}, {"displayName": "Shop 2"}),
    "device": Sample({"id": "99999999-0000-4000-8000-00000000000d", "displayName": "Laptop"}, {"isCompliant": True}),
    "roleAssignment": Sample({"principalId": BOB, "roleDefinitionId": READER}),
}
