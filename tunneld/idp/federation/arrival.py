"""What comes back from outside providers: an OpenID redirect, or a form with a SAML or a WS-Federation token."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tunneld.idp.answers import RequestError, correlation_of
from tunneld.idp.federation.begin import COOKIE, acs_url, audience, redirect_uri
from tunneld.idp.federation.desk import Away
from tunneld.idp.federation.identities import remember_identity
from tunneld.idp.federation.renewal import UNKNOWN_CERTIFICATE, look_ahead, verify_with_published
from tunneld.idp.forms import read_form, read_query
from tunneld.idp.pages import refusal_page
from tunneld.idp.provider import Provider, provider_of
from tunneld.idp.sessions import set_session, start_session
from tunneld.model.errors import TokenError
from tunneld.policy.compact_token import strict_object
from tunneld.policy.directory import Tenant
from tunneld.policy.federation import openid, saml, ws_fed
from tunneld.policy.federation.compiled import Protocol
from tunneld.policy.federation.realms import guest_of
from tunneld.policy.federation.vouched import FederationError, Vouched, judge_email
from tunneld.policy.refusals import Refusal, refusal

MAX_AT_ONCE = 4  # signatures of XML documents checked at a time: each takes milliseconds of a processor

_log = structlog.get_logger("idp")
_threads = asyncio.Semaphore(MAX_AT_ONCE)


async def openid_arrival(request: Request) -> Response:
    """Serve GET /{tenant}/federation/oauth2: an OpenID provider's answer."""
    provider = provider_of(request)
    try:
        fields = read_query(request)
    except RequestError as refused:
        return refusal_page(request, refused.refusal)
    return await _Arrival(provider, request, fields).settle(Protocol.OPENID, fields.get("state", ""))


async def passive_arrival(request: Request) -> Response:
    """Serve POST /login.srf: a SAML response, or a WS-Federation token."""
    provider = provider_of(request)
    try:
        fields = await read_form(request, lines=frozenset({"SAMLResponse", "wresult"}))
    except RequestError as refused:
        return refusal_page(request, refused.refusal)
    arrival = _Arrival(provider, request, fields)
    if "wresult" in fields:
        return await arrival.settle(Protocol.WS_FED, fields.get("wctx", ""))
    return await arrival.settle(Protocol.SAML, fields.get("RelayState", ""))


