"""Read the server name and the ALPN offers out of a TLS ClientHello, before TLS starts (RFC 8446 §4.1.2).

The edge looks at the name first and only then chooses a tenant's TLS context. Nothing here is trusted: the bytes are
unauthenticated, and the TLS stack reads them again.
"""

from __future__ import annotations

import re
from typing import NamedTuple

HANDSHAKE_RECORD = 22  # RFC 8446 §5.1
CLIENT_HELLO = 1  # RFC 8446 §4
SERVER_NAME, ALPN = 0, 16  # RFC 6066 §3, RFC 7301 §3.1
MAX_RECORD = 1 << 14  # RFC 8446 §5.1
MAX_HELLO = 16 * 1024  # Envoy's tls_inspector stops there as well; a post-quantum hello is about 2 KiB.

_NAME = re.compile(rb"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?")


class Hello(NamedTuple):
    """A whole ClientHello. `server_name` is in lower case, since host names compare so (RFC 6066 §3)."""

    server_name: str | None
    alpn: tuple[bytes, ...]


class NotTls(NamedTuple):
    """The bytes are not a ClientHello that we would serve."""

    detail: str


class _BrokenError(Exception):
    """A length or a value that no ClientHello of ours has; never leaves this module."""


class _Cursor:
    """Reads length-prefixed vectors (RFC 8446 §3.4) and refuses to pass the end."""

    __slots__ = ("_bytes", "_position")

    def __init__(self, data: bytes) -> None:
        self._bytes = data
        self._position = 0

    def __bool__(self) -> bool:
        return self._position < len(self._bytes)

    def take(self, size: int) -> bytes:
        start, self._position = self._position, self._position + size
        if self._position > len(self._bytes):
            raise _BrokenError("a length passes the end")
        return self._bytes[start : self._position]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, prefix: int) -> bytes:
        return self.take(self.number(prefix))


def read_client_hello(data: bytes) -> Hello | NotTls | None:
    """Return what the bytes from a client's start say, or None while more are needed. Bounded by MAX_HELLO."""
    try:
        hello = _join_records(data)
        return None if hello is None else _parse(hello)
    except _BrokenError as error:
        return NotTls(str(error))


def _join_records(data: bytes) -> bytes | None:
    """Return the ClientHello's body, which may be split over several records, or None if it is not all there."""
    joined = b""
    position = 0
    while True:
        header = data[position : position + 5]
        if header[:1] and header[0] != HANDSHAKE_RECORD:
            raise _BrokenError("not a handshake record")
        if header[1:2] and header[1] != 3:
            raise _BrokenError("not TLS")
        if len(header) < 5:
            return None
        size = header[3] << 8 | header[4]
        if not 0 < size <= MAX_RECORD:
            raise _BrokenError("a record of impossible length")
        joined += data[position + 5 : position + 5 + size]
        if joined[:1] and joined[0] != CLIENT_HELLO:
            raise _BrokenError("not a ClientHello")
        if len(joined) >= 4:
            wanted = 4 + int.from_bytes(joined[1:4], "big")
            if wanted > MAX_HELLO:
                raise _BrokenError(f"longer than {MAX_HELLO} bytes")
            if len(joined) >= wanted:
                return joined[4:wanted]
        position += 5 + size
        if position > 2 * MAX_HELLO:  # a hello cut into records of a few bytes each
            raise _BrokenError("too many records")
        if position > len(data):
            return None


def _parse(body: bytes) -> Hello:
    cursor = _Cursor(body)
    cursor.take(2 + 32)  # legacy_version, random
    cursor.vector(1)  # legacy_session_id
    cursor.vector(2)  # cipher_suites
    cursor.vector(1)  # legacy_compression_methods
    server_name: str | None = None
    alpn: tuple[bytes, ...] = ()
    seen: set[int] = set()
    extensions = _Cursor(cursor.vector(2) if cursor else b"")
    if cursor:
        raise _BrokenError("bytes behind the extensions")
    while extensions:
        kind, content = extensions.number(2), extensions.vector(2)
        if kind in seen:
            raise _BrokenError("an extension twice")  # RFC 8446 §4.2
        seen.add(kind)
        if kind == SERVER_NAME:
            server_name = _parse_server_name(content)
        elif kind == ALPN:
            alpn = _parse_alpn(content)
    return Hello(server_name, alpn)


def _parse_server_name(content: bytes) -> str:
    names = _Cursor(_only_vector(content))
    found: list[bytes] = []
    while names:
        kind, name = names.number(1), names.vector(2)
        if kind == 0:
            found.append(name)
    # RFC 6066 §3: no two names of one type; no trailing dot; ASCII.
    if len(found) != 1 or not _NAME.fullmatch(found[0]):
        raise _BrokenError("no usable server name")
    return found[0].decode("ascii").lower()


def _parse_alpn(content: bytes) -> tuple[bytes, ...]:
    names = _Cursor(_only_vector(content))
    offers: list[bytes] = []
    while names:
        offer = names.vector(1)
        if not offer:
            raise _BrokenError("an empty ALPN offer")
        offers.append(offer)
    return tuple(offers)


def _only_vector(content: bytes) -> bytes:
    cursor = _Cursor(content)
    inner = cursor.vector(2)
    if cursor:
        raise _BrokenError("bytes behind an extension's list")
    return inner


class ClientHelloReader:
    """The same as `read_client_hello`, for bytes that arrive in pieces; it never sends."""

    __slots__ = ("_buffer", "_events", "_over")

    def __init__(self) -> None:
        self._buffer = b""
        self._events: list[Hello | NotTls] = []
        self._over = False

    @property
    def trailing_data(self) -> bytes:
        """Every byte received: the TLS stack needs them all."""
        return self._buffer

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client."""
        self._buffer += data
        if not self._over:
            self._report(read_client_hello(self._buffer))

    def receive_eof(self) -> None:
        """Take the client's end of stream."""
        if not self._over:
            self._report(NotTls("the client closed in its hello"))

    def events(self) -> list[Hello | NotTls]:
        """Return what happened since the last call: one event in all."""
        events, self._events = self._events, []
        return events

    def data_to_send(self) -> bytes:
        """Return nothing: the answer is the TLS stack's."""
        return b""

    def _report(self, result: Hello | NotTls | None) -> None:
        if result is not None:
            self._over = True
            self._events.append(result)
