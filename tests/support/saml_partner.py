"""A SAML and WS-Federation identity provider for tests: it signs whatever it is told to."""

from __future__ import annotations

import base64
import datetime
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from lxml import etree
from signxml import XMLSigner, methods

ISSUER = "https://sts.partner.example/adfs/services/trust"
SIGN_IN = "https://sts.partner.example/adfs/ls"
DOMAIN = "partner.example"
AUDIENCE = "https://idp.test/22222222-2222-4222-8222-222222222222/"
ACS = "https://idp.test/login.srf"
REQUEST = "_request-1"
NOW = 1_800_000_000
SUBJECT = "opaque-7"
EMAIL = "gail@partner.example"

SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAML1 = "urn:oasis:names:tc:SAML:1.0:assertion"
DS = "http://www.w3.org/2000/09/xmldsig#"
EMAIL_CLAIM = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"
MULTIPLE = "http://schemas.microsoft.com/claims/multipleauthn"


def partner_key(name: str = "partner") -> rsa.RSAPrivateKey:
    """Return the key of that name, made once."""
    return _made(name)


@cache
def _made(_name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def partner_certificate(name: str = "partner", begin: int = NOW - 86400, end: int = NOW + 86400 * 3650) -> str:
    """Return a self-signed certificate as base64 DER."""
    return base64.b64encode(_certificate(name, begin, end).public_bytes(serialization.Encoding.DER)).decode()


@cache
def _certificate(name: str, begin: int, end: int) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} signing")])
    key = partner_key(name)
    return (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(7).not_valid_before(_when(begin)).not_valid_after(_when(end))
        .sign(key, hashes.SHA256())
    )