class _Arrival:
    """One answer of one provider."""

    def __init__(self, provider: Provider, request: Request, fields: Mapping[str, str]) -> None:
        self._provider = provider
        self._request = request
        self._fields = fields

    async def settle(self, protocol: Protocol, state: str) -> Response:
        """Verify the answer and go on as the guest that it vouches for."""
        provider = self._provider
        away = provider.federation.back(state, self._request.cookies.get(COOKIE, ""), provider.clock())
        if away is None or away.trusted.protocol is not protocol:
            return self._refuse(refusal(90013), None)
        tenant = provider.directory.tenants.get(away.trusted.tenant_id)
        # The object may have been changed or deleted while they were away. A renewed certificate alone is the one to
        # verify with; whoever is away while it is renewed need not start again.
        now = tenant.policy.federation.by_id.get(away.trusted.id) if tenant is not None else None
        if tenant is None or now is None or replace(now, certificate=away.trusted.certificate) != away.trusted:
            return self._refuse(refusal(50107), tenant)
        away = replace(away, trusted=now)
        try:
            vouched = await self._verify(tenant, away)
            if not provider.federation.first_use(f"{away.trusted.id} {vouched.once}", vouched.until, provider.clock()):
                raise FederationError("replay")
        except FederationError as error:
            return self._unproven(error, tenant, away)
        return await self._enter(tenant, away, vouched)

    async def _verify(self, tenant: Tenant, away: Away) -> Vouched:
        if away.trusted.protocol is Protocol.OPENID:
            return await self._redeem_code(tenant, away)
        trusted, provider, correlation_id = away.trusted, self._provider, correlation_of(self._request)
        try:
            vouched = await self._verify_passive(tenant, away, trusted.certificate)
        except FederationError as error:
            if error.rule not in UNKNOWN_CERTIFICATE:
                raise
            found = await verify_with_published(
                provider, trusted, partial(self._verify_passive, tenant, away), correlation_id=correlation_id
            )
            if found is None:
                raise
            return found
        await look_ahead(provider, trusted, correlation_id=correlation_id)
        return vouched

    async def _verify_passive(self, tenant: Tenant, away: Away, certificate: str) -> Vouched:
        trusted, provider = away.trusted, self._provider
        expected = saml.Expected(
            trusted.issuer, certificate, audience(provider, tenant.id), acs_url(provider), away.state,
            provider.now(),
        )
        async with _threads:
            if trusted.protocol is Protocol.SAML:
                document = saml.decode_post(self._fields.get("SAMLResponse", ""))
                return await asyncio.to_thread(saml.verify_response, document, expected)
            token = self._fields.get("wresult", "").encode("utf-8", "surrogatepass")
            return await asyncio.to_thread(ws_fed.verify_token_response, token, expected)

    async def _redeem_code(self, tenant: Tenant, away: Away) -> Vouched:
        provider, trusted = self._provider, away.trusted
        if self._request.path_params["tenant"] != tenant.id:
            raise FederationError("code", "answered at another tenant's address")
        source = provider.federation.source(trusted, provider.settings.federation, provider.clock)
        metadata = await source.metadata()
        form = {
            "grant_type": "authorization_code", "code": openid.code_of_answer(self._fields, metadata),
            "redirect_uri": redirect_uri(provider, tenant.id), "code_verifier": away.verifier,
        }
        basic = None
        if not trusted.client_secret:
            form["client_id"] = trusted.client_id
        elif metadata.secret_in_body:
            form |= {"client_id": trusted.client_id, "client_secret": trusted.client_secret}
        else:
            basic = (trusted.client_id, trusted.client_secret)
        answer = await provider.federation.outbound(provider.settings.federation).post(
            metadata.token_endpoint, form, basic=basic
        )
        try:
            text = strict_object(answer).get("id_token")
        except TokenError as error:
            raise FederationError("form", error.detail) from None
        token = openid.take_apart_id_token(text if isinstance(text, str) else "")
        key = await source.key(token.key_id)
        return openid.verify_id_token(token, key, trusted, nonce=away.nonce, now=provider.clock())

    async def _enter(self, tenant: Tenant, away: Away, vouched: Vouched) -> Response:
        """Begin the guest's session and let the conversation go on where it was left."""
        provider = self._provider
        refused = judge_email(away.trusted, vouched)
        if refused is not None:
            return self._refuse(refused, tenant)
        guest = guest_of(tenant, away.trusted, vouched)
        if guest is None:
            return self._refuse(refusal(50020), tenant)
        session = await start_session(provider, self._request, (tenant.id, guest.oid), vouched.method)
        await remember_identity(provider, session.id, away.trusted, vouched)
        response = RedirectResponse(away.return_to, status_code=303)
        set_session(provider, response, session)
        return response

    def _unproven(self, error: FederationError, tenant: Tenant, away: Away) -> Response:
        """Say little to the browser; the rule that was broken is for those who read the log."""
        _log.warning(
            "federation_refused", tenant=tenant.id, provider=away.trusted.id, rule=error.rule, detail=error.detail,
            correlation_id=correlation_of(self._request),
        )
        code = 40010 if error.rule == "unreachable" else 50008
        sentence = f"{away.trusted.display_name}: {refusal(code).sentence} ({error.rule})"
        return self._refuse(refusal(code, sentence), tenant)

    def _refuse(self, refused: Refusal, tenant: Tenant | None) -> Response:
        return refusal_page(self._request, refused, tenant)
