"""SAML responses that must be refused, as data, and what a careless verifier makes of them.

Each row has a name, the document, and the rule that refuses it. The wrapping attacks are the eight of Somorovsky et
al., "On Breaking SAML: Be Whoever You Want to Be" (2012).
"""

from __future__ import annotations

import base64
import copy
import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from lxml import etree

from tests.support.saml_partner import (
    DS,
    EMAIL,
    NOW,
    SAML,
    SAMLP,
    SUBJECT,
    assertion,
    good_response,
    partner_key,
    response,
    signed,
)

FORGED = "attacker"
EXC_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"


class SamlAttack(NamedTuple):
    """One response and the rule that refuses it. `guard` names the check without which it would pass."""

    name: str
    document: bytes
    rule: str
    guard: str = ""


class Wrapping(NamedTuple):
    """One wrapping attack. `reader` is where a careless verifier looks once it has checked some signature."""

    name: str
    document: bytes
    reader: Callable[[etree._Element], etree._Element]


def _forged(**changes: str) -> etree._Element:
    return assertion(**{"subject": FORGED, "email": "admin@partner.example", "id": "_forged", **changes})


def _signature(node: etree._Element) -> etree._Element:
    found = node.find(f"{{{DS}}}Signature")
    assert found is not None
    return found


def _first_anywhere(root: etree._Element) -> etree._Element:
    return next(root.iter(f"{{{SAML}}}Assertion"))


def _first_child(root: etree._Element) -> etree._Element:
    found = root.find(f"{{{SAML}}}Assertion")
    assert found is not None
    return found


def wrappings() -> Iterator[Wrapping]:
    """Return XSW1 to XSW8."""
    # 1 and 2: the whole response is signed; a forged one takes the root's place.
    original = signed(response([assertion()]))
    root = response([_forged()], id="_forged-response")
    seal = _signature(original)
    original.remove(seal)
    seal.append(copy.deepcopy(original))
    root.insert(1, seal)
    yield Wrapping("XSW1: the signed response inside the forged one's signature", etree.tostring(root), _first_child)

    original = signed(response([assertion()]))
    root = response([_forged()], id="_forged-response")
    seal = _signature(original)
    original.remove(seal)
    root.insert(1, original)
    root.insert(2, seal)
    yield Wrapping("XSW2: the signed response beside a detached signature", etree.tostring(root), _first_child)

    # 3 to 8: the assertion is signed.
    root = response([_forged(), signed(assertion())])
    yield Wrapping("XSW3: a forged assertion before the signed one", etree.tostring(root), _first_child)

    forged = _forged()
    forged.append(signed(assertion()))
    yield Wrapping("XSW4: the signed assertion inside the forged one", etree.tostring(response([forged])), _first_child)

    original = signed(assertion())
    forged = _forged()
    forged.insert(1, _signature(original))
    yield Wrapping("XSW5: the signature in the forged assertion", etree.tostring(response([forged, original])),
                   _first_child)

    original = signed(assertion())
    seal = _signature(original)
    original.remove(seal)
    seal.append(original)
    forged = _forged()
    forged.insert(1, seal)
    yield Wrapping("XSW6: the signed assertion inside the forged one's signature",
                   etree.tostring(response([forged])), _first_child)

    extensions = etree.Element(f"{{{SAMLP}}}Extensions")
    extensions.append(_forged(id="_assertion-1"))
    root = response([signed(assertion())])
    root.insert(1, extensions)
    yield Wrapping("XSW7: a forged assertion of the same id in Extensions", etree.tostring(root), _first_anywhere)

    original = signed(assertion())
    seal = _signature(original)
    original.remove(seal)
    holder = etree.SubElement(seal, f"{{{DS}}}Object")
    holder.append(original)
    forged = _forged(id="_assertion-1")
    forged.insert(1, seal)
    yield Wrapping("XSW8: the signed assertion in an Object of the forged one's signature",
                   etree.tostring(response([forged])), _first_child)


def careless_subject(wrapping: Wrapping) -> str:
    """Do what broken verifiers did: see that some signature holds, then read an assertion of the document."""
    root = etree.fromstring(wrapping.document)
    assert any(_holds(root, seal) for seal in root.iter(f"{{{DS}}}Signature")), "no signature holds: a toothless attack"
    name = wrapping.reader(root).find(f"{{{SAML}}}Subject/{{{SAML}}}NameID")
    assert name is not None
    return str(name.text)


def _holds(root: etree._Element, seal: etree._Element) -> bool:
    """Tell whether a signature covers some element of the id that it names."""
    info = seal.find(f"{{{DS}}}SignedInfo")
    reference = seal.find(f".//{{{DS}}}Reference")
    value = seal.findtext(f"{{{DS}}}SignatureValue")
    assert info is not None
    assert reference is not None
    assert value is not None
    try:
        partner_key().public_key().verify(
            base64.b64decode(value), _canonical(info), padding.PKCS1v15(), hashes.SHA256()
        )
    except InvalidSignature:
        return False
    wanted = base64.b64decode(reference.findtext(f"{{{DS}}}DigestValue") or "")
    for node in root.iter():
        if node.get("ID") == str(reference.get("URI")).removeprefix("#"):
            covered = copy.deepcopy(node)
            for inner in covered.findall(f"{{{DS}}}Signature"):
                covered.remove(inner)
            if hashlib.sha256(_canonical(covered)).digest() == wanted:
                return True
    return False


def _canonical(node: etree._Element) -> bytes:
    return etree.tostring(node, method="c14n", exclusive=True)


def saml_attacks() -> Iterator[SamlAttack]:
    """Return everything else that is wrong with a response."""
    yield from _unproven()
    yield from _misdirected()
    yield from _untimely()
    yield from _documents()


