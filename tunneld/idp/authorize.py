"""The authorization endpoint: who is this, may they, and a code for the client (RFC 6749 §4.1, RFC 7636, RFC 9207)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from tunneld.idp.answers import RequestError
from tunneld.idp.conversation.book import conversation
from tunneld.idp.conversation.errand import Carried, Errand
from tunneld.idp.conversation.home_realm import (
    FIND,
    REALM,
    UNKNOWN,
    account_page,
    home_of,
    realm_of,
    shared_name,
    template_issuer,
)
from tunneld.idp.conversation.turns import CANCELLED
from tunneld.idp.decisions import Wanted
from tunneld.idp.forms import read_form, read_query
from tunneld.idp.pages import refusal_page
from tunneld.idp.provider import Provider, provider_of
from tunneld.idp.replies import ReplyTo
from tunneld.idp.sessions import clear_session, csrf_holds
from tunneld.idp.store import Session
from tunneld.policy.authorization import (
    AuthorizationRequest,
    BadAuthorization,
    at_tenant,
    judge_parameters,
    parse_authorization,
    placed,
)
from tunneld.policy.directory import ObjectKey, Tenant
from tunneld.policy.refusals import refusal
from tunneld.policy.sign_in import Deny, Grant

# The parameters that travel through the pages as hidden fields.
_CARRIED = (
    "client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "code_challenge",
    "code_challenge_method", "prompt", "login_hint", "claims",
)
_FRESH = ("login", "select_account")


async def authorize(request: Request) -> Response:
    """Serve GET (the client's redirect) and POST (the pages' forms, or the client's request as a form)."""
    provider = provider_of(request)
    try:
        fields = read_query(request) if request.method == "GET" else await read_form(request)
    except RequestError as refused:
        return refusal_page(request, refused.refusal)
    if shared_name(request):
        return await _authorize_somewhere(provider, request, fields)
    wanted = parse_authorization(fields, request.path_params["tenant"], provider.directory)
    if isinstance(wanted, BadAuthorization):
        return _bad(provider, request, wanted, provider.directory.tenant(request.path_params["tenant"]))
    return await _converse(provider, request, wanted, fields)


async def _authorize_somewhere(provider: Provider, request: Request, fields: Mapping[str, str]) -> Response:
    """Serve `/common` and `/organizations`: find the organization first, or ask for the account that tells it."""
    asked = judge_parameters(fields, provider.directory)
    if isinstance(asked, BadAuthorization):
        return _bad(provider, request, asked, None)
    posted = request.method == "POST" and "action" in fields
    fresh = not posted and asked.prompt in _FRESH
    tenant = await realm_of(provider, request, fields, hint=asked.login_hint, fresh=fresh)
    if tenant is not None:
        wanted = at_tenant(asked, tenant, shared_name(request))
        if isinstance(wanted, BadAuthorization):
            return _bad(provider, request, wanted, tenant)
        return await _converse(provider, request, wanted, fields)
    reply = ReplyTo(asked.redirect_uri, asked.response_mode, asked.state, template_issuer(provider))
    if asked.prompt == "none":
        return reply.refusal(refusal(50058))
    ours = posted and csrf_holds(provider, request, fields.get("csrf", ""))
    if ours and fields["action"] == "decline":
        return reply.refusal(refusal(65004, CANCELLED))
    return account_page(
        provider, request, _carried(fields), client=asked.client.name, error=UNKNOWN if posted else ""
    )


async def _converse(
    provider: Provider, request: Request, wanted: AuthorizationRequest, fields: Mapping[str, str]
) -> Response:
    talk = conversation(provider, request, authorization_errand(provider, wanted, fields), fields)
    if request.method == "POST" and "action" in fields:
        return await (talk.sign_in_page() if wanted.shared and fields["action"] == FIND else talk.answer_form())
    return await talk.begin(silent=wanted.prompt == "none", fresh=wanted.prompt in _FRESH)


def authorization_errand(
    provider: Provider, wanted: AuthorizationRequest, fields: Mapping[str, str]
) -> Errand:
    """Return the errand of a client's authorization request."""
    reply = ReplyTo(wanted.redirect_uri, wanted.response_mode, wanted.state, provider.issuer(wanted.tenant))

    async def conclude(grant: Grant, session: Session) -> Response:
        del grant  # the token endpoint asks again
        return reply.code(provider.codes.issue(wanted, session, provider.clock()))

    def refuse(denied: Deny) -> Response:
        refused = denied.refusal
        if refused.error == "invalid_grant":  # a word of the token endpoint; here it is one of these two
            again = denied.unproven or denied.interaction is not None
            refused = replace(refused, error="login_required" if again else "access_denied")
        response = reply.refusal(refused)
        if denied.code == 50173:
            clear_session(response)
        return response

    def at_home(account: ObjectKey) -> Errand | None:
        home = home_of(provider.directory, account)
        return authorization_errand(provider, placed(wanted, home, wanted.shared), fields) if home else None

    realm: Carried = ((REALM, wanted.tenant.id),) if wanted.shared else ()
    return Errand(
        Wanted(wanted.tenant, wanted.client, wanted.scope.audience, wanted.claims.contexts),
        (*_carried(fields), *realm), conclude, refuse, wanted.login_hint, wanted.redirect_uri,
        at_home=at_home if wanted.shared else None,
    )


def _carried(fields: Mapping[str, str]) -> Carried:
    return tuple((name, fields[name]) for name in _CARRIED if name in fields)


def _bad(provider: Provider, request: Request, bad: BadAuthorization, tenant: Tenant | None) -> Response:
    """Tell the client where that is safe, else the person."""
    if bad.redirect_uri is None:
        return refusal_page(request, bad.refusal, tenant)
    issuer = provider.issuer(tenant) if tenant is not None else template_issuer(provider)
    return ReplyTo(bad.redirect_uri, bad.response_mode, bad.state, issuer).refusal(bad.refusal)
