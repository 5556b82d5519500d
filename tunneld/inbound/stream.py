"""One accepted connection, from its first byte to the moment when its transport belongs to a flow.

The first byte decides the protocol, the codec reads the request, the opener answers it. Bytes that arrive behind the
request are held until the flow is accepted: forwarding them earlier would let a client speak to a destination that
policy is about to refuse.
"""

from __future__ import annotations

import asyncio
from typing import Any

from tunneld.inbound.forward import HttpForwarder
from tunneld.inbound.linger import linger
from tunneld.inbound.reception import CODEC_BY_FIRST_BYTE, Reception
from tunneld.inbound.request import FlowRequest, LinkableEnd, OnEnd
from tunneld.model.reasons import Reason
from tunneld.net.relay import FlowEnd, SocketEnd
from tunneld.wire.handshake import FlowAsked, ForwardAsked, Handshake, HandshakeEvent
from tunneld.wire.http_head import encode_refusal

# No message of any handshake is longer than an HTTP head, and one read is handled before the next one starts, on
# every loop: one buffer serves all handshakes.
_READ = memoryview(bytearray(16 * 1024))
# Early data beyond this stays in the kernel. A TLS ClientHello with post-quantum key shares is about 2 KiB.
MAX_EARLY = 64 * 1024

_HANDSHAKE, _WAITING, _GONE = range(3)


