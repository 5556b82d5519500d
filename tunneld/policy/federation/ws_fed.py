"""WS-Federation 1.2 passive requestor: the request, and a token response with a SAML 1.1 or 2.0 assertion in it.

The rules are those of SAML where the older protocol has them. It knows no InResponseTo and no recipient; `wctx` and
the browser's own cookie bind the answer to the request instead.
"""

from __future__ import annotations

import datetime
from urllib.parse import urlencode

from tunneld.policy.federation.assertion import EMAIL, IMMUTABLE_ID, Assertion, read_assertion
from tunneld.policy.federation.certificates import read_signing_certificate
from tunneld.policy.federation.saml import TOKEN_RULES, Expected
from tunneld.policy.federation.signed_assertion import signed_assertion
from tunneld.policy.federation.vouched import SKEW_S, FederationError, Vouched
from tunneld.policy.federation.xml_document import Element, children, only_child, read_xml

TRUST = frozenset({
    "http://schemas.xmlsoap.org/ws/2005/02/trust", "http://docs.oasis-open.org/ws-sx/ws-trust/200512",
})


def sign_in_url(passive_url: str, *, realm: str, reply_url: str, context: str, now: int) -> str:
    """Return a wsignin1.0 request (WS-Federation §13.2.2)."""
    instant = datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    query = urlencode({"wa": "wsignin1.0", "wtrealm": realm, "wreply": reply_url, "wctx": context, "wct": instant})
    return f"{passive_url}{'&' if '?' in passive_url else '?'}{query}"


def verify_token_response(document: bytes, expected: Expected) -> Vouched:
    """Return the person that a `wresult` vouches for. Raises FederationError with the rule that it broke."""
    root = read_xml(document)
    _one_token(root)
    node = signed_assertion(root, read_signing_certificate(expected.certificate), expected.now)
    assertion = read_assertion(node)
    for rule in TOKEN_RULES:
        rule(assertion, expected)
    return _vouched(assertion)


def _one_token(root: Element) -> None:
    """A response, or a collection of one, with one requested token of one assertion."""
    namespace, _, name = str(root.tag).removeprefix("{").partition("}")
    if namespace not in TRUST:
        raise FederationError("version", "not a WS-Trust response")
    response = root
    if name == "RequestSecurityTokenResponseCollection":
        response = only_child(root, f"{{{namespace}}}RequestSecurityTokenResponse", "version")
    elif name != "RequestSecurityTokenResponse":
        raise FederationError("version", "not a WS-Trust response")
    token = only_child(response, f"{{{namespace}}}RequestedSecurityToken", "version")
    if len(token) != 1 or len(children(token, str(token[0].tag))) != 1:
        raise FederationError("one_assertion", "not one token")


def _vouched(assertion: Assertion) -> Vouched:
    """The immutable id names the person; the name identifier may be an address that changes."""
    subject = assertion.one(IMMUTABLE_ID)
    if not subject:
        raise FederationError("subject", "no ImmutableID")
    return Vouched(
        assertion.issuer, subject, assertion.one(EMAIL), assertion.display_name, assertion.multi_factor,
        assertion.authenticated_at, assertion.id, assertion.not_on_or_after + SKEW_S,
    )
