"""Sending a guest to the provider that signs them in."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tunneld.idp.federation.desk import Away
from tunneld.idp.pages import away_page, refusal_page
from tunneld.idp.provider import Provider
from tunneld.policy.directory import Tenant
from tunneld.policy.federation import openid, saml, ws_fed
from tunneld.policy.federation.compiled import Protocol, TrustedProvider
from tunneld.policy.federation.realms import provider_for
from tunneld.policy.federation.vouched import FederationError
from tunneld.policy.refusals import refusal

# Answers of SAML and WS-Federation are cross-site POSTs, with which a browser sends only SameSite=None cookies. The
# cookie proves nothing by itself: it ties an answer to the browser that was sent away.
COOKIE = "__Host-tunneld-away"

_NOT_REPEATED = frozenset({"prompt", "login_hint", "csrf", "action"})


async def begin(
    provider: Provider, request: Request, tenant: Tenant, trusted: TrustedProvider, *, return_to: str, email: str = ""
) -> Response:
    """Return the way to `trusted`: a redirect, or after a form a page that goes there.

    When they come back signed in, their browser goes to `return_to`. That is a path of ours with its query; it stays
    here and never travels. Where the provider cannot be reached, the answer is a page that says so.
    """
    assert return_to.startswith("/")
    desk, now = provider.federation, provider.clock()
    browser = request.cookies.get(COOKIE, "")
    if not (16 <= len(browser) <= 64 and browser.isascii()):
        browser = secrets.token_urlsafe(24)
    away = desk.send(trusted, return_to, browser, now)
    try:
        target = await _target(provider, tenant, away, email)
    except FederationError as error:
        sentence = f"{trusted.display_name} cannot be reached ({error.rule})."
        return refusal_page(request, refusal(40010, sentence), tenant)
    response: Response
    if request.method == "POST":
        response = away_page(target, trusted.display_name, tenant)
    else:
        response = RedirectResponse(target, status_code=303)
    response.set_cookie(COOKIE, browser, path="/", secure=True, httponly=True, samesite="none")
    return response


async def begin_for_address(
    provider: Provider, request: Request, tenant: Tenant, address: str, *, return_to: str
) -> Response | None:
    """Return the redirect for an address that an outside provider signs in, None for every other address."""
    trusted = provider_for(provider.directory, tenant, address)
    if trusted is None:
        return None
    return await begin(provider, request, tenant, trusted, return_to=return_to, email=address.strip()[:254])


def return_path(request: Request, fields: Mapping[str, str]) -> str:
    """Return where a page's conversation goes on: its own path, with the parameters that it was asked with.

    `prompt` has been obeyed by then, and the hint would stand in the way of an account that has another name here.
    """
    carried = {name: value for name, value in fields.items() if name not in _NOT_REPEATED}
    return f"{request.url.path}?{urlencode(carried)}" if carried else request.url.path


def audience(provider: Provider, tenant_id: str) -> str:
    """Return what assertions for a tenant have to name: Microsoft's tenanted audience, at this base."""
    return f"{provider.base_url}/{tenant_id}/"


def acs_url(provider: Provider) -> str:
    """Return where providers post to, the same for all tenants as in the product."""
    return f"{provider.base_url}/login.srf"


def redirect_uri(provider: Provider, tenant_id: str) -> str:
    """Return where OpenID providers answer; each tenant registers its own."""
    return f"{provider.base_url}/{tenant_id}/federation/oauth2"


async def _target(provider: Provider, tenant: Tenant, away: Away, email: str) -> str:
    trusted, now = away.trusted, int(away.began_at)
    if trusted.protocol is Protocol.SAML:
        request = saml.authn_request(
            request_id=away.state, issuer=audience(provider, tenant.id), acs_url=acs_url(provider),
            destination=trusted.sign_in_url, now=now,
        )
        return saml.redirect_url(trusted.sign_in_url, request, away.state)
    if trusted.protocol is Protocol.WS_FED:
        return ws_fed.sign_in_url(
            trusted.sign_in_url, realm=audience(provider, tenant.id), reply_url=acs_url(provider), context=away.state,
            now=now,
        )
    source = provider.federation.source(trusted, provider.settings.federation, provider.clock)
    digest = hashlib.sha256(away.verifier.encode()).digest()
    return openid.authorization_url(
        await source.metadata(), trusted, redirect_uri=redirect_uri(provider, tenant.id), state=away.state,
        nonce=away.nonce, challenge=base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), login_hint=email,
    )
