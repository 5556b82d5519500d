"""A world with a guest from outside all tenants, and providers that sign them in."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.integration.idp.world import FABRIKAM, World
from tests.support.saml_partner import DOMAIN, EMAIL, ISSUER, SIGN_IN, partner_certificate
from tunneld.idp.changes import SYSTEM, AuditEntry
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, ObjectRef

GUEST = "bbbbbbbb-0000-4000-8000-000000000009"
FEDERATION = "fed00000-0000-4000-8000-000000000001"
OPENID = "fed00000-0000-4000-8000-000000000002"
OPENID_ISSUER = "https://id.other.example"
OPENID_CLIENT = "client-of-fabrikam"


async def put(world: World, kind: str, document: dict[str, Any], tenant: str = FABRIKAM) -> None:
    """Save an object as the server itself."""
    assert world.provider is not None
    value = KINDS[kind].model.model_validate(document)
    change = Change(ObjectRef(tenant, kind, document["id"]), value)
    await world.provider.commit([change], [AuditEntry("Test", "Test", tenant, SYSTEM)], correlation_id="0" * 32)


async def invite(world: World, mail: str = EMAIL, **more: Any) -> None:
    """Put a guest there who has not accepted yet."""
    await put(world, "user", {
        "id": GUEST, "userPrincipalName": f"{mail.replace('@', '_')}#EXT#@fabrikam.example", "displayName": "Gail",
        "mail": mail, "userType": "Guest", "externalUserState": "PendingAcceptance", **more,
    })


def federation(**changes: Any) -> dict[str, Any]:
    """Return a federation configuration as Graph has it."""
    return {
        "id": FEDERATION, "displayName": "Partner", "issuerUri": ISSUER, "passiveSignInUri": SIGN_IN,
        "signingCertificate": partner_certificate(), "preferredAuthenticationProtocol": "saml",
        "domains": [{"id": DOMAIN}],
    } | changes


def openid(**changes: Any) -> dict[str, Any]:
    """Return an OpenID provider as Graph has it."""
    return {
        "id": OPENID, "displayName": "Other", "identityProviderType": "OpenIdConnect", "clientId": OPENID_CLIENT,
        "clientSecret": "not-to-be-told", "issuer": OPENID_ISSUER, "domains": [{"id": "other.example"}],
    } | changes


def query(response: httpx.Response) -> dict[str, str]:
    """Return the parameters of a redirect to a provider."""
    assert response.status_code == 303, response.text
    return {name: values[0] for name, values in parse_qs(urlsplit(response.headers["location"]).query).items()}
