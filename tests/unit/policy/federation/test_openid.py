"""Which ID tokens of outside providers are believed, and what their addresses are worth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.tokens import key_set, public_jwk, rsa_key, sign
from tunneld.policy.federation.compiled import Protocol, TrustedProvider
from tunneld.policy.federation.openid import take_apart_id_token, verify_id_token
from tunneld.policy.federation.vouched import FederationError, Vouched, judge_email
from tunneld.policy.key_set import read_key_set

NOW = 1_800_000_000
OPENID_ISSUER = "https://id.other.example"
OPENID_CLIENT = "client-of-fabrikam"
MAIL = "gail@other.example"
TRUSTED = TrustedProvider(
    "p", "t", "Other", Protocol.OPENID, OPENID_ISSUER, domains=frozenset({"other.example"}), client_id=OPENID_CLIENT
)
KEYS = read_key_set(key_set(public_jwk("other", issuer=...)))
USUAL = {
    "iss": OPENID_ISSUER, "aud": OPENID_CLIENT, "sub": "subject-1", "nonce": "nonce-1", "iat": NOW, "exp": NOW + 300,
    "email": MAIL, "name": "Gail",
}


def verdict(claims: dict[str, Any], header: dict[str, Any], trusted: TrustedProvider = TRUSTED) -> Vouched:
    """Sign whatever is given and judge it."""
    payload = {name: value for name, value in {**USUAL, **claims}.items() if value is not ...}
    head = {"alg": "RS256", "kid": "other", "typ": "JWT", **header}
    head = {name: value for name, value in head.items() if value is not ...}
    token = take_apart_id_token(sign(payload, head, key=rsa_key("other")))
    return verify_id_token(token, KEYS["other"], trusted, nonce="nonce-1", now=NOW)


def test_a_good_token_becomes_a_person() -> None:
    """Subject, address and name come out; `amr` says whether there was a second factor."""
    assert verdict({}, {}) == Vouched(
        OPENID_ISSUER, "subject-1", MAIL, "Gail", False, NOW, f"{OPENID_ISSUER} nonce-1", NOW + 360
    )
    assert verdict({"amr": ["pwd", "mfa"], "auth_time": NOW - 5}, {}).method == "federatedMultiFactor"
    assert verdict({}, {"typ": ...}).subject == "subject-1"  # npm's oidc-provider leaves it out
    assert verdict({"aud": [OPENID_CLIENT], "azp": OPENID_CLIENT}, {}).authenticated_at == NOW


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "wrong issuer": {"iss": "https://evil.example"},
    "issuer with a slash": {"iss": f"{OPENID_ISSUER}/"},
    "issuer as list": {"iss": [OPENID_ISSUER]},
    "another audience": {"aud": "somebody-else"},
    "an audience besides us": {"aud": [OPENID_CLIENT, "somebody-else"]},
    "no audience": {"aud": ...},
    "authorized for another": {"azp": "somebody-else"},
    "another nonce": {"nonce": "n"},
    "no nonce": {"nonce": ...},
    "nonce as list": {"nonce": ["n"]},
    "expired": {"exp": 1},
    "expiry as text": {"exp": "9999999999"},
    "expiry as float": {"exp": 1e10},
    "no expiry": {"exp": ...},
    "issued tomorrow": {"iat": 1_800_090_000, "exp": 1_800_090_300},
    "issued yesterday": {"iat": 1_799_910_000},
    "not valid yet": {"nbf": 1_800_090_000},
    "no subject": {"sub": ...},
    "subject as number": {"sub": 7},
    "a logout token": {"events": {}},
    "an access token": {"scp": "x"},
    "an unverified address": {"email_verified": False},
    "address as list": {"email": [MAIL]},
    "a subject without end": {"sub": "s" * 513},
}
BAD_HEADERS: dict[str, dict[str, Any]] = {
    "alg none": {"alg": "none"}, "alg HS256": {"alg": "HS256"}, "no kid": {"kid": ...}, "kid as path": {"kid": "../x"},
    "kid as list": {"kid": ["other"]}, "an embedded key": {"jwk": public_jwk("other")},
    "a key elsewhere": {"jku": "https://evil.example/keys"}, "crit": {"crit": ["exp"]},
    "another type": {"typ": "at+jwt"},
}




@pytest.mark.parametrize("name", BAD_CLAIMS)
def test_forged_claims_prove_nothing(name: str) -> None:
    """The signature is genuine, what it covers is not for us."""
    with pytest.raises(FederationError):
        verdict(BAD_CLAIMS[name], {})


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_odd_headers_prove_nothing(name: str) -> None:
    """Algorithms and keys are ours to choose."""
    with pytest.raises(FederationError):
        verdict({}, BAD_HEADERS[name])


@pytest.mark.parametrize("text", ["", "a.b.c", "not a token", "{}", "eyJhbGciOiJub25lIn0.e30."])
def test_what_is_no_token_proves_nothing(text: str) -> None:
    """Whatever stands where the ID token should is refused for its form."""
    with pytest.raises(FederationError) as refused:
        take_apart_id_token(text)
    assert refused.value.rule == "form"


def test_keys_of_others_prove_nothing() -> None:
    """A key that was looked up under another id, or is published for another issuer, verifies nothing."""
    token = take_apart_id_token(sign(USUAL, {"alg": "RS256", "kid": "other", "typ": "JWT"}, key=rsa_key("other")))
    named = read_key_set(key_set(public_jwk("other", issuer="https://evil.example")))["other"]
    for key in (named, KEYS["other"]._replace(key_id="x")):
        with pytest.raises(FederationError):
            verify_id_token(token, key, TRUSTED, nonce="nonce-1", now=NOW)


@pytest.mark.parametrize(
    ("email", "social", "code"),
    [(MAIL, "", None), ("gail@sub.other.example", "", 5000819), ("", "", 5000819), ("gail@evil.example", "", 5000819),
     ("gail@anything.example", "Google", None), ("", "Google", 5000819), ("@other.example", "", 5000819)],
)
def test_a_federation_speaks_for_its_domains_only(email: str, social: str, code: int | None) -> None:
    """Another domain, a subdomain or none is AADSTS5000819; a social provider speaks for what it verified."""
    vouched = replace(verdict({}, {}), email=email)
    refused = judge_email(replace(TRUSTED, social=social), vouched)
    assert (refused.code if refused else None) == code
