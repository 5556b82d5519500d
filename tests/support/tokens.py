"""Signed tokens for tests: two RSA keys, a tenant's usual claims, and ways to spoil both."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

TENANT = "11111111-1111-4111-8111-111111111111"
OTHER_TENANT = "22222222-2222-4222-8222-222222222222"
AUDIENCE = "aaaaaaaa-0000-4000-8000-000000000001"
CHANNEL = "cccccccc-0000-4000-8000-000000000001"
USER = "bbbbbbbb-0000-4000-8000-000000000001"
CLIENT = "7d2f3c9e-6b1a-4e5d-9a40-1f6c8e2b5a10"
BASE = "https://login.test"
ISSUER = f"{BASE}/{TENANT}/v2.0"
NOW = 1_800_000_000
JKT = "J" * 43


def rsa_key(name: str = "first", bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return the key of that name; making one takes a tenth of a second, so each is made once."""
    return _made(name, bits)


@cache
def _made(_name: str, bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def encode(data: bytes | dict[str, Any]) -> str:
    """Return base64url without padding, of bytes or of a JSON object."""
    raw = json.dumps(data, separators=(",", ":")).encode() if isinstance(data, dict) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a good app token, changed; a value of `...` leaves the claim out."""
    usual: dict[str, Any] = {
        "ver": "2.0",
        "iss": ISSUER,
        "aud": AUDIENCE,
        "tid": TENANT,
        "oid": USER,
        "sub": "pairwise-subject",
        "azp": CLIENT,
        "azpacr": "0",
        "scp": "user_impersonation",
        "iat": NOW - 60,
        "nbf": NOW - 60,
        "exp": NOW + 3600,
        "uti": "unique-token-id",
        "sid": "session-id",
        "groups": ["99999999-0000-4000-8000-000000000001"],
        "acct": 1,
        "xms_cc": ["CP1"],
        "cnf": {"jkt": JKT},
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not ...}


def header(**changes: Any) -> dict[str, Any]:
    """Return the header of a good token, changed; a value of `...` leaves the member out."""
    usual = {"alg": "RS256", "kid": "first", "typ": "JWT"}
    return {name: value for name, value in {**usual, **changes}.items() if value is not ...}


def sign(
    payload: bytes | dict[str, Any] | None = None,
    head: bytes | dict[str, Any] | None = None,
    *,
    key: rsa.RSAPrivateKey | None = None,
) -> str:
    """Return a compact token with a genuine RS256 signature over whatever is given."""
    signed = f"{encode(header() if head is None else head)}.{encode(claims() if payload is None else payload)}"
    signature = (key or rsa_key()).sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{encode(signature)}"


def public_jwk(name: str = "first", key: rsa.RSAPrivateKey | None = None, **changes: Any) -> dict[str, Any]:
    """Return the published form of a key, changed."""
    numbers = (key or rsa_key(name)).public_key().public_numbers()
    usual = {
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "kid": name,
        "issuer": f"{BASE}/{{tenantid}}/v2.0",
        "n": encode(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8)),
        "e": encode(numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8)),
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not ...}


def key_set(*keys: dict[str, Any]) -> bytes:
    """Return a key set document."""
    return json.dumps({"keys": list(keys) or [public_jwk()]}).encode()
