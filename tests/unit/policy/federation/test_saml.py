"""Which SAML responses are believed: the usual ones, and none of the corpus; and that the corpus has teeth."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from lxml import etree

from tests.support.saml_attacks import FORGED, SamlAttack, Wrapping, careless_subject, saml_attacks, wrappings
from tests.support.saml_partner import (
    ACS,
    AUDIENCE,
    EMAIL,
    ISSUER,
    MULTIPLE,
    NOW,
    REQUEST,
    SAML,
    SIGN_IN,
    SUBJECT,
    assertion,
    good_response,
    partner_certificate,
    response,
    signed,
)
from tunneld.policy.federation import saml, signed_assertion
from tunneld.policy.federation.saml import Expected, verify_response
from tunneld.policy.federation.vouched import FederationError, Vouched

EXPECTED = Expected(ISSUER, partner_certificate(), AUDIENCE, ACS, REQUEST, NOW)
ATTACKS = list(saml_attacks())
WRAPPINGS = list(wrappings())


def test_a_signed_assertion_becomes_a_person() -> None:
    """Everything that sign-in asks for comes out of a good response."""
    assert verify_response(good_response(), EXPECTED) == Vouched(
        ISSUER, SUBJECT, EMAIL, "", False, NOW, "_assertion-1", NOW + 360
    )


@pytest.mark.parametrize(
    "document",
    [
        etree.tostring(signed(response([assertion(context=MULTIPLE)]))),
        etree.tostring(signed(response([signed(assertion(context=MULTIPLE))]))),
        etree.tostring(response([signed(assertion(
            extra='<saml:Attribute Name="http://schemas.microsoft.com/claims/authnmethodsreferences">'
            f"<saml:AttributeValue>{MULTIPLE}</saml:AttributeValue></saml:Attribute>"
        ))])),
    ],
    ids=["the response is signed", "both are signed", "the methods are an attribute"],
)
def test_a_second_factor_at_the_provider_is_told(document: bytes) -> None:
    """Whatever is signed, and however the provider says it, its multifactor authentication arrives."""
    assert verify_response(document, EXPECTED).method == "federatedMultiFactor"
    assert verify_response(good_response(), EXPECTED).method == "federatedSingleFactor"


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_a_response_of_the_corpus_is_refused_by_its_rule(attack: SamlAttack) -> None:
    """Every response is refused, and for what is wrong with it."""
    with pytest.raises(FederationError) as refused:
        verify_response(attack.document, EXPECTED)
    assert refused.value.rule == attack.rule, refused.value


@pytest.mark.parametrize("wrapping", WRAPPINGS, ids=[wrapping.name for wrapping in WRAPPINGS])
def test_a_wrapped_signature_is_refused_and_would_fool_a_careless_verifier(wrapping: Wrapping) -> None:
    """The signature holds and the forged assertion is what a careless reader reads; here it is refused."""
    assert careless_subject(wrapping) == FORGED
    with pytest.raises(FederationError) as refused:
        verify_response(wrapping.document, EXPECTED)
    assert refused.value.rule in {"one_assertion", "unique_ids", "signature_place"}


@pytest.mark.parametrize("wrapping", WRAPPINGS, ids=[wrapping.name for wrapping in WRAPPINGS])
def test_without_the_checks_of_form_nothing_forged_is_read(
    wrapping: Wrapping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second wall: even if places and counts were not looked at, only signed bytes are read."""
    monkeypatch.setattr(signed_assertion, "single_assertion", lambda root: wrapping.reader(root))
    monkeypatch.setattr(signed_assertion, "unique_ids", lambda root: None)
    monkeypatch.setattr(signed_assertion, "_check_form", lambda signature, owner: None)
    with suppress(FederationError):
        assert verify_response(wrapping.document, EXPECTED).subject == SUBJECT


