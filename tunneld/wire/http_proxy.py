"""The first request head on an HTTP proxy connection: CONNECT (RFC 9110 §9.3.6), or a request to forward.

CONNECT is answered here. Anything else is handed on untouched, since every request of a kept-alive connection has
to be read by the same code (`http_forward`).
"""

from __future__ import annotations

import h11

from tunneld.model.address import parse_authority
from tunneld.model.errors import PeerProtocolError
from tunneld.model.reasons import Reason
from tunneld.wire.handshake import (
    Credentials,
    FlowAsked,
    ForwardAsked,
    HandshakeBuffers,
    HandshakeFailed,
    require_refusal,
)
from tunneld.wire.http_head import encode_refusal, is_authorized, measure_head, plain_words

_CONNECT = b"CONNECT "
# RFC 9110 §9.3.6: a 2xx to CONNECT carries neither Content-Length nor Transfer-Encoding.
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"

_READING, _ASKED, _OVER = range(3)


class HttpProxy(HandshakeBuffers):
    """One client's first request."""

    __slots__ = ("_credentials", "_step")

    def __init__(self, credentials: Credentials | None = None) -> None:
        super().__init__()
        self._credentials = credentials
        self._step = _READING

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client."""
        self._buffer += data
        if self._step == _READING:
            if self._buffer.startswith(_CONNECT):
                self._read_connect()
            elif not _CONNECT.startswith(self._buffer):
                self._step = _ASKED
                self._events.append(ForwardAsked())
        if self._step == _OVER:
            self._buffer = b""

    def receive_eof(self) -> None:
        """Take the client's end of stream."""
        if self._step == _READING:
            self._step = _OVER
            self._events.append(HandshakeFailed(Reason.MALFORMED_REQUEST, "the client closed in the head"))

    def accept(self, bound: tuple[str, int] | None = None) -> None:  # noqa: ARG002  HTTP has no place for it
        """Queue the 2xx that opens the tunnel."""
        self._step = _OVER
        self._out += _ESTABLISHED

    def refuse(self, reason: Reason, detail: str = "") -> None:
        """Queue the response that says `reason`. What the client sent behind the head is never read as a request."""
        require_refusal(reason)
        self._step = _OVER
        self._out += encode_refusal(reason, detail)

    def _read_connect(self) -> None:
        try:
            size = measure_head(self._buffer)
            if not size:
                return
            host, port = self._parse_connect(self._buffer[:size])
        except PeerProtocolError as error:
            self.refuse(error.reason, error.detail)
            self._events.append(HandshakeFailed(error.reason, error.detail))
            return
        self._buffer = self._buffer[size:]
        self._step = _ASKED
        self._events.append(FlowAsked(host, port, "http-connect"))

    def _parse_connect(self, head: bytes) -> tuple[str, int]:
        reader = h11.Connection(h11.SERVER)
        reader.receive_data(head)
        try:
            request = reader.next_event()
        except h11.RemoteProtocolError as error:
            raise PeerProtocolError(Reason.MALFORMED_REQUEST, plain_words(error)) from None
        assert isinstance(request, h11.Request)  # the head is complete
        if request.http_version not in (b"1.0", b"1.1"):  # nc -X connect still says 1.0
            raise PeerProtocolError(Reason.MALFORMED_REQUEST, "not HTTP/1.0 or HTTP/1.1")
        # A body has no meaning here, and whoever believes in one reads the tunnel's first bytes differently.
        if any(name in (b"content-length", b"transfer-encoding") for name, _ in request.headers):
            raise PeerProtocolError(Reason.MALFORMED_REQUEST, "CONNECT with a body")
        # The target is the only authority: the Host field is neither compared nor used.
        host, port = parse_authority(request.target.decode("ascii"))
        if not is_authorized(request.headers, self._credentials):
            raise PeerProtocolError(Reason.PROXY_AUTH_REQUIRED, "")
        return host, port
