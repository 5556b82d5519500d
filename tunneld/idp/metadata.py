"""What clients and verifiers read first: OpenID discovery and the key set; and signing out."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tunneld.idp.answers import RequestError, correlation_of, redirect_back
from tunneld.idp.conversation.home_realm import shared_name, template_issuer
from tunneld.idp.forms import read_query
from tunneld.idp.pages import message_page
from tunneld.idp.provider import Provider, provider_of
from tunneld.idp.sessions import clear_session, find_session
from tunneld.idp.tokens import verify_bearer
from tunneld.policy.authorization import RESPONSE_MODES, SHARED
from tunneld.policy.directory import DIRECTORY_API, Tenant
from tunneld.policy.key_set import MAX_KEYS
from tunneld.policy.redirects import redirect_allowed
from tunneld.policy.refusals import refusal
from tunneld.policy.token_claims import pairwise_subject

# Short, so that a withdrawn key is soon gone from caches that honour it.
_CACHED = {"cache-control": "public, max-age=300", "access-control-allow-origin": "*"}


_APP_ID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


async def discovery(request: Request) -> Response:
    """Serve the OpenID Provider configuration (OpenID Connect Discovery §4).

    `common` and `organizations` have an issuer with `{tenantid}` in it, which clients fill in from a token's `tid`.
    An `appid` comes back in `jwks_uri`, as in the product, where an application may have signing keys of its own.
    """
    provider = provider_of(request)
    name = request.path_params["tenant"].lower()
    if name in SHARED:
        issuer = template_issuer(provider)
    else:
        tenant = _tenant(provider, request)
        name, issuer = tenant.id, provider.issuer(tenant)
    return JSONResponse(_configuration(provider, name, issuer, _app_id(request)), headers=_CACHED)


def _configuration(provider: Provider, name: str, issuer: str, app_id: str) -> dict[str, object]:
    base = f"{provider.base_url}/{name}"
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
        "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
        "userinfo_endpoint": f"{provider.base_url}/oidc/userinfo",
        "jwks_uri": f"{base}/discovery/v2.0/keys{f'?appid={app_id}' if app_id else ''}",
        "response_types_supported": ["code"],
        "response_modes_supported": list(RESPONSE_MODES),
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
            "email", "idp", "acct", "acrs", "auth_time", "groups", "roles", "wids",
        ],
        "authorization_response_iss_parameter_supported": True,
        "claims_parameter_supported": True,
        "request_uri_parameter_supported": False,
        "tenant_region_scope": None,
        "cloud_instance_name": provider.base_url.removeprefix("https://"),
    }


async def key_set(request: Request) -> Response:
    """Serve a tenant's public keys, or those of all (RFC 7517 §5). Each names the issuer that it speaks for."""
    provider = provider_of(request)
    _app_id(request)
    if request.path_params["tenant"].lower() not in SHARED:
        tenant = _tenant(provider, request)
        return JSONResponse(provider.keys.jwks(tenant.id, provider.issuer(tenant)), headers=_CACHED)
    listed = [
        key for tenant in provider.directory.tenants.values()
        for key in provider.keys.jwks(tenant.id, provider.issuer(tenant))["keys"]
    ]
    return JSONResponse({"keys": listed[:MAX_KEYS]}, headers=_CACHED)


async def userinfo(request: Request) -> Response:
    """Serve the claims about whoever a token of the directory API speaks for (OpenID Connect Core §5.3).

    `sub` is that of the ID token of the same client, as the specification demands.
    """
    provider = provider_of(request)
    caller = verify_bearer(provider, request, DIRECTORY_API)
    user, salt = caller.user, provider.seal.derive(f"subject\0{caller.tenant.id}")
    home = provider.directory.user(user.home) if user.home is not None else None
    claims = {
        "sub": pairwise_subject(salt, caller.client_id, user.oid), "name": user.display_name,
        "given_name": user.attributes.get("givenName", ""), "family_name": user.attributes.get("surname", ""),
        "email": user.mail or (home.mail if home is not None else ""),
        "preferred_username": home.upn if home is not None else user.upn,
    }
    return JSONResponse({name: value for name, value in claims.items() if value}, headers={"pragma": "no-cache"})


def _app_id(request: Request) -> str:
    """Return the `appid` of a request. Raises RequestError for anything but a GUID."""
    app_id = read_query(request).get("appid", "")
    if app_id and not _APP_ID.fullmatch(app_id):
        raise RequestError(refusal(90014, "The appid is not a GUID."))
    return app_id.lower()


async def logout(request: Request) -> Response:
    """End the session and all refresh tokens that came from it (OpenID Connect RP-Initiated Logout)."""
    provider = provider_of(request)
    tenant = None if shared_name(request) else _tenant(provider, request)
    fields = read_query(request)
    session = await find_session(provider, request)
    if session is not None:
        await provider.store.revoke_session(session.id, provider.now())
        provider.records.audit(
            "Sign out", now=provider.clock(), correlation_id=correlation_of(request),
            home=session.account[0], home_oid=session.account[1],
        )
    target = fields.get("post_logout_redirect_uri", "")
    # One that an application of the admin API brought is its own tenant's: no other tenant's sign-out leads there.
    ours = {"", tenant.id if tenant else ""}
    clients = [client for client in provider.directory.clients.values() if client.tenant in ours]
    registered = [uri for client in clients for uri in client.redirect_uris]
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
