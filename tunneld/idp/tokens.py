"""Minting what a grant is worth, and checking the access tokens that come back to our own APIs."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from tunneld.idp.answers import ApiError
from tunneld.idp.provider import Provider
from tunneld.idp.sessions import credential_of
from tunneld.idp.store import Session
from tunneld.model.errors import TokenError
from tunneld.model.reasons import Reason
from tunneld.policy.compact_token import bearer, take_apart
from tunneld.policy.directory import DIRECTORY_API, Tenant, User
from tunneld.policy.facts import SessionFacts
from tunneld.policy.scopes import ScopeRequest
from tunneld.policy.sign_in import Grant, SignInRequest
from tunneld.policy.token_claims import TokenInputs, access_claims, id_claims, issuer
from tunneld.policy.tokens import Trust, verify


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What the client asked to have in its tokens."""

    scope: ScopeRequest
    nonce: str | None = None
    key_thumbprint: str | None = None
    capabilities: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()  # authentication contexts that the client was told to ask for


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a verified access token speaks for, as the directory knows them now."""

    tenant: Tenant
    user: User
    issued_at: int
    bound: bool
    contexts: frozenset[str] = frozenset()  # authentication contexts that were satisfied (`acrs`)
    capabilities: frozenset[str] = frozenset()  # what the client said that it can do (`xms_cc`)
    client_id: str = ""


def token_response(
    provider: Provider, grant: Grant, session: Session, wanted: TokenRequest, refresh_token: str,
    *, token_id: str, question: SignInRequest | None = None,
) -> dict[str, object]:
    """Return the body of a successful token response (RFC 6749 §5.1). `question` is what the decision was asked."""
    facts, address = (question.facts, question.around.address) if question is not None else (SessionFacts(), "")
    lifetime, continuous = access_lifetime(provider, grant, wanted.capabilities)
    inputs = TokenInputs(
        provider.base_url, session.id, token_id, provider.seal.derive(f"subject\0{grant.tenant.id}"), provider.now(),
        lifetime, wanted.capabilities, wanted.key_thumbprint, session.authenticated_at, address, facts, continuous,
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


def access_lifetime(provider: Provider, grant: Grant, capabilities: Collection[str]) -> tuple[int, bool]:
    """Return how long an access token lives, and whether it is one of continuous access evaluation.

    Those live 20 to 28 hours, whatever the tenant configured, and are for clients that can handle a claims challenge,
    for a tenant's own people, and only where the settings say that the edges hear of revocations.
    """
    if grant.token_lifetime_s is not None:
        return grant.token_lifetime_s, False
    bounds = provider.settings.lifetimes.continuous_access_token
    own = grant.home.id == grant.tenant.id and grant.user.external is None
    capable = any(name.lower() == "cp1" for name in capabilities)
    if bounds is not None and own and capable and grant.access.session.continuous_access != "disabled":
        return random.randint(*bounds), True
    return provider.token_lifetime(grant.tenant), False


def _granted_scope(grant: Grant, scope: ScopeRequest) -> str:
    """Return the scope of the answer. `.default` comes back as it was asked for: clients look it up in their caches."""
    resource = [f"api://{grant.resource.id}/{word}" for word in grant.resource.scope.split()]
    asked = [word for word in scope.text.split() if word.endswith("/.default")]
    return " ".join([*sorted(scope.openid), *resource, *asked])


def bearer_claims(provider: Provider, request: Request) -> dict[str, Any]:  # JSON
    """Return the claims of the one access token that a request carries, ours and in its time. Raises ApiError(401)."""
    try:
        return _believed(provider, bearer(request.headers.getlist("authorization")))
    except TokenError as error:
        sentence = _SENTENCES.get(error.reason, "The token does not verify.")
        raise ApiError(401, "InvalidAuthenticationToken", sentence) from None


def verify_bearer(provider: Provider, request: Request, audience: str) -> Caller:
    """Return the caller of one of our own APIs. Raises ApiError(401 or 403)."""
    claims = bearer_claims(provider, request)
    if claims["aud"] != audience:
        raise ApiError(401, "InvalidAuthenticationToken", "The token is for another audience.")
    if audience == DIRECTORY_API and "cnf" in claims:  # RFC 7800 §3: here nobody can prove the key
        raise ApiError(401, "InvalidAuthenticationToken", "The token is bound to a key; this API takes unbound ones.")
    tenant = provider.directory.tenants.get(claims["tid"])
    user = tenant.users.get(claims["oid"]) if tenant else None
    if tenant is None or user is None or not user.enabled:
        raise ApiError(403, "Authorization_RequestDenied", "The user does not exist or is disabled.")
    # The API hears of revocations at once (continuous access evaluation); its tokens may live longer than a day.
    home = provider.directory.user(user.home) if user.home is not None else user
    since = max(user.sessions_valid_from, home.sessions_valid_from if home is not None else 0)
    if home is None or not home.enabled or claims["iat"] < since:
        raise ApiError(401, "InvalidAuthenticationToken", "The sign-in behind the token was revoked. Sign in again.")
    return Caller(
        tenant, user, claims["iat"], "cnf" in claims, frozenset(claims.get("acrs", ())),
        frozenset(claims.get("xms_cc", ())), claims["azp"],
    )


_SENTENCES = {
    Reason.TOKEN_MISSING: "One bearer token is needed.",
    Reason.TOKEN_EXPIRED: "The token has expired or is not valid yet.",
    Reason.TOKEN_NOT_YET_VALID: "The token has expired or is not valid yet.",
    Reason.TOKEN_TYPE: "The token is not an access token.",
}


def _believed(provider: Provider, text: str) -> dict[str, Any]:  # JSON
    """Verify a token with the same strictness as an edge: every rule, a tenant's keys for that tenant only."""
    parts = take_apart(text)
    tenant_id, audience = parts.claims.get("tid"), parts.claims.get("aud")
    key = provider.keys.published_key(tenant_id, parts.key_id) if isinstance(tenant_id, str) else None
    if key is None or not isinstance(tenant_id, str):
        raise TokenError(Reason.TOKEN_KEY_UNKNOWN)
    # Which audience is asked for is the caller's to judge; a token whose audience is no text is refused.
    audiences = frozenset({audience} if isinstance(audience, str) else ())
    trust = Trust(tenant_id, issuer(provider.base_url, tenant_id), audiences)
    verified = verify(parts, key, trust, now=provider.now())
    if provider.now() >= verified.expires_at:  # this clock is the issuer's own: no skew
        raise TokenError(Reason.TOKEN_EXPIRED)
    return parts.claims
