"""What clients and verifiers read first: OpenID discovery and the key set; and signing out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tunneld.idp.answers import RequestError, correlation_of, redirect_back
from tunneld.idp.forms import read_query
from tunneld.idp.pages import message_page
from tunneld.idp.provider import Provider, provider_of
from tunneld.idp.sessions import clear_session, find_session
from tunneld.policy.directory import Tenant
from tunneld.policy.redirects import redirect_allowed
from tunneld.policy.refusals import refusal

# Short, so that a withdrawn key is soon gone from caches that honour it.
_CACHED = {"cache-control": "public, max-age=300", "access-control-allow-origin": "*"}


async def discovery(request: Request) -> Response:
    """Serve the OpenID Provider configuration (OpenID Connect Discovery §4)."""
    provider = provider_of(request)
    tenant = _tenant(provider, request)
    base = f"{provider.base_url}/{tenant.id}"
    document = {
        "issuer": provider.issuer(tenant),
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
        "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
        "jwks_uri": f"{base}/discovery/v2.0/keys",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [
            "authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "code_challenge_methods_supported": ["S256"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": [
            "sub", "iss", "aud", "exp", "iat", "nbf", "nonce", "name", "preferred_username", "oid", "tid", "ver", "sid",
        ],
        "authorization_response_iss_parameter_supported": True,
        "claims_parameter_supported": True,
        "tenant_region_scope": None,
        "cloud_instance_name": provider.base_url.removeprefix("https://"),
    }
    return JSONResponse(document, headers=_CACHED)


async def key_set(request: Request) -> Response:
    """Serve the tenant's public keys (RFC 7517 §5)."""
    provider = provider_of(request)
    tenant = _tenant(provider, request)
    return JSONResponse(provider.keys.jwks(tenant.id, provider.issuer(tenant)), headers=_CACHED)


async def logout(request: Request) -> Response:
    """End the session and all refresh tokens that came from it (OpenID Connect RP-Initiated Logout)."""
    provider = provider_of(request)
    tenant = _tenant(provider, request)
    fields = read_query(request)
    session = await find_session(provider, request)
    if session is not None:
        await provider.store.revoke_session(session.id, provider.now())
        provider.records.audit(
            "Sign out", now=provider.clock(), correlation_id=correlation_of(request),
            home=session.account[0], home_oid=session.account[1],
        )
    target = fields.get("post_logout_redirect_uri", "")
    registered = [uri for client in provider.directory.clients.values() for uri in client.redirect_uris]
    response: Response
    if target and redirect_allowed(target, registered):
        response = redirect_back(target, {"state": fields.get("state")})
    else:
        response = message_page(heading="You are signed out", text="You can close this page.", tenant=tenant)
    clear_session(response)
    return response


def _tenant(provider: Provider, request: Request) -> Tenant:
    tenant = provider.directory.tenant(request.path_params["tenant"])
    if tenant is None:
        raise RequestError(refusal(90002))
    return tenant
