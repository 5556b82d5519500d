"""Which published keys may verify a token."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.tokens import encode, key_set, public_jwk, rsa_key
from tunneld.model.errors import TokenError
from tunneld.model.reasons import Reason
from tunneld.policy.key_set import MAX_DOCUMENT, read_key_set


def test_all_good_keys_are_read_in_any_order() -> None:
    """Several keys are published at a time; each is found under its id, with its issuer."""
    keys = read_key_set(key_set(public_jwk("second"), public_jwk("first", issuer="https://one.test")))
    assert set(keys) == {"first", "second"}
    assert keys["first"].issuer == "https://one.test"


def test_private_members_are_not_taken_over() -> None:
    """A document that leaks a private exponent yields a public key."""
    private = rsa_key().private_numbers()
    leaked = public_jwk(d=encode(private.d.to_bytes(256)), x5c=["MIIB"])
    assert not read_key_set(key_set(leaked))["first"].key.is_private


@pytest.mark.parametrize(
    "entry",
    [
        public_jwk(kty="EC"),
        public_jwk(kty="oct"),
        public_jwk(use="enc"),
        public_jwk(use=...),
        public_jwk(alg="RS512"),
        public_jwk(alg="none"),
        public_jwk(kid=...),
        public_jwk(kid=""),
        public_jwk(kid=["first"]),
        public_jwk(kid="k" * 257),
        public_jwk(issuer=1),
        public_jwk(n=...),
        public_jwk(n=1),
        public_jwk(e=...),
        public_jwk(n="AQAB"),
        public_jwk(n="====="),
        public_jwk(n=encode(b"\xff" * 1100)),
        public_jwk(n=encode(b"\x00" + b"\xff" * 128)),
        public_jwk(e="Aw"),
        public_jwk(e="AQ"),
        public_jwk(e="AQAA"),
        public_jwk(e=encode(b"\x01" + b"\x00" * 4 + b"\x01")),
        public_jwk(key=rsa_key("small", 1024)),
        "text",
        None,
        [],
    ],
    ids=lambda entry: "" if not isinstance(entry, dict) else str(sorted(map(str, entry.values())))[:40],
)
def test_an_unusable_key_is_as_good_as_none(entry: Any) -> None:
    """Keys for other purposes, weak keys and broken entries are left out and spoil nothing else."""
    keys = read_key_set(json.dumps({"keys": [entry, public_jwk("second")]}).encode())
    assert set(keys) == {"second"}


def test_an_id_published_twice_is_left_out() -> None:
    """Nobody can tell which of two keys with one id was meant."""
    twice = key_set(public_jwk("first"), public_jwk("second", kid="first"), public_jwk("third"))
    assert set(read_key_set(twice)) == {"third"}


@pytest.mark.parametrize("document", [b"", b"[]", b"{", b'{"keys":[],"keys":[]}', b"\xff"])
def test_a_broken_document_is_refused_whole(document: bytes) -> None:
    """A document that is not strict JSON yields no key set, so that the old one stays."""
    with pytest.raises(TokenError):
        read_key_set(document)


@pytest.mark.parametrize("document", [b"{}", b'{"keys":{}}', b'{"keys":null}', b'{"keys":[]}'])
def test_a_document_without_keys_is_empty(document: bytes) -> None:
    """No list of keys means no keys."""
    assert read_key_set(document) == {}


def test_a_huge_document_is_refused_before_it_is_parsed() -> None:
    """The size is judged first."""
    with pytest.raises(TokenError) as refusal:
        read_key_set(b" " * (MAX_DOCUMENT + 1))
    assert refusal.value.reason is Reason.TOKEN_TOO_LARGE
