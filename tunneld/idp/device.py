"""Signing in a program that has no browser: it shows a code, and the user types that code here (RFC 8628)."""

from __future__ import annotations

import secrets

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tunneld.idp.answers import RequestError
from tunneld.idp.conversation.book import conversation
from tunneld.idp.conversation.errand import Carried, Errand
from tunneld.idp.conversation.home_realm import FIND, REALM, UNKNOWN, account_page, home_of, realm_of, shared_name
from tunneld.idp.decisions import Wanted
from tunneld.idp.forms import read_form, read_query, required
from tunneld.idp.grants import POLL_INTERVAL_S, DeviceGrant, DeviceState, new_user_code
from tunneld.idp.pages import form_page, message_page, refusal_page
from tunneld.idp.provider import Provider, provider_of
from tunneld.idp.sessions import csrf_holds, find_session
from tunneld.idp.store import Session
from tunneld.policy.claims_request import parse_claims
from tunneld.policy.directory import Client, ObjectKey, Tenant
from tunneld.policy.refusals import refusal
from tunneld.policy.scopes import parse_scope
from tunneld.policy.sign_in import Deny, Grant

UNKNOWN_CODE = "That code is not known or has expired. Check it, or start again on the other device."


async def device_code(request: Request) -> Response:
    """Serve POST /{tenant}/oauth2/v2.0/devicecode (RFC 8628 §3.1)."""
    provider = provider_of(request)
    form = await read_form(request)
    tenant, shared = provider.directory.tenant(request.path_params["tenant"]), shared_name(request)
    if tenant is None and not shared:
        raise RequestError(refusal(90002))
    client = provider.directory.clients.get(required(form, "client_id"))
    if client is None:
        raise RequestError(refusal(700016))
    scope = parse_scope(required(form, "scope"))
    if isinstance(scope, str):
        raise RequestError(refusal(28000 if "more than one" in scope else 70011, scope))
    claims = parse_claims(form.get("claims", ""))
    if claims is None:
        raise RequestError(refusal(90014, "The claims parameter is malformed."))
    lifetime = provider.settings.lifetimes.device_code
    grant = DeviceGrant(
        secrets.token_urlsafe(32), new_user_code(), "" if tenant is None else tenant.id, client.id, scope.text, claims,
        provider.clock() + lifetime, shared=shared,
    )
    provider.devices.start(grant, provider.clock())
    address = f"{provider.base_url}/{shared if tenant is None else tenant.name}/oauth2/v2.0/deviceauth"
    shown = _shown(grant)
    return JSONResponse(
        {
            "device_code": grant.device_code, "user_code": shown, "verification_uri": address,
            "verification_uri_complete": f"{address}?user_code={shown}", "expires_in": lifetime,
            "interval": POLL_INTERVAL_S,
            "message": f"To sign in, open {address} in a browser and enter the code {shown}.",
        }
    )


async def device_auth(request: Request) -> Response:
    """Serve the page where the user types the code, and the steps after it."""
    provider = provider_of(request)
    tenant = provider.directory.tenant(request.path_params["tenant"])
    try:
        fields = read_query(request) if request.method == "GET" else await read_form(request)
    except RequestError as refused:
        return refusal_page(request, refused.refusal, tenant)
    if tenant is None and not shared_name(request):
        return refusal_page(request, refusal(90002))
    page = _DevicePage(provider, request, tenant, fields)
    if request.method == "GET":
        return page.code_page()
    return await page.answer_form()


class _DevicePage:
    """One request of the conversation; the code comes along each time."""

    def __init__(self, provider: Provider, request: Request, tenant: Tenant | None, fields: dict[str, str]) -> None:
        self._provider = provider
        self._request = request
        self._tenant = tenant
        self._fields = fields

    async def answer_form(self) -> Response:
        """Act on a form of ours: the code first, then the pages of a sign-in."""
        provider, action = self._provider, self._fields.get("action", "code")
        if not csrf_holds(provider, self._request, self._fields.get("csrf", "")):
            return self.code_page(refusal(90013).sentence)
        grant = provider.devices.by_user_code(self._fields.get("user_code", ""), provider.clock())
        client = provider.directory.clients.get(grant.client_id) if grant else None
        shared = shared_name(self._request)
        here = shared if self._tenant is None else self._tenant.id
        if grant is None or client is None or here != (grant.shared or grant.tenant_id):
            return self.code_page(UNKNOWN_CODE)
        tenant = self._tenant or await realm_of(provider, self._request, self._fields)
        if tenant is None:
            if action == "decline":
                return self._declined(grant)
            error = "" if action == "code" else UNKNOWN
            return account_page(provider, self._request, _carried(grant), client=client.name, error=error)
        talk = conversation(provider, self._request, self._errand(grant, client, tenant), self._fields)
        if shared and action == FIND:
            return await talk.sign_in_page()
        if action not in ("code", "confirm"):
            return await talk.answer_form()
        session = await find_session(provider, self._request)
        if session is None:
            return await talk.sign_in_page()
        if action == "confirm":
            return await talk.go_on(session, "session")
        return talk.page(
            "device_confirm.html",
            {"client": client.name, "username": talk.name_of(session.account), "user_code": _shown(grant)},
        )

    def _errand(self, grant: DeviceGrant, client: Client, tenant: Tenant) -> Errand:
        async def conclude(granted: Grant, session: Session) -> Response:
            del granted  # the token endpoint asks again
            grant.session, grant.state, grant.tenant_id = session, DeviceState.APPROVED, tenant.id
            return self._done("You are signed in", "Go back to the other device. You can close this page.")

        def refuse(denied: Deny) -> Response:
            if not denied.trace:  # nothing was decided: the person said no
                return self._declined(grant)
            grant.state = DeviceState.DECLINED
            return refusal_page(self._request, denied.refusal, tenant)

        def at_home(account: ObjectKey) -> Errand | None:
            home = home_of(self._provider.directory, account)
            return self._errand(grant, client, home) if home else None

        wanted = Wanted(tenant, client, _audience(grant), grant.claims.contexts)
        realm: Carried = ((REALM, tenant.id),) if grant.shared else ()
        return Errand(
            wanted, (*_carried(grant), *realm), conclude, refuse, at_home=at_home if grant.shared else None,
            via="device_",
        )

    def _declined(self, grant: DeviceGrant) -> Response:
        grant.state = DeviceState.DECLINED
        return self._done("Sign-in cancelled", "Nobody was signed in. You can close this page.")

    def code_page(self, error: str = "") -> Response:
        """Return the page that asks for the code."""
        values = {"user_code": self._fields.get("user_code", "")[:12], "error": error}
        return form_page(self._provider, self._request, "device_code.html", self._tenant, values)

    def _done(self, heading: str, text: str) -> Response:
        return message_page(heading=heading, text=text, tenant=self._tenant)


def _carried(grant: DeviceGrant) -> Carried:
    return (("user_code", grant.user_code),)


def _shown(grant: DeviceGrant) -> str:
    return f"{grant.user_code[:4]}-{grant.user_code[4:]}"


def _audience(grant: DeviceGrant) -> str:
    scope = parse_scope(grant.scope)
    assert not isinstance(scope, str)  # it was judged when the sign-in began
    return scope.audience