def _unproven() -> Iterator[SamlAttack]:
    yield SamlAttack("nothing is signed", etree.tostring(response([assertion()])), "unsigned")
    stranger = etree.tostring(response([signed(assertion(), name="stranger")]))
    yield SamlAttack("signed by a stranger whose certificate comes along", stranger, "signature")
    yield SamlAttack("edited after signing", good_response().replace(EMAIL.encode(), b"admin@partner.example"),
                     "signature")
    weak = etree.tostring(response([signed(assertion(), digest="sha512", algorithm="rsa-sha224")]))
    yield SamlAttack("an algorithm that is not offered", weak, "signature")
    root = etree.fromstring(good_response())
    reference = root.find(f".//{{{DS}}}Reference")
    assert reference is not None
    reference.set("URI", "")
    yield SamlAttack("a reference to the whole document", etree.tostring(root), "signature_place")
    root = etree.fromstring(good_response())
    transform = root.find(f".//{{{DS}}}Transform")
    assert transform is not None
    transform.set("Algorithm", "http://www.w3.org/TR/1999/REC-xslt-19991116")
    yield SamlAttack("an XSLT transform", etree.tostring(root), "signature_form")
    two = etree.tostring(response([signed(assertion()), signed(assertion(id="_assertion-2"))]))
    yield SamlAttack("two assertions, both signed", two, "one_assertion")
    envelope = etree.tostring(signed(response([assertion()])))
    yield SamlAttack("only an envelope of somebody else is signed", envelope.replace(SUBJECT.encode(), b"other"),
                     "signature")
    yield SamlAttack("no assertion", etree.tostring(signed(response([]))), "one_assertion")


def _misdirected() -> Iterator[SamlAttack]:
    other = "https://idp.test/11111111-1111-4111-8111-111111111111/"
    yield SamlAttack("for another tenant", good_response(audience=other), "audience", "_audience")
    yield SamlAttack("for nobody in particular", good_response(audience=None), "audience")
    yield SamlAttack("from another issuer under this key", good_response(issuer="https://evil.example"), "issuer",
                     "_issuer")
    yield SamlAttack("confirmed for another service", good_response(recipient="https://evil.example/acs"), "recipient",
                     "_confirmed")
    yield SamlAttack("confirmed for nobody", good_response(recipient=None), "recipient", "_confirmed")
    yield SamlAttack("in answer to another request", good_response(request="_another"), "in_response_to", "_confirmed")
    yield SamlAttack("in answer to nothing", good_response(request=None), "in_response_to", "_confirmed")
    unasked = etree.tostring(response([signed(assertion())], request="_another"))
    yield SamlAttack("an envelope in answer to another request", unasked, "in_response_to", "_for_us")
    elsewhere = etree.tostring(response([signed(assertion())], destination="https://evil.example/acs"))
    yield SamlAttack("an envelope sent elsewhere", elsewhere, "destination", "_for_us")
    stranger = etree.tostring(response([signed(assertion())], issuer="https://evil.example"))
    yield SamlAttack("an envelope of another issuer", stranger, "issuer", "_for_us")
    failed = etree.tostring(response([signed(assertion())], status="urn:oasis:names:tc:SAML:2.0:status:Responder"))
    yield SamlAttack("a failure with an assertion in it", failed, "status", "_successful")


def _untimely() -> Iterator[SamlAttack]:
    yield SamlAttack("expired", good_response(now=NOW - 600), "expired", "_conditions _confirmed")
    yield SamlAttack("not yet valid", good_response(begin=120), "not_yet_valid", "_conditions")
    yield SamlAttack("valid for a day", good_response(end=86400), "lifetime", "_conditions")
    yield SamlAttack("the confirmation has expired", good_response(confirm_end=-120), "expired", "_confirmed")
    yield SamlAttack("ends before it begins", good_response(begin=30, end=20), "lifetime", "_conditions")


def _documents() -> Iterator[SamlAttack]:
    good = good_response()
    split = good.replace(b"gail@partner.example", b"gail@partner.example<!---->.evil.example")
    yield SamlAttack("a comment in the address", split, "xml")
    yield SamlAttack("a comment in the name", good.replace(b"opaque-7", b"opa<!-- -->que-7"), "xml")
    yield SamlAttack("a processing instruction", good.replace(b"opaque-7", b"opa<?x y?>que-7"), "xml")
    bomb = b'<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>' + good
    yield SamlAttack("entities", bomb.replace(b"opaque-7", b"&c;"), "xml")
    outside = b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>' + good.replace(b"opaque-7", b"&b;")
    yield SamlAttack("an entity from a file", outside, "xml")
    yield SamlAttack("UTF-16", good.decode().encode("utf-16"), "xml")
    yield SamlAttack("UTF-7 by its declaration", b'<?xml version="1.0" encoding="UTF-7"?>' + good, "xml")
    yield SamlAttack("not XML", b"SAML", "xml")
    yield SamlAttack("cut short", good[:-20], "xml")
    yield SamlAttack("nothing", b"", "xml")
    yield SamlAttack("deeper than any assertion", b"<a>" * 60 + b"</a>" * 60, "xml")
    yield SamlAttack("larger than any assertion", b"<a>" + b"x" * 70_000 + b"</a>", "xml")
    yield SamlAttack("an assertion without envelope", etree.tostring(signed(assertion())), "version")
    twin = etree.fromstring(good)
    twin.set("ID", "_assertion-1")
    yield SamlAttack("an id used twice", etree.tostring(twin), "unique_ids")
    old = etree.tostring(response([signed(assertion(version="1.9"))]))
    yield SamlAttack("an unknown version", old, "version")
