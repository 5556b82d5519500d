"""What the header fields of a request to the edge say."""

from __future__ import annotations

from functools import lru_cache

from tunneld.model.address import parse_authority
from tunneld.wire.h2.header_block import Field

RESTRICTION = b"sec-restrict-tenant-access-policy"  # tenant restrictions, version 2

cached_authority = lru_cache(maxsize=8192)(parse_authority)


def bearer_of(fields: list[Field], name: bytes) -> str | None:
    """Return the one Bearer token in `name`; None if there is none, several, or another scheme."""
    values = [value for field, value in fields if field == name]
    if len(values) != 1:
        return None
    scheme, space, token = values[0].decode("ascii", "replace").partition(" ")
    # Exactly this spelling: two parsers that differ about the rest could read two tokens (RFC 6750 §2.1).
    return token if space and scheme == "Bearer" and token and " " not in token else None


def restriction_of(fields: list[Field]) -> str | None:
    """Return the tenant-restriction policy that a request names. Two of them are joined to one that is malformed."""
    values = [value for field, value in fields if field == RESTRICTION]
    return b",".join(values).decode("ascii", "replace") if values else None


def trace_id(value: bytes | None) -> str | None:
    """Return the trace id of a `traceparent` (W3C Trace Context §3.2), None if it is not one."""
    if value is None or len(value) != 55 or value[:3] != b"00-":
        return None
    trace = value[3:35]
    if trace.strip(b"0123456789abcdef") or not trace.strip(b"0"):
        return None
    return trace.decode("ascii")