class InboundConnection(asyncio.BufferedProtocol):
    """The protocol of a transport until its flow is accepted or refused."""

    __slots__ = ("_codec", "_early", "_eof", "_reception", "_request", "_stage", "source", "transport")

    def __init__(self, reception: Reception, source: tuple[str, int]) -> None:
        self._reception = reception
        self._codec: Handshake | None = None
        self._early = b""
        self._eof = False
        self._request: StreamRequest | None = None
        self._stage = _HANDSHAKE
        self.source = source
        self.transport: Any = None

    # -- what asyncio calls --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock."""
        self.transport = transport
        self._reception.handshakes.add(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the shared buffer."""
        return _READ

    def buffer_updated(self, nbytes: int) -> None:
        """Feed the codec, or hold what came too early."""
        stage = self._stage
        if stage == _HANDSHAKE:
            self.receive_data(bytes(_READ[:nbytes]))
        elif stage == _WAITING:
            self._early += _READ[:nbytes]
            if len(self._early) > MAX_EARLY:
                self.transport.pause_reading()

    def eof_received(self) -> bool:
        """Keep the other direction open while an answer is due: the client may have sent all that it has."""
        if self._stage == _WAITING:
            self._eof = True
            return True
        if self._stage == _HANDSHAKE and self._codec is not None:
            self._codec.receive_eof()
            self._eof = True
            self._advance(self._codec)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the opener, if it is still busy with this flow."""
        stage, self._stage = self._stage, _GONE
        if stage == _HANDSHAKE:
            self._reception.handshakes.discard(self)
        elif stage == _WAITING:
            request, self._request = self._request, None
            self._early = b""
            if request is not None and request.on_abandoned is not None:
                request.on_abandoned()

    # -- what the deadlines call ---------------------------------------------------------------------------------

    def expire(self) -> None:
        """Close: the client was too slow, or somebody newer needed its place."""
        self._stage = _GONE
        self._reception.failed(Reason.HANDSHAKE_TIMEOUT, "", self.source)
        self.transport.abort()

    # -- the answer ----------------------------------------------------------------------------------------------

    def accept(self, far: LinkableEnd, on_end: OnEnd | None, bound: tuple[str, int] | None) -> FlowEnd | None:
        """Hand the transport to a socket end, then let it see the early bytes as if they had just been read."""
        codec, self._codec, self._request = self._codec, None, None
        if self._stage != _WAITING or codec is None:
            far.reset(Reason.CLIENT_RESET)
            return None
        self._stage = _GONE
        transport = self.transport
        near = SocketEnd(far, lost_reason=Reason.CLIENT_RESET, on_end=on_end)
        far.peer = near
        codec.accept(bound)
        transport.write(codec.data_to_send())
        transport.set_protocol(near)
        near.connection_made(transport)
        early, self._early = self._early, b""
        if len(early) > MAX_EARLY:
            near.resume_reading()
        if early:
            _replay(near, early)
        if self._eof:
            near.eof_received()
        return near

    def refuse(self, reason: Reason, detail: str) -> None:
        """Write the refusal and close in such a way that the client can read it."""
        codec, self._request = self._codec, None
        if self._stage == _WAITING and codec is not None:
            codec.refuse(reason, detail)
            self._finish(codec.data_to_send())

    # -- steps ---------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take bytes of the handshake; also what an HTTP forwarder has read of a CONNECT that follows its requests."""
        codec = self._codec
        if codec is None:
            make = CODEC_BY_FIRST_BYTE[data[0]]
            if make is None:
                self._fail_unknown(data[0])
                return
            codec = self._codec = make(self._reception.credentials)
        codec.receive_data(data)
        self._advance(codec)

    def _advance(self, codec: Handshake) -> None:
        out = codec.data_to_send()
        events = codec.events()
        if not events:
            if out:
                self.transport.write(out)
            return
        self._reception.handshakes.discard(self)
        event: HandshakeEvent = events[0]  # a handshake has one outcome
        if isinstance(event, FlowAsked):
            if out:
                self.transport.write(out)
            self._stage = _WAITING
            self._early = codec.trailing_data
            self._request = request = StreamRequest(self, event)
            self._reception.opener.open(request)
        elif isinstance(event, ForwardAsked):
            self._stage = _GONE
            self._codec = None
            forwarder = HttpForwarder(self._reception, self.source, back_to_handshake)
            self.transport.set_protocol(forwarder)
            forwarder.connection_made(self.transport)
            forwarder.data_received(codec.trailing_data)
            if self._eof and not forwarder.eof_received():
                self.transport.close()
        else:
            self._reception.failed(event.reason, event.detail, self.source)
            self._finish(out)

    def _fail_unknown(self, first: int) -> None:
        self._reception.handshakes.discard(self)
        detail = f"first byte {first:#04x} belongs to no protocol of this port"
        self._reception.failed(Reason.MALFORMED_REQUEST, detail, self.source)
        self._finish(encode_refusal(Reason.MALFORMED_REQUEST, detail))  # text, for whoever reads it by eye

    def _finish(self, out: bytes) -> None:
        self._stage = _GONE
        self._early = b""
        linger(self.transport, self._reception.lingering, out, eof=self._eof)


def back_to_handshake(reception: Reception, source: tuple[str, int], transport: Any, data: bytes) -> None:
    """Read a CONNECT that follows forwarded requests as if it had come first."""
    connection = InboundConnection(reception, source)
    transport.set_protocol(connection)
    connection.connection_made(transport)
    connection.receive_data(data)


class StreamRequest(FlowRequest):
    """A flow asked for on a connection of its own."""

    __slots__ = ("_connection",)

    def __init__(self, connection: InboundConnection, asked: FlowAsked) -> None:
        super().__init__(asked.host, asked.port, asked.kind, connection.source)
        self._connection: InboundConnection = connection

    def accept(
        self, far: LinkableEnd, on_end: OnEnd | None = None, bound: tuple[str, int] | None = None
    ) -> FlowEnd | None:
        """Send the success reply and hand the connection over."""
        return self._connection.accept(far, on_end, bound)

    def refuse(self, reason: Reason, detail: str = "") -> None:
        """Send the refusal and close."""
        self._connection.refuse(reason, detail)


def _replay(end: SocketEnd, data: bytes) -> None:
    view = memoryview(data)
    while view:
        space = end.get_buffer(len(view))
        size = min(len(space), len(view))
        space[:size] = view[:size]
        end.buffer_updated(size)
        view = view[size:]
