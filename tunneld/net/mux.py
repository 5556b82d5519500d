"""One HTTP/2 connection on a transport: it drives the codec, coalesces control frames and hands events to owners.

The daemon and the edge differ only in their `MuxOwner`. All callbacks run inside the loop's read event; nothing here
awaits, and nothing is queued but the codec's own control frames, which leave with the next write or at the end of the
loop iteration, whichever is first.
"""

from __future__ import annotations

import asyncio
import mmap
from typing import TYPE_CHECKING, Any, Protocol

from tunneld.model.reasons import Reason
from tunneld.net.attach import abort_with_reset, keeps_no_reference
from tunneld.wire.h2 import events
from tunneld.wire.h2.connection import Connection, Limits
from tunneld.wire.h2.frames import HEADER_SIZE, ErrorCode
from tunneld.wire.h2.header_block import Field
from tunneld.wire.h2.stream import Stream

if TYPE_CHECKING:
    from tunneld.net.stream_end import StreamEnd

FRAME_SIZE = 256 * 1024
# One turn when several streams are busy: HTTP/2's smallest maximum frame, the usual quantum of schedulers.
TURN = 16 * 1024
# Large enough that one full frame does not pause, small enough that a keystroke behind it waits 2 ms at 1 Gbit/s.
WRITE_HIGH = 256 * 1024
# Two streams that both moved a large piece within this time share the connection in turns (seconds).
CONTENTION = 0.02

CLOSE_S = 2.0  # what a peer gets to read our GOAWAY before its place is taken back

# Shared by all connections of the process: a read event is handled to its end before the next one begins.
# They are pages of their own, and a payload to send begins on one: the kernel copies to a page boundary a tenth faster
# than to nine bytes behind one.
_RECEIVE = memoryview(mmap.mmap(-1, FRAME_SIZE + 64 * 1024))
_PAGES = memoryview(mmap.mmap(-1, mmap.PAGESIZE + FRAME_SIZE))
_SEND = _PAGES[mmap.PAGESIZE - HEADER_SIZE :]
SEND_SPACE = _SEND[HEADER_SIZE:]  # of exactly FRAME_SIZE bytes


class StreamOwner(Protocol):
    """What a stream's owner is told."""

    def on_response(self, status: int, fields: list[Field], ended: bool) -> None:
        """The peer answered."""

    def on_data(self, data: memoryview) -> None:
        """Payload arrived; consume it now or later."""

    def on_stream_end(self) -> None:
        """The peer ended its direction."""

    def on_reset(self, reason: Reason) -> None:
        """The stream or its connection broke; nothing more comes."""

    def retry(self) -> None:
        """The stream's window was empty and is not any more."""


class MuxOwner(Protocol):
    """What a connection's owner is told."""

    def on_connected(self, transport: asyncio.BaseTransport) -> None:
        """TLS is up; nothing was read yet."""

    def on_settings(self) -> None:
        """The peer's SETTINGS arrived: HTTP/2 is up."""

    def on_request(self, stream: Stream, fields: list[Field], ended: bool) -> None:
        """The peer opened a stream; set `stream.owner` or reset it."""

    def on_goaway(self, code: int, debug: bytes) -> None:
        """The peer takes no more streams."""

    def on_lost(self, reason: Reason, detail: str) -> None:
        """The connection is over; its streams were told before."""


