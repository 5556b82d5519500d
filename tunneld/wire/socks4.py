"""SOCKS4 and 4a, the server's side of CONNECT (Ying-Da Lee's SOCKS4.protocol and socks4a.protocol).

The protocol has no password. Where one is required every request is refused, since letting version 4 in would be
a way around it.
"""

from __future__ import annotations

from tunneld.model.address import MAX_NAME
from tunneld.model.reasons import Kind, Reason
from tunneld.wire.handshake import Credentials, FlowAsked, HandshakeBuffers, HandshakeFailed, require_refusal

VERSION = 4
CONNECT = 1
MAX_USER = 255  # No limit in the protocol; RFC 1929 gives a user name one length byte.

GRANTED, REJECTED = 90, 91

REPLY_BY_KIND: dict[Kind, int] = {
    # 92 and 93 speak of identd only, so everything that is not granted is "rejected or failed".
    Kind.OK: GRANTED,
    Kind.DENIED: REJECTED,
    Kind.UNAUTHENTICATED: REJECTED,
    Kind.STEP_UP: REJECTED,
    Kind.REFUSED: REJECTED,
    Kind.UNREACHABLE: REJECTED,
    Kind.TIMEOUT: REJECTED,
    Kind.RESET: REJECTED,
    Kind.LIMIT: REJECTED,
    Kind.MALFORMED: REJECTED,
    Kind.UNSUPPORTED: REJECTED,
    Kind.INTERNAL: REJECTED,
}

_READING, _ASKED, _OVER = range(3)


def encode_reply(code: int) -> bytes:
    """Return a reply; clients ignore its address in the answer to CONNECT."""
    return bytes((0, code, 0, 0, 0, 0, 0, 0))


class Socks4(HandshakeBuffers):
    """One client's handshake."""

    __slots__ = ("_locked", "_step")

    def __init__(self, credentials: Credentials | None = None) -> None:
        super().__init__()
        self._locked = credentials is not None
        self._step = _READING

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client."""
        self._buffer += data
        if self._step == _READING:
            self._read_request(self._buffer)
        if self._step == _OVER:
            self._buffer = b""

    def receive_eof(self) -> None:
        """Take the client's end of stream."""
        if self._step == _READING:
            self._step = _OVER
            self._events.append(HandshakeFailed(Reason.MALFORMED_REQUEST, "the client closed in the handshake"))

    def accept(self, bound: tuple[str, int] | None = None) -> None:  # noqa: ARG002  clients ignore the address
        """Queue the success reply."""
        self._step = _OVER
        self._out += encode_reply(GRANTED)

    def refuse(self, reason: Reason, detail: str = "") -> None:  # noqa: ARG002  no room for it in the protocol
        """Queue the reply that says no; the protocol cannot say why."""
        require_refusal(reason)
        self._step = _OVER
        self._out += encode_reply(REPLY_BY_KIND[reason.kind])

    def _fail(self, reason: Reason, detail: str) -> None:
        self.refuse(reason)
        self._events.append(HandshakeFailed(reason, detail))

    def _read_request(self, data: bytes) -> None:
        if data and data[0] != VERSION:
            return self._fail(Reason.MALFORMED_REQUEST, "not version 4")
        if len(data) > 1 and data[1] != CONNECT:
            return self._fail(Reason.UNSUPPORTED_COMMAND, f"command {data[1]}")
        if len(data) < 9:
            return None
        user_end = data.find(b"\x00", 8, 8 + MAX_USER + 1)
        if user_end < 0:
            if len(data) > 8 + MAX_USER:
                self._fail(Reason.MALFORMED_REQUEST, "user id longer than 255 bytes")
            return None
        port = data[2] << 8 | data[3]
        # 0.0.0.x with x not zero says that a name follows (socks4a.protocol).
        if data[4:7] != b"\x00\x00\x00" or not data[7]:
            return self._asked(f"{data[4]}.{data[5]}.{data[6]}.{data[7]}", port, "socks4", user_end + 1)
        start = user_end + 1
        end = data.find(b"\x00", start, start + MAX_NAME + 1)
        if end < 0:
            if len(data) > start + MAX_NAME:
                self._fail(Reason.NAME_TOO_LONG, "more than 255 bytes")
            return None
        try:
            host = str(data[start:end], "utf-8")
        except UnicodeDecodeError:
            return self._fail(Reason.NAME_INVALID, "not text")
        if not host or not host.isprintable():
            return self._fail(Reason.NAME_INVALID, "empty, or holds control characters")
        return self._asked(host, port, "socks4a", end + 1)

    def _asked(self, host: str, port: int, kind: str, used: int) -> None:
        if self._locked:
            return self._fail(Reason.PROXY_AUTH_REQUIRED, "version 4 cannot carry a password")
        if not port:
            return self._fail(Reason.PORT_INVALID, "port 0")
        self._step = _ASKED
        self._buffer = self._buffer[used:]
        self._events.append(FlowAsked(host, port, kind))
        return None
