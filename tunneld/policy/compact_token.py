"""A signed token taken apart by the letter: compact serialization, canonical base64url, JSON without surprises.

JOSE libraries accept duplicate members, unused `jku` headers, padded and non-canonical base64 and arrays of
audiences; two of them can read two different tokens in one text. Everything that could be read in two ways is
refused here, in front of the library (RFC 7515, RFC 8725, RFC 8259).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from tunneld.model.errors import TokenError
from tunneld.model.reasons import Reason
from tunneld.model.strict_json import no_constant, unique_members

MAX_TOKEN = 12 * 1024  # fits HTTP/2's usual 16 KiB header list; Microsoft's own tokens stay under 10 KiB
MAX_HEADER = 1024  # alg, kid, typ and x5t take under 200 bytes
MAX_KEY_ID = 256
MAX_DEPTH = 8  # Entra's deepest claim, _claim_sources, has three levels
MAX_INTEGER_DIGITS = 20  # a 64-bit number; int() is quadratic in the number of digits

ALGORITHM = "RS256"  # what the Microsoft identity platform signs with; RFC 8725 §3.1: one algorithm, fixed by us
_HEADER_MEMBERS = frozenset({"alg", "kid", "typ", "x5t"})

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


class CompactToken(NamedTuple):
    """A well-formed token that nobody verified. `claims` may be read to choose a key, and for nothing else."""

    text: str
    key_id: str
    claims: dict[str, object]


def bearer(fields: Sequence[str]) -> str:
    """Return the token out of all values of one authorization header field (RFC 6750 §2.1). Raises TokenError.

    Exactly one value, exactly ``Bearer``, one space, no comma: whatever two parsers could read differently is no
    token.
    """
    if not fields:
        raise TokenError(Reason.TOKEN_MISSING)
    if len(fields) > 1:
        raise TokenError(Reason.TOKEN_MALFORMED, "more than one authorization field")
    if not fields[0].startswith("Bearer "):
        raise TokenError(Reason.TOKEN_MALFORMED, "the scheme is not Bearer")
    return fields[0][7:]


def take_apart(text: str, *, untyped: bool = False) -> CompactToken:
    """Return the parts of a compact RS256 token, or raise TokenError: it is refused for its form alone.

    `untyped` lets the header go without `typ`, as ID tokens of other providers do (RFC 7519 §5.1: it is optional).
    """
    if not text:
        raise TokenError(Reason.TOKEN_MISSING)
    if len(text) > MAX_TOKEN:
        raise TokenError(Reason.TOKEN_TOO_LARGE, f"{len(text)} characters")
    match = _COMPACT.fullmatch(text)
    if match is None:
        raise TokenError(Reason.TOKEN_MALFORMED, "not three segments of base64url")
    header_bytes, payload = decode_base64url(match[1]), decode_base64url(match[2])
    decode_base64url(match[3])
    if len(header_bytes) > MAX_HEADER:
        raise TokenError(Reason.TOKEN_MALFORMED, "the header is too large")
    key_id = _key_id(strict_object(header_bytes), untyped=untyped)
    return CompactToken(text, key_id, strict_object(payload))


def strict_object(data: bytes) -> dict[str, object]:
    """Return the JSON object in `data`, or raise TokenError.

    Refused: anything but UTF-8, a byte order mark, duplicate members, NaN and infinities, numbers out of 64 bits,
    nesting below 8 levels, NUL and lone surrogates in strings (RFC 8259 §4, §6, §8, RFC 7493).
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=unique_members,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=no_constant,
        )
        _inspect(value, 1)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise TokenError(Reason.TOKEN_MALFORMED, f"not strict JSON ({type(error).__name__})") from None
    if not isinstance(value, dict):
        raise TokenError(Reason.TOKEN_MALFORMED, "not a JSON object")
    return value


def _key_id(header: dict[str, object], *, untyped: bool) -> str:
    """Check the header and return its `kid`, which must be there: guessing keys is how confusions begin."""
    # This refuses jku, jwk, x5u and x5c (keys of the sender's choice), crit, b64, zip and enc without naming them.
    if not header.keys() <= _HEADER_MEMBERS:
        raise TokenError(Reason.TOKEN_MALFORMED, "the header has members that no access token needs")
    if header.get("alg") != ALGORITHM:
        raise TokenError(Reason.TOKEN_ALGORITHM, "only RS256")
    if header.get("typ") != "JWT" and not (untyped and "typ" not in header):
        raise TokenError(Reason.TOKEN_TYPE, "the header's typ is not JWT")
    if not isinstance(header.get("x5t", ""), str):
        raise TokenError(Reason.TOKEN_MALFORMED, "x5t is not text")
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not 1 <= len(key_id) <= MAX_KEY_ID:
        raise TokenError(Reason.TOKEN_KEY_UNKNOWN, "the header names no key")
    return key_id


def decode_base64url(segment: str) -> bytes:
    """Decode base64url that is the only spelling of its bytes: the unused bits of the last character are zero."""
    try:
        data = base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise TokenError(Reason.TOKEN_MALFORMED, "not base64url") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii") != segment:
        raise TokenError(Reason.TOKEN_MALFORMED, "base64url is not canonical")
    return data


def _integer(text: str) -> int:
    if len(text) > MAX_INTEGER_DIGITS:
        raise ValueError("integer out of range")
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if not -1e300 < number < 1e300:
        raise ValueError("number out of range")
    return number


def _inspect(value: object, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        for name, member in value.items():
            _inspect(name, depth)
            _inspect(member, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _inspect(item, depth + 1)
    elif isinstance(value, str):
        value.encode("utf-8")  # raises for a lone surrogate, which \ud800 spells
        if "\0" in value:
            raise ValueError("NUL in a string")
