"""Minting what a grant is worth, and checking the access tokens that come back to our own APIs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from starlette.requests import Request

from tunneld.idp.answers import ApiError
from tunneld.idp.provider import Provider
from tunneld.idp.sealing import new_id
from tunneld.idp.sessions import credential_of
from tunneld.idp.store import Session
from tunneld.policy.directory import Tenant, User
from tunneld.policy.scopes import ScopeRequest
from tunneld.policy.sign_in import Grant
from tunneld.policy.token_claims import TokenInputs, access_claims, id_claims, issuer

MAX_TOKEN = 12 * 1024  # the limit of the whole system; ours are about 1.5 KiB


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What the client asked to have in its tokens."""

    scope: ScopeRequest
    nonce: str | None = None
    key_thumbprint: str | None = None
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a verified access token speaks for, as the directory knows them now."""

    tenant: Tenant
    user: User
    issued_at: int
    bound: bool
    contexts: frozenset[str] = frozenset()  # authentication contexts that were satisfied (`acrs`)
    capabilities: frozenset[str] = frozenset()  # what the client said that it can do (`xms_cc`)


def token_response(
    provider: Provider, grant: Grant, session: Session, wanted: TokenRequest, refresh_token: str
) -> dict[str, object]:
    """Return the body of a successful token response (RFC 6749 §5.1)."""
    inputs = TokenInputs(
        provider.base_url, session.id, new_id(), provider.seal.derive(f"subject\0{grant.tenant.id}"), provider.now(),
        provider.token_lifetime(grant.tenant), wanted.capabilities, wanted.key_thumbprint,
    )
    body: dict[str, object] = {
        "token_type": "Bearer",
        "scope": _granted_scope(grant, wanted.scope),
        "expires_in": inputs.lifetime_s,
        "access_token": provider.keys.sign(grant.tenant.id, access_claims(grant, inputs)),
    }
    trusted = grant.client.trusted
    if trusted or "offline_access" in wanted.scope.openid:
        body["refresh_token"] = refresh_token
    if trusted or "openid" in wanted.scope.openid:
        body["id_token"] = provider.keys.sign(grant.tenant.id, id_claims(grant, inputs, wanted.nonce))
    if trusted and grant.home.id == grant.tenant.id:
        body["session_credential"] = credential_of(provider, session)
    return body


def _granted_scope(grant: Grant, scope: ScopeRequest) -> str:
    resource = [f"api://{grant.resource.id}/{word}" for word in grant.resource.scope.split()]
    return " ".join([*sorted(scope.openid), *resource])


def bearer_claims(provider: Provider, request: Request) -> dict[str, Any]:  # JSON
    """Return the claims of the one token that a request carries, ours and in its time. Raises ApiError(401)."""
    headers = request.headers.getlist("authorization")
    if len(headers) != 1 or not headers[0].startswith("Bearer "):
        raise ApiError(401, "InvalidAuthenticationToken", "One bearer token is needed.")
    claims = _verified_claims(provider, headers[0].removeprefix("Bearer "))
    now = provider.now()
    if claims is None:
        raise ApiError(401, "InvalidAuthenticationToken", "The token does not verify.")
    if not claims["nbf"] - 60 <= now < claims["exp"]:
        raise ApiError(401, "InvalidAuthenticationToken", "The token has expired or is not valid yet.")
    return claims


def verify_bearer(provider: Provider, request: Request, audience: str) -> Caller:
    """Return the caller of one of our own APIs. Raises ApiError(401 or 403)."""
    claims = bearer_claims(provider, request)
    if claims["aud"] != audience or "scp" not in claims:
        raise ApiError(401, "InvalidAuthenticationToken", "The token is for another audience.")
    tenant = provider.directory.tenants.get(claims["tid"])
    user = tenant.users.get(claims["oid"]) if tenant else None
    if tenant is None or user is None or not user.enabled:
        raise ApiError(403, "Authorization_RequestDenied", "The user does not exist or is disabled.")
    return Caller(
        tenant, user, claims["iat"], "cnf" in claims, frozenset(claims.get("acrs", ())),
        frozenset(claims.get("xms_cc", ())),
    )


def _verified_claims(provider: Provider, token: str) -> dict[str, Any] | None:  # JSON
    """Return the claims of a token that we signed. Its form is known exactly, so anything else is refused unread."""
    if len(token) > MAX_TOKEN or token.count(".") != 2:
        return None
    try:
        unverified = jws.extract_compact(token.encode("ascii"))
        tenant_id = json.loads(unverified.payload)["tid"]
        header = unverified.headers()
        if set(header) != {"alg", "kid", "typ"} or not isinstance(tenant_id, str):
            return None
        key = provider.keys.public_key(tenant_id, header["kid"])
        if key is None:
            return None
        jws.deserialize_compact(token, RSAKey.import_key(key), algorithms=["RS256"])
        claims = json.loads(unverified.payload)
    except (JoseError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None
    # A tenant's keys speak for that tenant only.
    return claims if claims.get("iss") == issuer(provider.base_url, tenant_id) else None
