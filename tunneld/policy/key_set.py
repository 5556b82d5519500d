"""An issuer's published keys (RFC 7517), reduced to those that may verify an access token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from tunneld.model.errors import TokenError
from tunneld.model.reasons import Reason
from tunneld.policy.compact_token import ALGORITHM, MAX_KEY_ID, decode_base64url, strict_object

MAX_KEYS = 1000  # Microsoft's libraries keep room for 10 to 1,000 keys of one tenant
MAX_DOCUMENT = 4 * 1024 * 1024  # 1,000 RSA-4096 keys with certificate chains
MIN_MODULUS_BITS = 2048  # RFC 7518 §3.3
MAX_MODULUS_BITS = 8192  # verification costs the square of the size
# NIST SP 800-56B §6.2.1: 65537 and up (smaller ones let lax libraries verify forged PKCS #1 v1.5 signatures), and a
# bound, because verification costs in proportion to the exponent's length.
MIN_EXPONENT, MAX_EXPONENT = 65537, 1 << 32


class PublishedKey(NamedTuple):
    """One RS256 key. `issuer` is the Microsoft extension member: an issuer or a template of one."""

    key_id: str
    issuer: str | None
    key: RSAKey


def read_key_set(document: bytes) -> Mapping[str, PublishedKey]:
    """Return the usable keys by key id. Raises TokenError where the document itself is broken.

    A key that is not for RS256 signatures, or too weak, is left out as if it were not there. A key id published
    twice with different keys is left out too: nobody can tell which was meant.
    """
    if len(document) > MAX_DOCUMENT:
        raise TokenError(Reason.TOKEN_TOO_LARGE, "the key set is larger than 4 MiB")
    listed = strict_object(document).get("keys")
    keys: dict[str, PublishedKey] = {}
    ambiguous: set[str] = set()
    for entry in listed[:MAX_KEYS] if isinstance(listed, list) else []:
        published = _usable(entry)
        if published is None:
            continue
        if published.key_id in keys:
            ambiguous.add(published.key_id)
        keys[published.key_id] = published
    return {key_id: published for key_id, published in keys.items() if key_id not in ambiguous}


def _usable(entry: object) -> PublishedKey | None:
    if not isinstance(entry, dict):
        return None
    key_id, issuer = entry.get("kid"), entry.get("issuer")
    if not isinstance(key_id, str) or not 1 <= len(key_id) <= MAX_KEY_ID:
        return None
    if entry.get("kty") != "RSA" or entry.get("use") != "sig" or entry.get("alg", ALGORITHM) != ALGORITHM:
        return None
    if issuer is not None and not isinstance(issuer, str):
        return None
    modulus, exponent = entry.get("n"), entry.get("e")
    if not isinstance(modulus, str) or not isinstance(exponent, str):
        return None
    try:
        bits = int.from_bytes(decode_base64url(modulus)).bit_length()
        if not MIN_MODULUS_BITS <= bits <= MAX_MODULUS_BITS:
            return None
        if not MIN_EXPONENT <= int.from_bytes(decode_base64url(exponent)) <= MAX_EXPONENT:
            return None
        # Only the two numbers are taken: a document that leaks `d`, or carries x5c, must not change what is verified.
        key = RSAKey.import_key({"kty": "RSA", "n": modulus, "e": exponent})
    except (TokenError, JoseError, ValueError, TypeError):
        return None
    return PublishedKey(key_id, issuer, key)