class Mux(asyncio.BufferedProtocol):
    """An HTTP/2 connection on one transport."""

    def __init__(self, owner: MuxOwner, *, client: bool, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self.owner = owner
        self.loop = loop
        self.codec = Connection(client=client, limits=limits, now=loop.time())
        self.transport: Any = None
        self.write_paused = False
        self.contended_until = 0.0
        self.waiting: dict[StreamEnd, None] = {}  # streams that wait for the connection's window or transport
        self.ping_sent_at: float | None = None
        self.round_trip_s: float | None = None
        self.pong_waiters: list[asyncio.Future[None]] = []
        self._bulk: StreamEnd | None = None
        self._bulk_at = 0.0
        self._flush_scheduled = False
        self._copies = False
        self._lost_reason: Reason | None = None
        self._lost_detail = ""
        self._closing: asyncio.TimerHandle | None = None

    # -- what asyncio calls --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start HTTP/2."""
        self.transport = transport
        self._copies = keeps_no_reference(transport)
        self.transport.set_write_buffer_limits(high=WRITE_HIGH)
        self.owner.on_connected(transport)
        self.flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the shared receive buffer."""
        return _RECEIVE

    def buffer_updated(self, nbytes: int) -> None:
        """Decode and dispatch what arrived, then send what that produced."""
        codec = self.codec
        data = _RECEIVE[:nbytes]
        stream = codec.receive_single(data)
        if stream is not None:
            stream.owner.on_data(data[HEADER_SIZE:])
        else:
            codec.receive_data(data, self.loop.time())
            for event in codec.events():
                if type(event) is events.DataReceived:
                    event.stream.owner.on_data(event.data)
                else:
                    self._dispatch(event)
        if codec.out and not self._flush_scheduled:
            self.flush()

    def eof_received(self) -> bool:
        """TLS cannot half-close here: an end of the byte stream ends everything."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every stream, then the owner."""
        if self._closing is not None:
            self._closing.cancel()
        reason = self._lost_reason or Reason.EDGE_LOST
        self.codec.receive_eof()
        for event in self.codec.events():
            if isinstance(event, events.StreamReset) and event.stream.owner is not None:
                event.stream.owner.on_reset(reason)
        self.waiting.clear()
        self.owner.on_lost(reason, self._lost_detail or (type(exc).__name__ if exc else ""))

    def pause_writing(self) -> None:
        """The transport holds enough: streams find out at their next write."""
        self.write_paused = True

    def resume_writing(self) -> None:
        """The transport drained."""
        self.write_paused = False
        self.wake_waiting()

    # -- sending -------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write the codec's queued frames now."""
        self._flush_scheduled = False
        out = self.codec.data_to_send()
        if out and self.transport is not None and not self.transport.is_closing():
            self.transport.write(out)

    def flush_soon(self) -> None:
        """Write the queued frames at the end of this loop iteration, unless a DATA frame takes them along."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self.loop.call_soon(self.flush)

    def send_packed(self, stream: Stream, size: int) -> None:
        """Send `size` bytes that already lie in SEND_SPACE as one DATA frame of `stream`."""
        codec = self.codec
        if codec.out:
            self.transport.write(codec.data_to_send())
        codec.pack_data(_SEND, 0, stream, size)
        view = _SEND[: size + HEADER_SIZE]
        self.transport.write(view if self._copies else bytes(view))

    def space(self, stream: Stream) -> memoryview | None:
        """Return room for one frame of `stream` behind its header; None while anything holds it back."""
        if self.write_paused:
            return None
        codec = self.codec
        size = stream.send_window
        if codec.send_window < size:
            size = codec.send_window
        if codec.peer_frame_size < size:
            size = codec.peer_frame_size
        if size > TURN and self.contended_until and self._in_turns():
            size = TURN
        if size >= FRAME_SIZE:
            return SEND_SPACE
        return SEND_SPACE[:size] if size > 0 else None

    def note_bulk(self, end: StreamEnd) -> None:
        """Learn whether several streams are busy, from who moved the last large piece."""
        now = self.loop.time()
        if self._bulk is not end:
            if now - self._bulk_at < CONTENTION:
                self.contended_until = now + CONTENTION * 2
            self._bulk = end
        self._bulk_at = now

    def _in_turns(self) -> bool:
        if self.loop.time() < self.contended_until:
            return True
        self.contended_until = 0.0
        return False

    def wake_waiting(self) -> None:
        """Let every waiting stream try again, the longest waiting first."""
        for end in list(self.waiting):
            if self.write_paused:
                return
            end.retry()

    # -- lifetime ------------------------------------------------------------------------------------------------

    def ping(self) -> None:
        """Send a liveness probe unless one is under way."""
        if self.ping_sent_at is None:
            self.ping_sent_at = self.loop.time()
            self.codec.ping(b"tunneld\0")
            self.flush()

    def fail(self, reason: Reason, detail: str = "") -> None:
        """Break the connection at once: its peer sees a reset."""
        if self._lost_reason is None:
            self._lost_reason = reason
            self._lost_detail = detail
        if self.transport is not None:
            abort_with_reset(self.transport)

    def close(self, reason: Reason, code: ErrorCode = ErrorCode.NO_ERROR) -> None:
        """Say GOAWAY and close after what is queued went out."""
        if self._lost_reason is None:
            self._lost_reason = reason
        if self.codec.failed is None:
            self.codec.goaway(code)
        self.flush()
        if self.transport is not None:
            self.transport.close()
            self._closing = self.loop.call_later(CLOSE_S, abort_with_reset, self.transport)

    def _pong(self) -> None:
        waiters, self.pong_waiters = self.pong_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _dispatch(self, event: events.Event) -> None:
        match event:
            case events.ResponseReceived():
                event.stream.owner.on_response(event.status, event.fields, event.ended)
            case events.RequestReceived():
                self.owner.on_request(event.stream, event.fields, event.ended)
            case events.StreamEnded():
                event.stream.owner.on_stream_end()
            case events.StreamReset():
                if event.stream.owner is not None:
                    event.stream.owner.on_reset(_reset_reason(event))
            case events.StreamWritable():
                event.stream.owner.retry()
            case events.ConnectionWritable():
                self.wake_waiting()
            case events.PingAcknowledged():
                if self.ping_sent_at is not None:
                    self.round_trip_s = self.loop.time() - self.ping_sent_at
                    self.ping_sent_at = None
                    self._pong()
            case events.SettingsReceived():
                self.owner.on_settings()
            case events.GoAwayReceived():
                self.owner.on_goaway(event.code, event.debug)
            case events.ConnectionFailed():
                calm = event.code is ErrorCode.ENHANCE_YOUR_CALM
                self._lost_detail = event.detail
                self.close(Reason.FLOOD if calm else Reason.MALFORMED_REQUEST)


# What a peer's RST_STREAM code says (RFC 9113 §7); §8.5 makes CONNECT_ERROR the broken far connection.
_RESET_REASONS: dict[int, Reason] = {
    ErrorCode.CONNECT_ERROR: Reason.ORIGIN_RESET,
    ErrorCode.CANCEL: Reason.CLIENT_RESET,
    ErrorCode.REFUSED_STREAM: Reason.EDGE_DRAINING,
    ErrorCode.ENHANCE_YOUR_CALM: Reason.FLOOD,
    ErrorCode.FLOW_CONTROL_ERROR: Reason.FLOW_CONTROL,
}


def _reset_reason(event: events.StreamReset) -> Reason:
    if event.by_us:
        return Reason.MALFORMED_REQUEST
    return _RESET_REASONS.get(event.code, Reason.ORIGIN_RESET)
