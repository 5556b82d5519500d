"""Which field lists are well-formed requests and responses (RFC 9113 §8.2, §8.3, §8.5; RFC 8441 §4)."""

from __future__ import annotations

import re

from tunneld.wire.h2.header_block import Field

# §8.2.1: lower case tokens (RFC 9110 §5.6.2); a pseudo-header's colon is handled apart.
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
# §8.2.1: no NUL, CR, LF anywhere, no blank at either end.
_BAD_VALUE = re.compile(rb"[\0\r\n]|^[ \t]|[ \t]$")
# §8.2.2: connection-specific fields have no meaning in HTTP/2.
_FORBIDDEN = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))

# What our own ends send needs no expression to be recognised as a name.
_USUAL = frozenset((b"tunnel-token", b"traceparent", b"proxy-authorization", b"authorization", b"proxy-status"))

_REQUEST_PSEUDO = frozenset((b":method", b":scheme", b":authority", b":path", b":protocol"))


def request_fault(fields: list[Field]) -> str | None:
    """Say what is wrong with a request's fields, or return None."""
    pseudo, fault = _split(fields, _REQUEST_PSEUDO)
    if fault is not None:
        return fault
    method = pseudo.get(b":method")
    if method is None:
        return "no :method"
    if method == b"CONNECT" and b":protocol" not in pseudo:
        if len(pseudo) != 2 or not pseudo.get(b":authority"):
            return "CONNECT takes :authority and nothing else"  # §8.5
        return None
    if not pseudo.get(b":path") or not pseudo.get(b":scheme"):
        return "no :scheme or :path"
    if b":protocol" in pseudo and (method != b"CONNECT" or not pseudo.get(b":authority")):
        return ":protocol belongs to CONNECT"
    return None


def response_status(fields: list[Field]) -> int | None:
    """Return the three-digit status of a response's fields, or None if they are malformed."""
    pseudo, fault = _split(fields, frozenset((b":status",)))
    status = pseudo.get(b":status", b"")
    if fault is not None or len(status) != 3 or not status.isdigit():
        return None
    return int(status)


def _split(fields: list[Field], known: frozenset[bytes]) -> tuple[dict[bytes, bytes], str | None]:
    pseudo: dict[bytes, bytes] = {}
    regular = False
    for name, value in fields:
        if name[:1] == b":":
            if regular or name not in known or name in pseudo:
                return pseudo, "pseudo-header misplaced, unknown or repeated"
            pseudo[name] = value
        else:
            regular = True
            if name not in _USUAL and _NAME.fullmatch(name) is None:
                return pseudo, "field name is not a lower case token"
            if name in _FORBIDDEN or (name == b"te" and value != b"trailers"):
                return pseudo, "connection-specific field"
        if _BAD_VALUE.search(value) is not None:
            return pseudo, "field value holds a forbidden character"
    return pseudo, None
