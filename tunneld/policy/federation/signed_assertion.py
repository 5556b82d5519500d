"""Finding the one assertion of a document and the signature that covers it, and handing out only what was signed.

XML signature wrapping (Somorovsky et al., "On Breaking SAML", 2012) moves a signed element aside and puts a forged one
where the reader looks. So there is exactly one assertion in the document, each signature stands directly in the
element that it signs, ids are unique, and everything that is read afterwards comes out of the canonical bytes that
the signature covers: never out of the document that was sent.
"""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature as BadSignature
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from tunneld.policy.federation.certificates import valid_at
from tunneld.policy.federation.vouched import FederationError
from tunneld.policy.federation.xml_document import Element, named, read_xml

SAML2 = "urn:oasis:names:tc:SAML:2.0:assertion"
SAML1 = "urn:oasis:names:tc:SAML:1.0:assertion"
PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
DSIG = "http://www.w3.org/2000/09/xmldsig#"

ASSERTIONS = frozenset({f"{{{SAML2}}}Assertion", f"{{{SAML1}}}Assertion"})
_ENCRYPTED = frozenset({f"{{{SAML2}}}EncryptedAssertion", f"{{{SAML2}}}EncryptedID"})
_SIGNATURE = f"{{{DSIG}}}Signature"
_ID_NAMES = ("ID", "Id", "id", "AssertionID", "ResponseID", "{http://www.w3.org/XML/1998/namespace}id")
# What a SAML signature needs (SAML core §5.4.4): the enveloped transform and exclusive canonicalization.
_TRANSFORMS = frozenset({f"{DSIG}enveloped-signature", "http://www.w3.org/2001/10/xml-exc-c14n#"})
_METHODS = frozenset({SignatureMethod.RSA_SHA256, SignatureMethod.RSA_SHA384, SignatureMethod.RSA_SHA512})
_DIGESTS = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512})


def id_name(node: Element) -> str:
    """Return the attribute that identifies an element: SAML 1.1 has another name for it."""
    return "AssertionID" if node.tag == f"{{{SAML1}}}Assertion" else "ID"


def signed_assertion(root: Element, certificate: x509.Certificate, now: int) -> Element:
    """Return the document's assertion as it was signed by `certificate`. Raises FederationError."""
    if not valid_at(certificate, now):
        raise FederationError("certificate", "the pinned certificate has expired or is not valid yet")
    sent = single_assertion(root)
    unique_ids(root)
    owners = signature_owners(root, sent)
    covered = [cover(root, owner, certificate, now) for owner in owners]
    return assertion_within(covered, sent)


def single_assertion(root: Element) -> Element:
    """Return the only assertion of the document, wherever it stands. Raises FederationError."""
    found = list(named(root, ASSERTIONS))
    if len(found) != 1:
        raise FederationError("one_assertion", f"{len(found)} assertions")
    if next(named(root, _ENCRYPTED), None) is not None:
        raise FederationError("one_assertion", "encrypted assertions are not offered")
    return found[0]


def unique_ids(root: Element) -> None:
    """Refuse a document in which two elements go by one id, in any spelling of the attribute."""
    seen: set[str] = set()
    for node in root.iter():
        for name in _ID_NAMES:
            value = node.get(name)
            if value is None:
                continue
            if value in seen:
                raise FederationError("unique_ids", "an id is used twice")
            seen.add(value)


def signature_owners(root: Element, assertion: Element) -> list[Element]:
    """Return the elements that carry a signature of their own: the assertion, the root, or both."""
    owners: list[Element] = []
    for signature in named(root, frozenset({_SIGNATURE})):
        owner = signature.getparent()
        if owner is None or owner not in (root, assertion) or owner in owners:
            raise FederationError("signature_place", "a signature stands where none belongs")
        _check_form(signature, owner)
        owners.append(owner)
    if not owners:
        raise FederationError("unsigned", "no signature")
    return owners


def _check_form(signature: Element, owner: Element) -> None:
    """One reference, to the very element that holds the signature, and only the transforms that SAML needs."""
    references = list(signature.iter(f"{{{DSIG}}}Reference"))
    own_id = owner.get(id_name(owner))
    if len(references) != 1 or not own_id or references[0].get("URI") != f"#{own_id}":
        raise FederationError("signature_place", "the signature names another element")
    for transform in references[0].iter(f"{{{DSIG}}}Transform"):
        if transform.get("Algorithm") not in _TRANSFORMS:
            raise FederationError("signature_form", "an unusual transform")
    if next(signature.iter(f"{{{DSIG}}}Object"), None) is not None:
        raise FederationError("signature_form", "an Object inside the signature")


def cover(root: Element, owner: Element, certificate: x509.Certificate, now: int) -> Element:
    """Return `owner` out of the bytes that its signature covers. Raises FederationError."""
    config = SignatureConfiguration(
        require_x509=True, location="./" if owner is root else f".//{owner.tag}/", expect_references=1,
        signature_methods=_METHODS, digest_algorithms=_DIGESTS,
        verification_time=datetime.datetime.fromtimestamp(now, datetime.UTC),
    )
    raw = etree.tostring(root)  # the library changes the tree that it works on
    try:
        result = XMLVerifier().verify(
            raw, x509_cert=certificate, id_attribute=id_name(owner), expect_config=config
        )
    except (SignXMLException, BadSignature, etree.LxmlError, ValueError, TypeError, KeyError, IndexError,
            AttributeError, AssertionError) as error:  # what the library lets out on hostile documents
        raise FederationError("signature", type(error).__name__) from None
    assert isinstance(result, VerifyResult)
    signed = read_xml(result.signed_data)
    if signed.tag != owner.tag or signed.get(id_name(owner)) != owner.get(id_name(owner)):
        raise FederationError("signature_place", "the signature covers another element")
    return signed


def assertion_within(covered: list[Element], sent: Element) -> Element:
    """Return the assertion out of what was signed; with two signatures, out of the assertion's own."""
    for signed in sorted(covered, key=lambda each: each.tag not in ASSERTIONS):
        found = list(named(signed, ASSERTIONS))
        if len(found) == 1 and found[0].get(id_name(sent)) == sent.get(id_name(sent)):
            return found[0]
    raise FederationError("signature_place", "the signature does not cover the assertion")
