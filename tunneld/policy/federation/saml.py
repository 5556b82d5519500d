"""SAML 2.0 as the service provider: the request that is sent, and the rules that a response has to pass.

OASIS SAML 2.0 core, bindings §3.4 (redirect) and §3.5 (POST), profiles §4.1 (web browser SSO). Responses that nobody
asked for are refused, so that a stolen assertion cannot be pushed into another browser.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode
from xml.sax.saxutils import quoteattr

from tunneld.policy.federation.assertion import EMAIL, Assertion, read_assertion
from tunneld.policy.federation.certificates import read_signing_certificate
from tunneld.policy.federation.signed_assertion import PROTOCOL, SAML2, signed_assertion
from tunneld.policy.federation.vouched import SKEW_S, FederationError, Vouched
from tunneld.policy.federation.xml_document import Element, children, only_child, read_xml, text_of

MAX_LIFETIME_S = 3600  # an assertion is used at once; Microsoft's own live for an hour
_SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
_BASE64 = re.compile(rb"[A-Za-z0-9+/=\s]+")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a response has to fit: who was asked, by whom, with which request, and where the answer belongs."""

    issuer: str
    certificate: str  # base64 DER
    audience: str
    recipient: str  # SAML: the assertion consumer URL
    request_id: str
    now: int


def authn_request(*, request_id: str, issuer: str, acs_url: str, destination: str, now: int) -> str:
    """Return an AuthnRequest (SAML core §3.4.1)."""
    instant = datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f'<samlp:AuthnRequest xmlns:samlp="{PROTOCOL}" xmlns:saml="{SAML2}" ID={quoteattr(request_id)} Version="2.0"'
        f' IssueInstant="{instant}" Destination={quoteattr(destination)}'
        f' AssertionConsumerServiceURL={quoteattr(acs_url)}'
        ' ProtocolBinding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST">'
        f"<saml:Issuer>{_escaped(issuer)}</saml:Issuer>"
        '<samlp:NameIDPolicy Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" AllowCreate="true"/>'
        "</samlp:AuthnRequest>"
    )


def redirect_url(destination: str, request: str, relay_state: str) -> str:
    """Return the URL of the redirect binding: deflated without header, base64, percent-encoded."""
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(request.encode()) + packer.flush()
    query = urlencode({"SAMLRequest": base64.b64encode(packed).decode(), "RelayState": relay_state})
    return f"{destination}{'&' if '?' in destination else '?'}{query}"


def decode_post(field: str) -> bytes:
    """Return the XML of a SAMLResponse form field. Raises FederationError("xml")."""
    raw = field.encode("utf-8", "surrogateescape")
    if not _BASE64.fullmatch(raw):
        raise FederationError("xml", "not base64")
    try:
        return base64.b64decode(b"".join(raw.split()), validate=True)
    except binascii.Error:
        raise FederationError("xml", "not base64") from None


def verify_response(document: bytes, expected: Expected) -> Vouched:
    """Return the person that a response vouches for. Raises FederationError with the rule that it broke."""
    root = read_xml(document)
    for check in RESPONSE_RULES:
        check(root, expected)
    node = signed_assertion(root, read_signing_certificate(expected.certificate), expected.now)
    if node.tag != f"{{{SAML2}}}Assertion":
        raise FederationError("version", "not a SAML 2.0 assertion")
    assertion = read_assertion(node)
    for rule in ASSERTION_RULES:
        rule(assertion, expected)
    return vouched_by(assertion)


def vouched_by(assertion: Assertion) -> Vouched:
    """Return the person of an assertion that passed the rules."""
    return Vouched(
        assertion.issuer, assertion.subject, assertion.one(EMAIL), assertion.display_name, assertion.multi_factor,
        assertion.authenticated_at, assertion.id, assertion.not_on_or_after + SKEW_S,
    )


def _root_is_response(root: Element, expected: Expected) -> None:
    del expected
    if root.tag != f"{{{PROTOCOL}}}Response" or root.get("Version") != "2.0":
        raise FederationError("version", "not a SAML 2.0 response")


def _successful(root: Element, expected: Expected) -> None:
    del expected
    status = only_child(root, f"{{{PROTOCOL}}}Status", "status")
    code = only_child(status, f"{{{PROTOCOL}}}StatusCode", "status")
    if code.get("Value") != _SUCCESS:
        raise FederationError("status", "the provider did not sign anybody in")


def _for_us(root: Element, expected: Expected) -> None:
    """The envelope may be unsigned: what it says must not contradict, and proves nothing."""
    if root.get("Destination", expected.recipient) != expected.recipient:
        raise FederationError("destination")
    if root.get("InResponseTo") != expected.request_id:
        raise FederationError("in_response_to", "the response")
    issuers = children(root, f"{{{SAML2}}}Issuer")
    if any(text_of(each, "issuer", limit=1024) != expected.issuer for each in issuers):
        raise FederationError("issuer", "the response")


def _issuer(assertion: Assertion, expected: Expected) -> None:
    if assertion.issuer != expected.issuer:
        raise FederationError("issuer", "the assertion")


def _audience(assertion: Assertion, expected: Expected) -> None:
    if expected.audience not in assertion.audiences:
        raise FederationError("audience")


def _conditions(assertion: Assertion, expected: Expected) -> None:
    begin, end = assertion.not_before, assertion.not_on_or_after
    if expected.now >= end + SKEW_S:
        raise FederationError("expired")
    if begin > expected.now + SKEW_S:
        raise FederationError("not_yet_valid")
    if end <= begin or end - begin > MAX_LIFETIME_S + 2 * SKEW_S:
        raise FederationError("lifetime")


def _confirmed(assertion: Assertion, expected: Expected) -> None:
    """One bearer confirmation: for our URL, in answer to our request, in time (SAML profiles §4.1.4.3)."""
    if len(assertion.confirmations) != 1:
        raise FederationError("confirmation", "not one bearer confirmation")
    confirmation = assertion.confirmations[0]
    if confirmation.recipient != expected.recipient:
        raise FederationError("recipient")
    if confirmation.in_response_to != expected.request_id:
        raise FederationError("in_response_to", "the assertion")
    if expected.now >= confirmation.not_on_or_after + SKEW_S:
        raise FederationError("expired", "the confirmation")
    if confirmation.not_before is not None:
        raise FederationError("confirmation", "NotBefore must not be there")


def _authenticated(assertion: Assertion, expected: Expected) -> None:
    if assertion.authenticated_at > expected.now + SKEW_S:
        raise FederationError("not_yet_valid", "signed in in the future")


RESPONSE_RULES: tuple[Callable[[Element, Expected], None], ...] = (_root_is_response, _successful, _for_us)
TOKEN_RULES: tuple[Callable[[Assertion, Expected], None], ...] = (_issuer, _audience, _conditions, _authenticated)
ASSERTION_RULES: tuple[Callable[[Assertion, Expected], None], ...] = (*TOKEN_RULES, _confirmed)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
