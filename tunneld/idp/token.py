"""The token endpoint: codes, refresh tokens and device codes become tokens (RFC 6749 §4.1.3, §6; RFC 8628 §3.4)."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tunneld.idp.answers import RequestError, correlation_of, oauth_error
from tunneld.idp.conversation.home_realm import shared_name
from tunneld.idp.database import DatabaseAwayError
from tunneld.idp.decisions import Wanted, decide, judge, session_question
from tunneld.idp.forms import read_form, required
from tunneld.idp.grants import CODE_LIFETIME_S, CodeGrant, DeviceGrant, DeviceState
from tunneld.idp.provider import Provider, provider_of
from tunneld.idp.sealing import new_id
from tunneld.idp.store import Family, Session
from tunneld.idp.tokens import TokenRequest, token_response
from tunneld.policy.authorization import verifier_matches
from tunneld.policy.claims_request import ClaimsRequest, parse_claims
from tunneld.policy.directory import Client, Tenant
from tunneld.policy.refusals import Refusal, refusal
from tunneld.policy.scopes import ScopeRequest, parse_scope
from tunneld.policy.sign_in import Deny, Grant, SessionProof, SignInRequest

SKEW_S = 60  # what clocks may differ by, as for tokens
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")  # SHA-256 in base64url (RFC 7638 §3.1)


class TokenCall:
    """One request to the token endpoint, its fields checked as far as all grants share them."""

    def __init__(self, request: Request, form: dict[str, str]) -> None:
        self.request = request
        self.form = form
        self.provider: Provider = provider_of(request)
        self.shared = shared_name(request)
        tenant = self.provider.directory.tenant(request.path_params["tenant"])
        if tenant is None and not self.shared:
            raise RequestError(refusal(90002))
        client = self.provider.directory.clients.get(required(form, "client_id"))
        if client is None:
            raise RequestError(refusal(700016))
        if {"client_secret", "client_assertion"} & form.keys() or "authorization" in request.headers:
            raise RequestError(refusal(700025))
        self._tenant: Tenant | None = None if self.shared else tenant
        self.client: Client = client

    @property
    def tenant(self) -> Tenant:
        """The tenant that tokens are for."""
        assert self._tenant is not None  # every grant is held against `is_for` first
        return self._tenant

    def is_for(self, tenant_id: str, shared: str) -> bool:
        """Tell whether a grant of a tenant belongs here; `shared` is the name that it was also made under.

        Where the URL names no tenant, the grant's own tenant is the call's from then on.
        """
        if not self.shared:
            return self.tenant.id == tenant_id
        self._tenant = self.provider.directory.tenants.get(tenant_id)
        return self._tenant is not None and shared == self.shared

    def scope(self, default: str) -> ScopeRequest:
        """Return the requested scope, or the one that the grant was made for."""
        scope = parse_scope(self.form.get("scope") or default)
        if isinstance(scope, str):
            raise RequestError(refusal(28000 if "more than one" in scope else 70011, scope))
        return scope

    async def answer(
        self, session: Session, wanted: TokenRequest, family: Family | None, *, via: str,
        proof: SessionProof | None = None,
    ) -> Response:
        """Ask for the decision anew and mint; a family is begun for a code, moved on for a refresh token."""
        provider, tenant = self.provider, self.tenant
        access = Wanted(tenant, self.client, wanted.scope.audience, wanted.contexts, interactive=False)
        question = await session_question(provider, self.request, access, session, proof=proof)
        if family is not None:
            question = self._with_earlier_contexts(question, family)
        token_id = new_id()
        outcome = await decide(provider, self.request, question, via=via, session=session, token_id=token_id)
        if isinstance(outcome, Deny):
            return oauth_error(self.request, _as_grant_error(outcome.refusal), claims=challenge(outcome))
        await self._check_binding(outcome, wanted)
        handle = await self._next_refresh_token(session, wanted, family, outcome.access.contexts)
        if handle is None:
            return oauth_error(self.request, refusal(50173))
        body = token_response(
            provider, outcome, session, wanted, handle, question=question, token_id=token_id
        )
        return JSONResponse(body, headers={"pragma": "no-cache"})

    def _with_earlier_contexts(self, question: SignInRequest, family: Family) -> SignInRequest:
        """Ask also for the contexts of the family's earlier tokens, as far as the session satisfies them still.

        So a step-up lasts as long as what was shown in it; what no longer holds is left out and refuses nothing.
        """
        asked = question.around.contexts
        earlier = tuple(context for context in family.contexts if context not in asked)

        def asking(*more: str) -> SignInRequest:
            return replace(question, around=replace(question.around, contexts=(*asked, *more)))

        if not earlier or isinstance(judge(self.provider, asking(*earlier)), Grant):
            return asking(*earlier)
        # Contexts bring policies of their own, and all of those have to be met: what holds alone holds together.
        return asking(*(one for one in earlier if isinstance(judge(self.provider, asking(one)), Grant)))

    def key_thumbprint(self) -> str | None:
        """Return the key to bind the token to, if the client asks for that."""
        thumbprint = self.form.get("cnf_jkt")
        if thumbprint is not None and not _THUMBPRINT.fullmatch(thumbprint):
            raise RequestError(refusal(700030, "cnf_jkt is not a key thumbprint."))
        return thumbprint

    def wanted(self, scope: str, claims: ClaimsRequest, *, nonce: str | None = None) -> TokenRequest:
        """Return what is asked for: what the grant was made for, and what this request says anew."""
        asked = self.claims(claims)
        return TokenRequest(self.scope(scope), nonce, self.key_thumbprint(), asked.capabilities, asked.contexts)

    def claims(self, default: ClaimsRequest) -> ClaimsRequest:
        """Return what the `claims` parameter of this request asks for, or what was asked for before."""
        if "claims" not in self.form:
            return default
        found = parse_claims(self.form["claims"])
        if found is None:
            raise RequestError(refusal(90014, "The claims parameter is malformed."))
        if found.not_before > self.provider.now() + SKEW_S:
            raise RequestError(refusal(90014, "The claims parameter asks for a token of the future."))
        # An API's challenge names what it misses; what the client can do has not changed by that.
        return found if found.capabilities else replace(found, capabilities=default.capabilities)

    async def _check_binding(self, grant: Grant, wanted: TokenRequest) -> None:
        thumbprint = wanted.key_thumbprint
        if thumbprint is None:
            return
        provider = self.provider
        if not await provider.store.certified(grant.tenant.id, grant.user.oid, thumbprint, provider.now()):
            raise RequestError(refusal(700030))

    async def _next_refresh_token(
        self, session: Session, wanted: TokenRequest, family: Family | None, contexts: Iterable[str]
    ) -> str | None:
        """Begin or move on the family on disk; None when somebody else moved it on first."""
        provider = self.provider
        if family is not None and family.generation:
            if not await provider.store.rotate(family.id, family.generation):
                await self.revoke(family.id, "reuse")
                return None
            family = replace(family, generation=family.generation + 1)
        else:
            expires_at = provider.now() + provider.settings.lifetimes.refresh_token
            family = Family(
                family.id if family else new_id(), session.id, self.tenant.id, self.client.id, wanted.scope.text,
                wanted.capabilities, 1, expires_at,
            )
            await provider.store.add_family(family)
        if not set(contexts) <= set(family.contexts):
            await provider.store.remember_contexts(family.id, {*family.contexts, *contexts})
        return provider.seal.seal("refresh", f"{family.id}~{family.generation}")

    async def revoke(self, family_id: str, because: str) -> None:
        """Revoke a family and say so in the audit log."""
        provider = self.provider
        await provider.store.revoke_family(family_id, because, provider.now())
        provider.records.audit(
            "Revoke refresh tokens", now=provider.clock(), correlation_id=correlation_of(self.request),
            tenant=self.tenant.id, family=family_id, because=because,
        )


async def token(request: Request) -> Response:
    """Serve POST /{tenant}/oauth2/v2.0/token."""
    form = await read_form(request)
    grant_type = required(form, "grant_type")
    redeem = _GRANT_TYPES.get(grant_type)
    if redeem is None:
        raise RequestError(refusal(70003))
    return await redeem(TokenCall(request, form))


async def _redeem_code(call: TokenCall) -> Response:
    provider, form = call.provider, call.form
    grant = provider.codes.find(required(form, "code"))
    if grant is None:
        return oauth_error(call.request, refusal(9002313, "The code is malformed or unknown."))
    problem = _code_problem(call, grant)
    if problem is not None:
        return oauth_error(call.request, problem)
    if grant.redeemed:
        # RFC 6749 §4.1.2: a code used twice was stolen, and so may be what it was exchanged for.
        grant.reused = True
        if grant.family_id is not None:
            await call.revoke(grant.family_id, "code_reuse")
        return oauth_error(call.request, refusal(54005))
    if provider.clock() - grant.issued_at > CODE_LIFETIME_S:
        return oauth_error(call.request, refusal(70008, "The code has expired."))
    wanted = call.wanted(grant.request.scope.text, grant.request.claims, nonce=grant.request.nonce)
    # Marked before the first await, with the family's id: a second redemption finds both whenever it comes.
    grant.redeemed, grant.family_id = True, new_id()
    family = Family(grant.family_id, grant.session.id, "", "", "", (), 0, 0)
    try:
        session = await provider.store.session(grant.session.id) or replace(grant.session, revoked=True)
        response = await call.answer(session, wanted, family, via="code")
    except DatabaseAwayError:
        if not grant.reused:  # nobody got anything for the code: it is good for another try
            grant.redeemed, grant.family_id = False, None
        raise
    if grant.reused:  # while this one was at work, before there was a family to revoke
        await call.revoke(grant.family_id, "code_reuse")
        return oauth_error(call.request, refusal(54005))
    return response


def _code_problem(call: TokenCall, grant: CodeGrant) -> Refusal | None:
    if not call.is_for(grant.request.tenant.id, grant.request.shared):
        return refusal(700005)
    if grant.request.client.id != call.client.id:
        return refusal(700009)
    if call.form.get("redirect_uri") != grant.request.redirect_uri:
        return refusal(700009, "The redirect URI is not the one that the code was issued for.")
    if not verifier_matches(call.form.get("code_verifier", ""), grant.request.challenge):
        return refusal(50148)
    return None


async def _refresh(call: TokenCall) -> Response:
    provider = call.provider
    opened = provider.seal.open("refresh", required(call.form, "refresh_token"))
    if opened is None:
        return oauth_error(call.request, refusal(9002313, "The refresh token is malformed or unknown."))
    family_id, _, generation = opened.partition("~")
    found = await provider.store.family(family_id)
    if found is None:
        return oauth_error(call.request, refusal(70008, "The refresh token has expired."))
    family, session = found
    # A line begun at its account's home goes on under the shared names too; a guest's only at the visited tenant.
    shared = call.shared if session.account[0] == family.tenant_id else ""
    if not call.is_for(family.tenant_id, shared) or family.client_id != call.client.id:
        return oauth_error(call.request, refusal(700009))
    if int(generation) != family.generation and not family.revoked:
        # RFC 9700 §4.14.2: an old one coming back means that two parties hold the family.
        await call.revoke(family.id, "reuse")
        return oauth_error(call.request, refusal(50173, "A used refresh token came back; its line is revoked."))
    if provider.now() >= family.expires_at:
        return oauth_error(call.request, refusal(70008, "The refresh token has expired."))
    wanted = call.wanted(family.scope, ClaimsRequest(family.capabilities))
    proof = SessionProof(
        session.authenticated_at, family.revoked or session.revoked, provider.settings.lifetimes.refresh_token
    )
    return await call.answer(session, wanted, family, via="refresh", proof=proof)


async def _redeem_device(call: TokenCall) -> Response:
    provider = call.provider
    grant = provider.devices.by_device_code(required(call.form, "device_code"))
    if grant is None or grant.client_id != call.client.id:
        return oauth_error(call.request, refusal(70018))
    waiting = call.shared == grant.shared and not grant.tenant_id  # whose organization it is nobody knows yet
    if not waiting and not call.is_for(grant.tenant_id, grant.shared):
        return oauth_error(call.request, refusal(70018))
    problem = _device_problem(provider, grant)
    if problem is not None:
        return oauth_error(call.request, problem)
    assert grant.session is not None
    wanted = call.wanted(grant.scope, grant.claims)
    provider.devices.finish(grant)
    try:
        return await call.answer(grant.session, wanted, None, via="device_code")
    except DatabaseAwayError:
        provider.devices.start(grant, provider.clock())  # as for a code
        raise


def _device_problem(provider: Provider, grant: DeviceGrant) -> Refusal | None:
    now = provider.clock()
    if now >= grant.expires_at:
        provider.devices.finish(grant)
        return refusal(70020)
    if grant.state is DeviceState.DECLINED:
        provider.devices.finish(grant)
        return refusal(70019)
    if grant.state is DeviceState.APPROVED:
        return None
    too_soon = now - grant.polled_at < grant.interval_s
    grant.polled_at = now
    if too_soon:
        grant.interval_s += 5  # RFC 8628 §3.5: slow_down adds five seconds for good
        return refusal(70017)
    return refusal(70016)


def _as_grant_error(denied: Refusal) -> Refusal:
    """There is no page here: a missing session, or a policy that blocks, means that the grant is no good."""
    if denied.error == "login_required" or denied.code in _BLOCKED:
        return replace(denied, error="invalid_grant")
    return denied


_BLOCKED = frozenset({53002, 53003, 53009})  # Conditional Access, where nothing that a page asks would help


def challenge(denied: Deny) -> str | None:
    """Return the `claims` that tell a client which policies stopped it, to be sent along with the next sign-in.

    A JSON string in the JSON body, as the published errors of Conditional Access have it.
    """
    policies = denied.interaction.policies if denied.interaction is not None else ()
    policies = policies or tuple(line.id for line in denied.access.applied if line.result == "failure")
    if not policies:
        return None
    members = {"capolids": {"essential": True, "values": list(policies)}}
    return json.dumps({"access_token": members}, separators=(",", ":"))


_GRANT_TYPES: dict[str, Callable[[TokenCall], Awaitable[Response]]] = {
    "authorization_code": _redeem_code,
    "refresh_token": _refresh,
    "urn:ietf:params:oauth:grant-type:device_code": _redeem_device,
}