def _when(at: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(at, datetime.UTC)


def instant(at: int) -> str:
    return _when(at).strftime("%Y-%m-%dT%H:%M:%SZ")


def assertion(**changes: Any) -> etree._Element:
    """Return an unsigned SAML 2.0 assertion; keywords change its parts, None leaves one out."""
    at: dict[str, Any] = {
        "id": "_assertion-1", "issuer": ISSUER, "subject": SUBJECT, "audience": AUDIENCE, "recipient": ACS,
        "request": REQUEST, "email": EMAIL, "now": NOW, "begin": -30, "end": 300, "confirm_end": 300, "context": None,
        "extra": "", "version": "2.0",
    } | changes
    now = at["now"]
    email = "" if at["email"] is None else (
        f'<saml:Attribute Name="{EMAIL_CLAIM}"><saml:AttributeValue>{at["email"]}</saml:AttributeValue>'
        "</saml:Attribute>"
    )
    audience = "" if at["audience"] is None else (
        f'<saml:AudienceRestriction><saml:Audience>{at["audience"]}</saml:Audience></saml:AudienceRestriction>'
    )
    context = at["context"] or "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
    answers = "" if at["request"] is None else f' InResponseTo="{at["request"]}"'
    recipient = "" if at["recipient"] is None else f' Recipient="{at["recipient"]}"'
    return etree.fromstring(
        f'<saml:Assertion xmlns:saml="{SAML}" ID="{at["id"]}" Version="{at["version"]}" IssueInstant="{instant(now)}">'
        f"<saml:Issuer>{at['issuer']}</saml:Issuer>"
        '<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">'
        f'{at["subject"]}</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">'
        f'<saml:SubjectConfirmationData{recipient}{answers} NotOnOrAfter="{instant(now + at["confirm_end"])}"/>'
        "</saml:SubjectConfirmation></saml:Subject>"
        f'<saml:Conditions NotBefore="{instant(now + at["begin"])}" NotOnOrAfter="{instant(now + at["end"])}">'
        f'{audience}</saml:Conditions><saml:AuthnStatement AuthnInstant="{instant(now)}"><saml:AuthnContext>'
        f"<saml:AuthnContextClassRef>{context}</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>"
        f"<saml:AttributeStatement>{email}{at['extra']}</saml:AttributeStatement></saml:Assertion>"
    )


def response(inner: list[etree._Element], **changes: Any) -> etree._Element:
    """Return an unsigned response around some elements."""
    at: dict[str, Any] = {
        "id": "_response-1", "request": REQUEST, "destination": ACS, "issuer": ISSUER, "now": NOW,
        "status": "urn:oasis:names:tc:SAML:2.0:status:Success",
    } | changes
    answers = "" if at["request"] is None else f' InResponseTo="{at["request"]}"'
    root = etree.fromstring(
        f'<samlp:Response xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}" ID="{at["id"]}" Version="2.0"{answers}'
        f' IssueInstant="{instant(at["now"])}" Destination="{at["destination"]}">'
        f'<saml:Issuer>{at["issuer"]}</saml:Issuer>'
        f'<samlp:Status><samlp:StatusCode Value="{at["status"]}"/></samlp:Status></samlp:Response>'
    )
    root.extend(inner)
    return root


def signed(node: etree._Element, *, name: str = "partner", id_attribute: str = "ID", **options: Any) -> etree._Element:
    """Return an element with an enveloped signature as its last child."""
    signer = XMLSigner(
        method=methods.enveloped, signature_algorithm=options.pop("algorithm", "rsa-sha256"),
        digest_algorithm=options.pop("digest", "sha256"), c14n_algorithm="http://www.w3.org/2001/10/xml-exc-c14n#",
    )
    return signer.sign(
        node, key=partner_key(name), cert=[_certificate(name, NOW - 86400, NOW + 86400 * 3650)],
        reference_uri=f"#{node.get(id_attribute)}", id_attribute=id_attribute, **options,
    )


def good_response(**changes: Any) -> bytes:
    """Return the usual response: a signed assertion in an unsigned envelope."""
    return etree.tostring(response([signed(assertion(**changes))]))


def assertion_1(**changes: Any) -> etree._Element:
    """Return an unsigned SAML 1.1 assertion, as WS-Federation carries it."""
    at: dict[str, Any] = {
        "id": "_assertion-1", "issuer": ISSUER, "immutable": SUBJECT, "audience": AUDIENCE, "email": EMAIL, "now": NOW,
        "begin": -30, "end": 300, "method": "urn:oasis:names:tc:SAML:1.0:am:password",
    } | changes
    now = at["now"]

    def attribute(full: str, value: str | None) -> str:
        if value is None:
            return ""
        namespace, _, name = full.rpartition("/")
        return (
            f'<saml:Attribute AttributeName="{name}" AttributeNamespace="{namespace}">'
            f"<saml:AttributeValue>{value}</saml:AttributeValue></saml:Attribute>"
        )

    who = "<saml:Subject><saml:NameIdentifier>gail</saml:NameIdentifier></saml:Subject>"
    return etree.fromstring(
        f'<saml:Assertion xmlns:saml="{SAML1}" MajorVersion="1" MinorVersion="1" AssertionID="{at["id"]}"'
        f' Issuer="{at["issuer"]}" IssueInstant="{instant(now)}">'
        f'<saml:Conditions NotBefore="{instant(now + at["begin"])}" NotOnOrAfter="{instant(now + at["end"])}">'
        f"<saml:AudienceRestrictionCondition><saml:Audience>{at['audience']}</saml:Audience>"
        f"</saml:AudienceRestrictionCondition></saml:Conditions><saml:AttributeStatement>{who}"
        + attribute("http://schemas.microsoft.com/LiveID/Federation/2008/05/ImmutableID", at["immutable"])
        + attribute(EMAIL_CLAIM, at["email"])
        + f"</saml:AttributeStatement><saml:AuthenticationStatement AuthenticationMethod=\"{at['method']}\""
        f' AuthenticationInstant="{instant(now)}">{who}</saml:AuthenticationStatement></saml:Assertion>'
    )


def token_response(inner: list[etree._Element]) -> bytes:
    """Return a WS-Trust response around tokens."""
    trust = "http://schemas.xmlsoap.org/ws/2005/02/trust"
    root = etree.fromstring(
        f'<t:RequestSecurityTokenResponse xmlns:t="{trust}"><t:RequestedSecurityToken/>'
        "</t:RequestSecurityTokenResponse>"
    )
    root[0].extend(inner)
    return etree.tostring(root)


def good_token_response(**changes: Any) -> bytes:
    return token_response([signed(assertion_1(**changes), id_attribute="AssertionID")])
