"""Judging the parameters of an authorization request (RFC 6749 §4.1.1, RFC 7636, OpenID Connect Core §3.1.2.1)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from tunneld.policy.claims_request import ClaimsRequest, parse_claims
from tunneld.policy.directory import Client, Directory, Tenant
from tunneld.policy.redirects import redirect_allowed
from tunneld.policy.refusals import Refusal, refusal
from tunneld.policy.scopes import ScopeRequest, parse_scope

MAX_STATE = 2048  # state, nonce and login_hint come back in a URL; browsers take 2 to 8 KiB of it
PROMPTS = frozenset({"", "none", "login", "select_account", "consent"})
RESPONSE_MODES = ("query", "fragment", "form_post")
DEFAULT_MODE = "query"  # of the response type "code" (OAuth 2.0 Multiple Response Type Encoding Practices §2.1)
# Names that stand for no organization: whoever signs in decides which one it becomes.
SHARED = frozenset({"common", "organizations"})

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # RFC 7636 §4.2: SHA-256 in base64url is always 43 characters
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 §4.1


@dataclass(frozen=True, slots=True)
class Asked:
    """What a known client asks for, with a redirect URI that may be answered to; of which tenant is left open."""

    client: Client
    redirect_uri: str
    state: str | None
    nonce: str | None
    scope: ScopeRequest
    challenge: str
    prompt: str
    login_hint: str
    claims: ClaimsRequest
    response_mode: str = DEFAULT_MODE


@dataclass(frozen=True, slots=True)
class AuthorizationRequest(Asked):
    """A well-formed request to one tenant. `shared` is the name that stood for it in the URL, "" for its own."""

    tenant: Tenant = field(kw_only=True)
    shared: str = ""


@dataclass(frozen=True, slots=True)
class BadAuthorization:
    """A request that cannot go on. Without a `redirect_uri` nothing may be sent anywhere but to the user's eyes."""

    refusal: Refusal
    redirect_uri: str | None = None
    state: str | None = None
    response_mode: str = DEFAULT_MODE


def parse_authorization(
    parameters: Mapping[str, str], tenant_text: str, directory: Directory
) -> AuthorizationRequest | BadAuthorization:
    """Judge an authorization request to a tenant."""
    tenant = directory.tenant(tenant_text)
    if tenant is None:
        return BadAuthorization(refusal(90002))
    asked = judge_parameters(parameters, directory)
    return asked if isinstance(asked, BadAuthorization) else at_tenant(asked, tenant)


def judge_parameters(parameters: Mapping[str, str], directory: Directory) -> Asked | BadAuthorization:
    """Judge what does not depend on a tenant; client and redirect URI first: they decide where errors may go."""
    client = directory.clients.get(parameters.get("client_id", ""))
    if client is None:
        return BadAuthorization(refusal(700016))
    redirect_uri = parameters.get("redirect_uri", "")
    if not redirect_allowed(redirect_uri, client.redirect_uris):
        return BadAuthorization(refusal(50011))
    state = parameters.get("state")
    mode = parameters.get("response_mode", DEFAULT_MODE)
    problem = _problem(parameters)
    scope = parse_scope(parameters.get("scope", ""))
    if problem is None and isinstance(scope, str):
        problem = refusal(28000 if "more than one" in scope else 70011, scope)
    claims = parse_claims(parameters.get("claims", ""))
    if problem is None and claims is None:
        problem = refusal(90014, "The claims parameter is malformed.")
    if problem is not None or isinstance(scope, str) or claims is None:
        assert problem is not None
        state = state if state is None or len(state) <= MAX_STATE else None
        return BadAuthorization(problem, redirect_uri, state, mode if mode in RESPONSE_MODES else DEFAULT_MODE)
    return Asked(
        client, redirect_uri, state, parameters.get("nonce"), scope, parameters["code_challenge"],
        parameters.get("prompt", ""), parameters.get("login_hint", ""), claims, mode,
    )


def at_tenant(asked: Asked, tenant: Tenant, shared: str = "") -> AuthorizationRequest | BadAuthorization:
    """Return the request as one to `tenant`, which has to know the resource."""
    if tenant.resource(asked.scope.audience) is None:
        return BadAuthorization(refusal(500011), asked.redirect_uri, asked.state, asked.response_mode)
    return placed(asked, tenant, shared)


def placed(asked: Asked, tenant: Tenant, shared: str) -> AuthorizationRequest:
    """Return the request as one to `tenant`, whether or not it knows the resource."""
    members = {each.name: getattr(asked, each.name) for each in fields(Asked)}
    return AuthorizationRequest(**members, tenant=tenant, shared=shared)


def _problem(parameters: Mapping[str, str]) -> Refusal | None:
    if parameters.get("response_type") != "code":
        return refusal(700054)
    if parameters.get("response_mode", DEFAULT_MODE) not in RESPONSE_MODES:
        return refusal(90014, f"The response_mode is not one of {', '.join(RESPONSE_MODES)}.")
    challenge, method = parameters.get("code_challenge", ""), parameters.get("code_challenge_method", "")
    # RFC 7636 §4.3 lets a missing method mean "plain", which proves nothing; RFC 9700 §2.1.1 asks for S256.
    if method != "S256" or not _CHALLENGE.fullmatch(challenge):
        return refusal(50147)
    for name in ("state", "nonce", "login_hint"):
        if len(parameters.get(name, "")) > MAX_STATE:
            return refusal(90014, f"The {name} is too long.")
    if parameters.get("prompt", "") not in PROMPTS:
        return refusal(90014, "The prompt is not one of none, login, select_account, consent.")
    return None


def verifier_matches(verifier: str, challenge: str) -> bool:
    """Tell whether a code_verifier belongs to an S256 challenge (RFC 7636 §4.6)."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return hmac.compare_digest(base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), challenge)
