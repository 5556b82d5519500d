"""How a forwarding proxy changes a request and a response on their way (RFC 9110 §7.6, RFC 9112 §3.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import h11

from tunneld.model.address import normalise_host, parse_port
from tunneld.model.errors import PeerProtocolError
from tunneld.model.reasons import Reason

Fields = list[tuple[bytes, bytes]]

PSEUDONYM = b"tunneld"
HTTP_PORT = 80

_ABSOLUTE = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)")
_UPGRADABLE = (b"GET",)

# RFC 9110 §7.6.1, and the proxy fields of §11.7, which are between the client and us.
_HOP_BY_HOP = frozenset({
    b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade",
    b"proxy-authorization", b"proxy-authenticate", b"proxy-authentication-info",
})  # fmt: skip
# `Connection: host` must not strip what routes or frames the message.
_NOT_NOMINABLE = frozenset({b"host", b"content-length", b"via", b"max-forwards"})


class RequestHead(NamedTuple):
    """A request to forward: where it goes and what is sent there."""

    host: str
    port: int
    method: bytes
    target: bytes  # origin-form
    fields: Fields
    upgrade: bool  # the client asks to leave HTTP, and the origin is asked too
    local: bool = False  # Max-Forwards ran out: we are the final recipient (RFC 9110 §7.6.2)


def parse_absolute(target: bytes) -> tuple[str, int, bytes, bytes]:
    """Split an absolute-form target into host, port, authority and origin-form target.

    Raises PeerProtocolError: what is not absolute-form is not for a proxy, and user information in it is refused as
    RFC 9110 §4.2.4 advises.
    """
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise PeerProtocolError(Reason.MALFORMED_REQUEST, "a proxy needs the absolute form of the target")
    scheme, authority, path = match.groups()
    if scheme.lower() != b"http":
        raise PeerProtocolError(Reason.UNSUPPORTED_PROTOCOL, "only http is forwarded; use CONNECT for the rest")
    if b"@" in authority:
        raise PeerProtocolError(Reason.MALFORMED_REQUEST, "user information in the target")
    text = authority.decode("ascii")  # h11 lets only visible ASCII through
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, port = text, ""
    if not path.startswith(b"/"):
        path = b"/" + path
    return normalise_host(host), parse_port(port) if port else HTTP_PORT, authority, path


def rewrite_request(request: h11.Request) -> RequestHead:
    """Return `request` as it goes to its origin. Raises PeerProtocolError if it must not go anywhere."""
    _check_framing(request)
    if request.method == b"TRACE":  # it would echo the client's credentials; most proxies switch it off
        raise PeerProtocolError(Reason.UNSUPPORTED_COMMAND, "TRACE")
    host, port, authority, target = parse_absolute(request.target)
    if request.method == b"OPTIONS" and target == b"/" and not request.target.endswith(b"/"):
        target = b"*"  # RFC 9112 §3.2.4
    fields: Fields = [(b"Host", authority)]  # whatever Host said (RFC 9112 §3.2.2)
    local = False
    for name, value in _end_to_end(request.headers):
        lowered = name.lower()
        if lowered == b"max-forwards" and request.method == b"OPTIONS" and value.isdigit():
            local = int(value) == 0
            value = b"%d" % max(int(value) - 1, 0)
        if lowered != b"host":
            fields.append((name, value))
    if has_token(request.headers, b"transfer-encoding", b"chunked"):
        fields.append((b"Transfer-Encoding", b"chunked"))
    upgrades = [value for name, value in request.headers if name == b"upgrade"]
    upgrade = bool(upgrades) and request.method in _UPGRADABLE and request.http_version == b"1.1"
    if upgrade:
        fields += [(b"Connection", b"upgrade"), (b"Upgrade", b", ".join(upgrades))]
    fields.append((b"Via", request.http_version + b" " + PSEUDONYM))
    return RequestHead(host, port, request.method, target, fields, upgrade, local)


def rewrite_response(response: h11.Response | h11.InformationalResponse) -> Fields:
    """Return the fields of `response` as they go to the client; h11 adds what frames the body there."""
    fields = _end_to_end(response.headers)
    if any(name == b"transfer-encoding" for name, _ in response.headers):
        # RFC 9112 §6.3: Transfer-Encoding overrides, and the other must not be forwarded.
        fields = [(name, value) for name, value in fields if name.lower() != b"content-length"]
    if response.status_code == 101:
        fields += [(b"Connection", b"upgrade")]
        fields += [(b"Upgrade", value) for name, value in response.headers if name == b"upgrade"]
    fields.append((b"Via", response.http_version + b" " + PSEUDONYM))
    return fields


def rewrite_trailers(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    """Return trailer fields without any that would frame or route the message (RFC 9110 §6.5.1)."""
    banned = _HOP_BY_HOP | _NOT_NOMINABLE
    return [(name, value) for name, value in fields if name.lower() not in banned]


def has_token(fields: Iterable[tuple[bytes, bytes]], name: bytes, token: bytes) -> bool:
    """Say whether a comma-separated field holds `token`, in any case."""
    return any(
        token == part.strip().lower() for key, value in fields if key.lower() == name for part in value.split(b",")
    )


def _check_framing(request: h11.Request) -> None:
    names = [name for name, _ in request.headers]
    if request.http_version not in (b"1.0", b"1.1"):
        raise PeerProtocolError(Reason.MALFORMED_REQUEST, "not HTTP/1.0 or HTTP/1.1")
    if b"transfer-encoding" in names and (b"content-length" in names or request.http_version == b"1.0"):
        # RFC 9112 §6.1: the mark of request smuggling.
        raise PeerProtocolError(Reason.MALFORMED_REQUEST, "the body is framed in two ways")


def _end_to_end(headers: h11.Headers) -> Fields:  # type: ignore[name-defined]  # h11 does not export the class
    nominated = {
        part.strip().lower() for name, value in headers if name == b"connection" for part in value.split(b",")
    }
    dropped = _HOP_BY_HOP | (nominated - _NOT_NOMINABLE)
    return [(name, value) for name, value in headers.raw_items() if name.lower() not in dropped]
