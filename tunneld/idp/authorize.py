"""The authorization endpoint: who is this, may they, and a code for the client (RFC 6749 §4.1, RFC 7636, RFC 9207)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from tunneld.idp.answers import RequestError, redirect_back, redirect_refusal
from tunneld.idp.conversation.book import conversation
from tunneld.idp.conversation.errand import Errand
from tunneld.idp.decisions import Wanted
from tunneld.idp.forms import read_form, read_query
from tunneld.idp.pages import refusal_page
from tunneld.idp.provider import Provider, provider_of
from tunneld.idp.sessions import clear_session
from tunneld.idp.store import Session
from tunneld.policy.authorization import AuthorizationRequest, BadAuthorization, parse_authorization
from tunneld.policy.sign_in import Deny, Grant

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
    talk = conversation(provider, request, authorization_errand(provider, wanted, fields), fields)
    if request.method == "POST" and "action" in fields:
        return await talk.answer_form()
    return await talk.begin(silent=wanted.prompt == "none", fresh=wanted.prompt in ("login", "select_account"))


def authorization_errand(
    provider: Provider, wanted: AuthorizationRequest, fields: Mapping[str, str]
) -> Errand:
    """Return the errand of a client's authorization request."""

    async def conclude(grant: Grant, session: Session) -> Response:
        del grant  # the token endpoint asks again
        code = provider.codes.issue(wanted, session, provider.clock())
        return redirect_back(
            wanted.redirect_uri, {"code": code, "state": wanted.state, "iss": provider.issuer(wanted.tenant)}
        )

    def refuse(denied: Deny) -> Response:
        refused = denied.refusal
        if refused.error == "invalid_grant":  # a word of the token endpoint; here it is one of these two
            refused = replace(refused, error="login_required" if denied.unproven else "access_denied")
        issuer = provider.issuer(wanted.tenant)
        response = redirect_refusal(wanted.redirect_uri, refused, state=wanted.state, issuer=issuer)
        if denied.code == 50173:
            clear_session(response)
        return response

    return Errand(
        Wanted(wanted.tenant, wanted.client, wanted.scope.audience, wanted.claims.contexts),
        tuple((name, fields[name]) for name in _CARRIED if name in fields),
        conclude, refuse, wanted.login_hint, wanted.redirect_uri,
    )
