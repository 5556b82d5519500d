"""SOCKS5, the server's side of CONNECT (RFC 1928), with user name and password (RFC 1929).

Clients send two or three small messages and this runs once for each flow, so it is a plain state machine: one step
for each message, and a message that arrives whole is never copied into a buffer.
"""

from __future__ import annotations

from hmac import compare_digest
from ipaddress import IPv6Address, ip_address

from tunneld.model.reasons import Kind, Reason
from tunneld.wire.handshake import Credentials, FlowAsked, HandshakeBuffers, HandshakeFailed, require_refusal

VERSION = 5
NO_AUTHENTICATION, USERNAME_PASSWORD, NO_ACCEPTABLE_METHOD = 0x00, 0x02, 0xFF  # RFC 1928 §3
CONNECT = 1  # RFC 1928 §4
IPV4, NAME, IPV6 = 1, 3, 4  # RFC 1928 §5

REPLY_BY_KIND: dict[Kind, int] = {  # RFC 1928 §6
    Kind.OK: 0x00,  # succeeded
    Kind.DENIED: 0x02,  # connection not allowed by ruleset
    Kind.UNAUTHENTICATED: 0x02,
    Kind.STEP_UP: 0x02,
    Kind.REFUSED: 0x05,  # connection refused
    Kind.UNREACHABLE: 0x04,  # host unreachable
    Kind.TIMEOUT: 0x06,  # TTL expired, the code that clients show as a time-out
    Kind.RESET: 0x01,  # general SOCKS server failure
    Kind.LIMIT: 0x01,
    Kind.MALFORMED: 0x01,
    Kind.UNSUPPORTED: 0x07,  # command not supported
    Kind.INTERNAL: 0x01,
}
ADDRESS_TYPE_NOT_SUPPORTED = 0x08

# BND.ADDR may not be left out: clients read it whole before they send. 0.0.0.0:0 says "unknown" in the shortest form.
_UNKNOWN_BOUND = b"\x00\x01\x00\x00\x00\x00\x00\x00"
_SUCCEEDED = b"\x05\x00" + _UNKNOWN_BOUND

_GREETING, _PASSWORD, _REQUEST, _ASKED, _OVER = range(5)


def reply_code(reason: Reason) -> int:
    """Return the REP byte that says `reason`."""
    if reason is Reason.UNSUPPORTED_ADDRESS:
        return ADDRESS_TYPE_NOT_SUPPORTED
    return REPLY_BY_KIND[reason.kind]


