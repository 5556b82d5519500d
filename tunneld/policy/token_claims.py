"""The claims of access and ID tokens, version 2.0 of the Microsoft identity platform's shape, as pure functions.

`oid`, `groups` and `acct` are those of the tenant that is signed in to; a guest's home appears in `idp` and, for
test rigs that must see through it, in one namespaced claim that the real platform does not have.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field

from tunneld.policy.directory import UserType
from tunneld.policy.sign_in import Grant

MOCK_CLAIM = "urn:tunneld:x"
MAX_GROUPS = 200  # more become an overage pointer: the published limit of groups in a JWT


@dataclass(frozen=True, slots=True)
class TokenInputs:
    """What the claims need besides the decision: names of issuers, ids, the clock."""

    base_url: str
    session_id: str
    token_id: str
    subject_salt: bytes = field(repr=False)
    now: int
    lifetime_s: int
    capabilities: tuple[str, ...] = ()
    key_thumbprint: str | None = None


def issuer(base_url: str, tenant_id: str) -> str:
    """Return the `iss` of a tenant."""
    return f"{base_url}/{tenant_id}/v2.0"


def pairwise_subject(salt: bytes, audience: str, oid: str) -> str:
    """Return a `sub` that differs per (tenant salt, audience, user) (OpenID Connect Core §8.1)."""
    digest = hmac.digest(salt, f"{audience}\0{oid}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def access_claims(grant: Grant, inputs: TokenInputs) -> dict[str, object]:
    """Return the claims of an access token for the resource of `grant`."""
    audience = grant.resource.id
    claims = _identity_claims(grant, inputs, audience)
    claims |= {
        "acct": 1 if grant.user.user_type is UserType.GUEST else 0,
        "azp": grant.client.id,
        "azpacr": "0",
        "scp": grant.resource.scope,
        "uti": inputs.token_id,
        MOCK_CLAIM: {
            "home_tid": grant.home.id,
            "home_oid": grant.home_user.oid,
            "user_type": str(grant.user.user_type),
        },
    }
    claims |= _group_claims(grant, inputs)
    if inputs.capabilities:
        claims["xms_cc"] = list(inputs.capabilities)
    if inputs.key_thumbprint is not None:
        claims["cnf"] = {"jkt": inputs.key_thumbprint}  # RFC 7800 §3.1, member registered by RFC 9449
    return claims


def id_claims(grant: Grant, inputs: TokenInputs, nonce: str | None) -> dict[str, object]:
    """Return the claims of an ID token for the client of `grant` (OpenID Connect Core §2)."""
    claims = _identity_claims(grant, inputs, grant.client.id)
    if nonce is not None:
        claims["nonce"] = nonce
    return claims


def _identity_claims(grant: Grant, inputs: TokenInputs, audience: str) -> dict[str, object]:
    claims: dict[str, object] = {
        "ver": "2.0",
        "iss": issuer(inputs.base_url, grant.tenant.id),
        "aud": audience,
        "tid": grant.tenant.id,
        "oid": grant.user.oid,
        "sub": pairwise_subject(inputs.subject_salt, audience, grant.user.oid),
        "sid": inputs.session_id,
        "name": grant.user.display_name,
        "preferred_username": grant.home_user.upn,
        "iat": inputs.now,
        "nbf": inputs.now,
        "exp": inputs.now + inputs.lifetime_s,
    }
    if grant.home.id != grant.tenant.id:
        claims["idp"] = issuer(inputs.base_url, grant.home.id)
    return claims


def _group_claims(grant: Grant, inputs: TokenInputs) -> dict[str, object]:
    groups = grant.user.groups
    if not groups:
        return {}
    if len(groups) <= MAX_GROUPS:
        return {"groups": list(groups)}
    endpoint = f"{inputs.base_url}/v1.0/users/{grant.user.oid}/getMemberObjects"
    return {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": endpoint}}}
