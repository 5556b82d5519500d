"""Signing in a program that has no browser: it shows a code, and the user types that code here (RFC 8628)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tunneld.idp.answers import RequestError
from tunneld.idp.decisions import decide, session_request
from tunneld.idp.forms import read_form, read_query, required
from tunneld.idp.grants import POLL_INTERVAL_S, DeviceGrant, DeviceState, new_user_code
from tunneld.idp.pages import LOCKED, WRONG_CREDENTIALS, form_page, message_page, refusal_page
from tunneld.idp.provider import Provider, provider_of
from tunneld.idp.sessions import csrf_holds, find_session, set_session, start_session
from tunneld.idp.store import Session
from tunneld.policy.authorization import parse_capabilities
from tunneld.policy.directory import Tenant
from tunneld.policy.refusals import refusal
from tunneld.policy.scopes import parse_scope
from tunneld.policy.sign_in import Deny, Grant, SignInRequest

UNKNOWN_CODE = "That code is not known or has expired. Check it, or start again on the other device."


async def device_code(request: Request) -> Response:
    """Serve POST /{tenant}/oauth2/v2.0/devicecode (RFC 8628 §3.1)."""
    provider = provider_of(request)
    form = await read_form(request)
    tenant = provider.directory.tenant(request.path_params["tenant"])
    if tenant is None:
        raise RequestError(refusal(90002))
    client = provider.directory.clients.get(required(form, "client_id"))
    if client is None:
        raise RequestError(refusal(700016))
    scope = parse_scope(required(form, "scope"))
    if isinstance(scope, str):
        raise RequestError(refusal(28000 if "more than one" in scope else 70011, scope))
    capabilities = parse_capabilities(form.get("claims", ""))
    if capabilities is None:
        raise RequestError(refusal(90014, "The claims parameter is malformed."))
    lifetime = provider.settings.lifetimes.device_code
    grant = DeviceGrant(
        secrets.token_urlsafe(32), new_user_code(), tenant.id, client.id, scope.text, capabilities,
        provider.clock() + lifetime,
    )
    provider.devices.start(grant, provider.clock())
    address = f"{provider.base_url}/{tenant.name}/oauth2/v2.0/deviceauth"
    shown = f"{grant.user_code[:4]}-{grant.user_code[4:]}"
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
    if tenant is None:
        return refusal_page(request, refusal(90002))
    page = _DevicePage(provider, request, tenant, fields)
    if request.method == "GET":
        return page.code_page()
    return await page.answer_form()


class _DevicePage:
    """One request of the conversation; the code comes along each time."""

    def __init__(self, provider: Provider, request: Request, tenant: Tenant, fields: dict[str, str]) -> None:
        self._provider = provider
        self._request = request
        self._tenant = tenant
        self._fields = fields

    async def answer_form(self) -> Response:
        """Act on a form of ours."""
        if not csrf_holds(self._provider, self._request, self._fields.get("csrf", "")):
            return self.code_page(refusal(90013).sentence)
        grant = self._provider.devices.by_user_code(self._fields.get("user_code", ""), self._provider.clock())
        if grant is None or grant.tenant_id != self._tenant.id:
            return self.code_page(UNKNOWN_CODE)
        action = self._fields.get("action", "code")
        if action == "sign_in":
            return await self._sign_in(grant)
        session = await find_session(self._provider, self._request)
        if session is None:
            return self._sign_in_page(grant)
        if action == "decline":
            grant.state = DeviceState.DECLINED
            return self._done("Sign-in cancelled", "Nobody was signed in. You can close this page.")
        if action in ("confirm", "consent"):
            return await self._approve(grant, session, consenting=action == "consent")
        return self._confirm_page(grant, session)

    async def _sign_in(self, grant: DeviceGrant) -> Response:
        provider, typed = self._provider, self._fields.get("username", "")
        password = self._fields.get("password", "")
        account, proof = await provider.gate.check(provider.directory, typed, password, provider.now())
        consented = account is not None and await provider.store.consented(self._tenant.id, account)
        question = SignInRequest(
            self._tenant.id, grant.client_id, _audience(grant), account, proof, consented
        )
        outcome = await decide(provider, self._request, question, via="device_password", typed=typed)
        if isinstance(outcome, Deny) and outcome.unproven:
            return self._sign_in_page(grant, LOCKED if outcome.code == 50053 else WRONG_CREDENTIALS)
        if account is None or (isinstance(outcome, Deny) and not outcome.authenticated):
            assert isinstance(outcome, Deny)  # before the password was judged: no session may come of it
            return refusal_page(self._request, outcome.refusal, self._tenant)
        session = await start_session(provider, account)
        response = self._conclude(grant, session, outcome)
        set_session(provider, response, session)
        return response

    async def _approve(self, grant: DeviceGrant, session: Session, *, consenting: bool) -> Response:
        question = await session_request(
            self._provider, self._tenant, grant.client_id, _audience(grant), session, consenting=consenting
        )
        outcome = await decide(self._provider, self._request, question, via="device_session")
        if consenting and isinstance(outcome, Grant):
            await self._provider.store.remember_consent(self._tenant.id, session.account, self._provider.now())
        return self._conclude(grant, session, outcome)

    def _conclude(self, grant: DeviceGrant, session: Session, outcome: Grant | Deny) -> Response:
        if isinstance(outcome, Grant):
            grant.session, grant.state = session, DeviceState.APPROVED
            return self._done("You are signed in", "Go back to the other device. You can close this page.")
        if outcome.needs_consent:
            user = self._provider.directory.user(session.account)
            home = self._provider.directory.tenants.get(session.account[0])
            values = {
                "hidden": [("user_code", grant.user_code)], "username": user.upn if user else "",
                "home": home.display_name if home else "",
            }
            return self._page("consent.html", values)
        grant.state = DeviceState.DECLINED
        return refusal_page(self._request, outcome.refusal, self._tenant)

    def code_page(self, error: str = "") -> Response:
        """Return the page that asks for the code."""
        values = {"user_code": self._fields.get("user_code", "")[:12], "error": error}
        return self._page("device_code.html", values)

    def _sign_in_page(self, grant: DeviceGrant, error: str = "") -> Response:
        values = {
            "hidden": [("user_code", grant.user_code)], "client": self._client_name(grant),
            "username": self._fields.get("username", "")[:128], "error": error, "home": "",
        }
        return self._page("sign_in.html", values)

    def _confirm_page(self, grant: DeviceGrant, session: Session) -> Response:
        user = self._provider.directory.user(session.account)
        values = {
            "hidden": [("user_code", grant.user_code)], "client": self._client_name(grant),
            "username": user.upn if user else "", "user_code": f"{grant.user_code[:4]}-{grant.user_code[4:]}",
        }
        return self._page("device_confirm.html", values)

    def _client_name(self, grant: DeviceGrant) -> str:
        client = self._provider.directory.clients.get(grant.client_id)
        return client.name if client else grant.client_id

    def _page(self, template: str, values: Mapping[str, object]) -> Response:
        return form_page(self._provider, self._request, template, self._tenant, values)

    def _done(self, heading: str, text: str) -> Response:
        return message_page(heading=heading, text=text, tenant=self._tenant)


def _audience(grant: DeviceGrant) -> str:
    scope = parse_scope(grant.scope)
    assert not isinstance(scope, str)  # it was judged when the sign-in began
    return scope.audience