class Socks5(HandshakeBuffers):
    """One client's handshake. With `credentials` nobody gets past the greeting without offering RFC 1929."""

    __slots__ = ("_credentials", "_step")

    def __init__(self, credentials: Credentials | None = None) -> None:
        super().__init__()
        self._credentials = credentials
        self._step = _GREETING

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client. Bounded by the messages' own length bytes: 257, 513 and 262."""
        if self._buffer:
            data = self._buffer + data
        while True:
            step = self._step
            if step == _GREETING:
                used = self._read_greeting(data)
            elif step == _REQUEST:
                used = self._read_request(data)
            elif step == _PASSWORD:
                used = self._read_password(data)
            else:
                break
            if not used:
                break
            data = data[used:]
        self._buffer = data if self._step != _OVER else b""

    def receive_eof(self) -> None:
        """Take the client's end of stream."""
        if self._step < _ASKED:
            self._step = _OVER
            self._events.append(HandshakeFailed(Reason.MALFORMED_REQUEST, "the client closed in the handshake"))

    def accept(self, bound: tuple[str, int] | None = None) -> None:
        """Queue the success reply."""
        self._step = _OVER
        self._out += _SUCCEEDED if bound is None else b"\x05\x00" + _encode_bound(bound)

    def refuse(self, reason: Reason, detail: str = "") -> None:  # noqa: ARG002  no room for it in the protocol
        """Queue the reply that says `reason`."""
        require_refusal(reason)
        self._step = _OVER
        self._out += bytes((VERSION, reply_code(reason))) + _UNKNOWN_BOUND

    def _fail(self, reason: Reason, detail: str, out: bytes) -> int:
        self._step = _OVER
        self._out += out
        self._events.append(HandshakeFailed(reason, detail))
        return 0

    def _fail_request(self, reason: Reason, detail: str) -> int:
        return self._fail(reason, detail, bytes((VERSION, reply_code(reason))) + _UNKNOWN_BOUND)

    def _read_greeting(self, data: bytes) -> int:
        if data and data[0] != VERSION:
            return self._fail(Reason.MALFORMED_REQUEST, "not version 5", b"")
        if len(data) < 2 or len(data) < 2 + data[1]:
            return 0
        used = 2 + data[1]
        wanted = NO_AUTHENTICATION if self._credentials is None else USERNAME_PASSWORD
        if wanted not in data[2:used]:
            reason = Reason.UNSUPPORTED_PROTOCOL if self._credentials is None else Reason.PROXY_AUTH_REQUIRED
            return self._fail(reason, "no acceptable method", bytes((VERSION, NO_ACCEPTABLE_METHOD)))
        if wanted == NO_AUTHENTICATION:
            self._out += b"\x05\x00"
            self._step = _REQUEST
        else:
            self._out += b"\x05\x02"
            self._step = _PASSWORD
        return used

    def _read_password(self, data: bytes) -> int:
        assert self._credentials is not None
        size = len(data)
        if data and data[0] != 1:
            return self._fail(Reason.MALFORMED_REQUEST, "not version 1 of RFC 1929", b"\x01\x01")
        if size < 2 or size < 3 + data[1] or size < 3 + data[1] + data[2 + data[1]]:
            return 0
        user_end = 2 + data[1]
        used = user_end + 1 + data[user_end]
        user, password = self._credentials
        # Both are compared whatever the first says, so that the time taken does not tell which was wrong.
        right = compare_digest(data[2:user_end], user) & compare_digest(data[user_end + 1 : used], password)
        if not right:
            return self._fail(Reason.PROXY_AUTH_REQUIRED, "wrong user name or password", b"\x01\x01")
        self._out += b"\x01\x00"
        self._step = _REQUEST
        return used

    def _read_request(self, data: bytes) -> int:
        size = len(data)
        if size < 4:
            return 0
        if data[0] != VERSION:
            return self._fail_request(Reason.MALFORMED_REQUEST, "not version 5")
        if data[1] != CONNECT:
            return self._fail_request(Reason.UNSUPPORTED_COMMAND, f"command {data[1]}")
        kind = data[3]
        if kind == NAME:
            if size < 5:
                return 0
            used = 7 + data[4]
        elif kind == IPV4:
            used = 10
        elif kind == IPV6:
            used = 22
        else:
            return self._fail_request(Reason.UNSUPPORTED_ADDRESS, f"address type {kind}")
        if size < used:
            return 0
        if kind == NAME:
            try:
                host = str(data[5 : used - 2], "utf-8")
            except UnicodeDecodeError:
                return self._fail_request(Reason.NAME_INVALID, "not text")
            if not host or not host.isprintable():
                return self._fail_request(Reason.NAME_INVALID, "empty, or holds control characters")
        elif kind == IPV4:
            host = f"{data[4]}.{data[5]}.{data[6]}.{data[7]}"
        else:
            host = str(IPv6Address(data[4:20]))
        port = data[used - 2] << 8 | data[used - 1]
        if not port:
            return self._fail_request(Reason.PORT_INVALID, "port 0")
        self._step = _ASKED
        self._events.append(FlowAsked(host, port, "socks5"))
        return used


def _encode_bound(bound: tuple[str, int]) -> bytes:
    address = ip_address(bound[0])
    return bytes((0, IPV4 if address.version == 4 else IPV6)) + address.packed + bound[1].to_bytes(2, "big")
