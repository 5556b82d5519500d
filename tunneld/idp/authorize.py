"""The authorization endpoint: who is this, may they, and a code for the client (RFC 6749 §4.1, RFC 7636, RFC 9207)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from tunneld.idp.answers import RequestError, correlation_of, redirect_back, redirect_refusal
from tunneld.idp.decisions import decide, session_request
from tunneld.idp.forms import read_form, read_query
from tunneld.idp.pages import LOCKED, WRONG_CREDENTIALS, form_page, refusal_page
from tunneld.idp.provider import Provider, provider_of
from tunneld.idp.sessions import clear_session, csrf_holds, find_session, set_session, start_session
from tunneld.idp.store import Session
from tunneld.policy.authorization import AuthorizationRequest, BadAuthorization, parse_authorization
from tunneld.policy.directory import ObjectKey, Tenant
from tunneld.policy.refusals import refusal
from tunneld.policy.sign_in import Deny, Grant, SignInRequest

# The parameters that travel through the pages as hidden fields.
_CARRIED = (
    "client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "code_challenge",
    "code_challenge_method", "prompt", "login_hint", "claims",
)


async def authorize(request: Request) -> Response:
    """Serve GET (the client's redirect) and POST (the pages' forms, or the client's request as a form)."""
    provider = provider_of(request)
    try:
        fields = read_query(request) if request.method == "GET" else await read_form(request)
    except RequestError as refused:
        return refusal_page(request, refused.refusal)
    wanted = parse_authorization(fields, request.path_params["tenant"], provider.directory)
    if isinstance(wanted, BadAuthorization):
        tenant = provider.directory.tenant(request.path_params["tenant"])
        if wanted.redirect_uri is None:
            return refusal_page(request, wanted.refusal, tenant)
        issuer = provider.issuer(tenant) if tenant else None
        return redirect_refusal(wanted.redirect_uri, wanted.refusal, state=wanted.state, issuer=issuer)
    step = _Step(provider, request, wanted, fields)
    if request.method == "POST" and "action" in fields:
        return await step.answer_form()
    return await step.begin()


class _Step:
    """One request of the conversation; the parameters come along each time, the session is in the cookie."""

    def __init__(
        self, provider: Provider, request: Request, wanted: AuthorizationRequest, fields: dict[str, str]
    ) -> None:
        self._provider = provider
        self._request = request
        self._wanted = wanted
        self._fields = fields

    async def begin(self) -> Response:
        """Answer from the session if there is one and it may be used, else show the sign-in page."""
        session = await self._usable_session()
        silent = self._wanted.prompt == "none"
        if session is None:
            return self._refuse(Deny(refusal(50058), ())) if silent else self._sign_in_page()
        outcome = await self._decide(session, via="silent" if silent else "session")
        if isinstance(outcome, Deny) and not silent:
            if outcome.needs_consent:
                return self._consent_page(session.account)
            if outcome.unproven:
                return self._sign_in_page()
        return self._conclude(outcome, session)

    async def answer_form(self) -> Response:
        """Act on a form of ours; a form that did not come from a page of ours starts again."""
        if not csrf_holds(self._provider, self._request, self._fields.get("csrf", "")):
            return self._sign_in_page(refusal(90013).sentence)
        action = self._fields["action"]
        if action == "sign_in":
            return await self._sign_in()
        session = await self._usable_session()
        if session is None:
            return self._sign_in_page(refusal(90013).sentence)
        if action == "consent":
            return await self._consent(session)
        return self._refuse(Deny(refusal(65004), ()))

    async def _sign_in(self) -> Response:
        provider, wanted = self._provider, self._wanted
        typed = self._fields.get("username", "")
        password = self._fields.get("password", "")
        account, proof = await provider.gate.check(provider.directory, typed, password, provider.now())
        consented = account is not None and await provider.store.consented(wanted.tenant.id, account)
        question = SignInRequest(
            wanted.tenant.id, wanted.client.id, wanted.scope.audience, account, proof, consented
        )
        outcome = await decide(provider, self._request, question, via="password", typed=typed)
        if isinstance(outcome, Deny) and outcome.unproven:
            return self._sign_in_page(LOCKED if outcome.code == 50053 else WRONG_CREDENTIALS)
        if account is None or (isinstance(outcome, Deny) and not outcome.authenticated):
            assert isinstance(outcome, Deny)  # before the password was judged: no session may come of it
            return self._refuse(outcome)
        session = await start_session(provider, account)
        if isinstance(outcome, Deny) and outcome.needs_consent:
            response: Response = self._consent_page(account)
        else:
            response = self._conclude(outcome, session)
        set_session(provider, response, session)
        return response

    async def _consent(self, session: Session) -> Response:
        outcome = await self._decide(session, via="consent", consenting=True)
        # Consent is to the tenant: a refusal of this one application afterwards does not take it back.
        if isinstance(outcome, Grant) or outcome.code == 50105:
            tenant, provider = self._wanted.tenant, self._provider
            await provider.store.remember_consent(tenant.id, session.account, provider.now())
            provider.records.audit(
                "Redeem external user invite", now=provider.clock(), correlation_id=correlation_of(self._request),
                tenant=tenant.id, home=session.account[0], home_oid=session.account[1],
            )
        return self._conclude(outcome, session)

    async def _decide(self, session: Session, *, via: str, consenting: bool = False) -> Grant | Deny:
        wanted = self._wanted
        question = await session_request(
            self._provider, wanted.tenant, wanted.client.id, wanted.scope.audience, session, consenting=consenting
        )
        return await decide(self._provider, self._request, question, via=via)

    async def _usable_session(self) -> Session | None:
        """Return the session unless the client asked for a fresh sign-in or for somebody else."""
        session = await find_session(self._provider, self._request)
        if session is None:
            return None
        first = self._request.method == "GET" or "action" not in self._fields
        if first and self._wanted.prompt in ("login", "select_account"):
            return None
        hinted = self._provider.directory.account(self._wanted.login_hint)
        return None if hinted is not None and hinted != session.account else session

    def _conclude(self, outcome: Grant | Deny, session: Session) -> Response:
        if isinstance(outcome, Deny):
            return self._refuse(outcome)
        wanted = self._wanted
        code = self._provider.codes.issue(wanted, session, self._provider.clock())
        answer = {"code": code, "state": wanted.state, "iss": self._provider.issuer(wanted.tenant)}
        return redirect_back(wanted.redirect_uri, answer)

    def _refuse(self, denied: Deny) -> Response:
        wanted = self._wanted
        refused = denied.refusal
        if refused.error == "invalid_grant":  # a word of the token endpoint; here it is one of these two
            refused = replace(refused, error="login_required" if denied.unproven else "access_denied")
        issuer = self._provider.issuer(wanted.tenant)
        response = redirect_refusal(wanted.redirect_uri, refused, state=wanted.state, issuer=issuer)
        if denied.code == 50173:
            clear_session(response)
        return response

    def _sign_in_page(self, error: str = "") -> Response:
        wanted = self._wanted
        username = self._fields.get("username", wanted.login_hint)[:128]
        values = {
            "hidden": self._carried(), "client": wanted.client.name, "username": username, "error": error,
            # By domain, not by account: the page must look the same for accounts that do not exist.
            "home": _display_name(self._provider.directory.home_realm(username)),
        }
        return self._page("sign_in.html", values)

    def _consent_page(self, account: ObjectKey) -> Response:
        directory = self._provider.directory
        user = directory.user(account)
        values = {
            "hidden": self._carried(), "username": user.upn if user else "",
            "home": _display_name(directory.tenants.get(account[0])),
        }
        return self._page("consent.html", values)

    def _page(self, template: str, values: Mapping[str, object]) -> Response:
        wanted = self._wanted
        return form_page(
            self._provider, self._request, template, wanted.tenant, values, redirect_uri=wanted.redirect_uri
        )

    def _carried(self) -> list[tuple[str, str]]:
        return [(name, self._fields[name]) for name in _CARRIED if name in self._fields]


def _display_name(tenant: Tenant | None) -> str:
    return tenant.display_name if tenant else ""