@pytest.mark.parametrize("wrapping", WRAPPINGS, ids=[wrapping.name for wrapping in WRAPPINGS])
def test_a_build_that_reads_what_was_sent_is_caught(wrapping: Wrapping, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken build: some signature holds, so the assertion of the document is believed. The attack gets in."""

    def broken(root: Any, certificate: Any, now: int) -> Any:
        careless_subject(wrapping)
        return wrapping.reader(root)

    monkeypatch.setattr(saml, "signed_assertion", broken)
    assert verify_response(wrapping.document, EXPECTED).subject == FORGED


GUARDED = [attack for attack in ATTACKS if attack.guard]


@pytest.mark.parametrize("attack", GUARDED, ids=[attack.name for attack in GUARDED])
def test_a_build_without_the_rule_is_caught(attack: SamlAttack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule carries weight: without it, the response that it refuses signs somebody in."""
    missing = set(attack.guard.split())

    def without(rules: tuple[Callable[..., None], ...]) -> tuple[Callable[..., None], ...]:
        return tuple(rule for rule in rules if rule.__name__ not in missing)

    monkeypatch.setattr(saml, "RESPONSE_RULES", without(saml.RESPONSE_RULES))
    monkeypatch.setattr(saml, "ASSERTION_RULES", without(saml.ASSERTION_RULES))
    assert verify_response(attack.document, EXPECTED).subject == SUBJECT


def test_a_build_without_signatures_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unsigned, edited and foreign assertions are refused by the signature alone."""
    monkeypatch.setattr(saml, "signed_assertion", lambda root, *_: next(root.iter(f"{{{SAML}}}Assertion")))
    passed = set()
    for attack in (attack for attack in ATTACKS if attack.name != "no assertion"):
        with suppress(FederationError):
            verify_response(attack.document, EXPECTED)
            passed.add(attack.rule)
    assert {"unsigned", "signature", "signature_place", "signature_form", "one_assertion"} <= passed


def test_a_build_that_keeps_comments_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the comment let in, the signature still holds: canonicalization drops it."""
    document = next(attack.document for attack in ATTACKS if attack.name == "a comment in the name")
    monkeypatch.setattr(signed_assertion, "read_xml", etree.fromstring)
    monkeypatch.setattr(saml, "read_xml", etree.fromstring)
    assert verify_response(document, EXPECTED).subject == SUBJECT


def test_an_expired_pinned_certificate_signs_nobody_in() -> None:
    """The pinned certificate's own dates count."""
    with pytest.raises(FederationError) as refused:
        verify_response(good_response(), Expected(
            ISSUER, partner_certificate(end=NOW - 1), AUDIENCE, ACS, REQUEST, NOW))
    assert refused.value.rule == "certificate"


def test_the_request_is_one_that_a_provider_can_read() -> None:
    """Deflated, encoded, and naming us, the place of the answer and the kind of name that is wanted."""
    request = saml.authn_request(
        request_id=REQUEST, issuer=AUDIENCE, acs_url=ACS, destination=SIGN_IN, now=NOW
    )
    query = parse_qs(urlsplit(saml.redirect_url(f"{SIGN_IN}?x=1", request, "relay")).query)
    assert query["RelayState"] == ["relay"]
    assert query["x"] == ["1"]
    sent = etree.fromstring(zlib.decompress(base64.b64decode(query["SAMLRequest"][0]), -15))
    assert sent.get("ID") == REQUEST
    assert sent.get("AssertionConsumerServiceURL") == ACS
    assert sent.get("IssueInstant") == "2027-01-15T08:00:00Z"
    assert sent.findtext(f"{{{SAML}}}Issuer") == AUDIENCE


@pytest.mark.parametrize("field", ["", "%%%", "YQ", "é", "YQ==="])
def test_a_form_field_that_is_no_base64_is_refused(field: str) -> None:
    """The form's bytes are judged before any XML parser sees them."""
    with pytest.raises(FederationError):
        saml.decode_post(field)
    assert saml.decode_post("YW\r\nJj") == b"abc"
