"""A tunnel stream as an end of a flow: windows become back-pressure, END_STREAM is FIN, RST_STREAM is RST.

Bytes go straight from the source's read into a frame. Only when nothing may be sent at that very moment does a read
land in `_SPILL` and wait in `_held`: at most one turn a stream, because the source is paused in the same call.
"""

from __future__ import annotations

from tunneld.model.reasons import Reason
from tunneld.net.mux import TURN, Mux
from tunneld.net.relay import NOBODY, FlowEnd
from tunneld.wire.h2.frames import ErrorCode
from tunneld.wire.h2.header_block import Field
from tunneld.wire.h2.stream import Stream

_SPILL = memoryview(bytearray(TURN))


class StreamEnd:
    """One tunnelled flow's stream, on either side of the tunnel."""

    __slots__ = ("_eof_waits", "_held", "_spilling", "_unconsumed", "_waiting", "ended", "far_paused", "mux", "peer",
                 "stream")

    def __init__(self, mux: Mux, stream: Stream, peer: FlowEnd = NOBODY) -> None:
        self.mux = mux
        self.stream = stream
        self.peer = peer
        self.ended = False
        self.far_paused = False  # the peer cannot take bytes: withhold credit
        self._unconsumed = 0
        self._held = bytearray()
        self._spilling = False
        self._waiting = False
        self._eof_waits = False
        stream.owner = self

    @property
    def backlog(self) -> int:
        """Return how many bytes wait here for the far side's credit."""
        return len(self._held)

    # -- what the peer end calls ---------------------------------------------------------------------------------

    def borrow(self) -> memoryview:
        """Lend space behind a frame header, or spill space while nothing may be sent."""
        if not self._held:
            space = self.mux.space(self.stream)
            if space is not None:
                self._spilling = False
                return space
        self._spilling = True
        return _SPILL

    def commit(self, size: int) -> None:
        """Send the borrowed bytes as one frame."""
        if self._spilling:
            self._held += _SPILL[:size]
            self._wait()
            return
        mux = self.mux
        stream = self.stream
        mux.send_packed(stream, size)
        if size >= TURN:
            mux.note_bulk(self)
        if mux.write_paused or stream.send_window <= 0 or mux.codec.send_window <= 0:
            self._wait()

    def write(self, data: memoryview | bytes) -> None:
        """Send bytes that lie elsewhere."""
        if self.ended:
            return
        if self._held:
            self._held += data
            return
        rest = self._send(memoryview(data))
        if rest:
            self._held += rest
            self._wait()

    def write_eof(self) -> None:
        """Send END_STREAM behind whatever is held."""
        if self.ended or self.stream.local_closed:
            return
        if self._held:
            self._eof_waits = True
            return
        self.mux.codec.end_stream(self.stream)
        self.mux.flush_soon()
        self._end_if_closed()

    def reset(self, reason: Reason) -> None:
        """Send RST_STREAM; the far side of the tunnel turns it into RST."""
        if self.ended:
            return
        self._end()
        code = ErrorCode.CANCEL if reason is Reason.CLIENT_RESET else ErrorCode.CONNECT_ERROR
        self.mux.codec.reset(self.stream, code)
        self.mux.flush_soon()

    def pause_reading(self) -> None:
        """Withhold credit: the peer's socket is full."""
        self.far_paused = True

    def resume_reading(self) -> None:
        """Everything reached the peer's socket: credit it."""
        self.far_paused = False
        size, self._unconsumed = self._unconsumed, 0
        if size and not self.ended:
            self.mux.codec.consume(self.stream, size)
            if self.mux.codec.out:
                self.mux.flush_soon()

    def cut(self) -> None:
        """Let go of the peer at once and say nothing: for a flow whose tenant was just switched away from."""
        self._end()

    # -- what the connection calls -------------------------------------------------------------------------------

    def on_response(self, status: int, fields: list[Field], ended: bool) -> None:
        """Only the opening side gets responses; its owner replaces this object's place until then."""

    def on_data(self, data: memoryview) -> None:
        """Write to the peer, and credit at once unless the peer's socket is full."""
        self.peer.write(data)
        if self.far_paused:
            self._unconsumed += len(data)
        elif not self.ended:
            self.mux.codec.consume(self.stream, len(data))

    def on_stream_end(self) -> None:
        """The far side sent FIN."""
        self.peer.write_eof()
        self._end_if_closed()

    def on_reset(self, reason: Reason) -> None:
        """The far side reset, or the connection broke."""
        if self.ended:
            return
        peer = self.peer
        self._end()
        peer.reset(reason)

    def retry(self) -> None:
        """There may be room again: send what is held, then let the source go on."""
        if not self._waiting or self.ended:
            return
        self._waiting = False
        self.mux.waiting.pop(self, None)
        if self._held:
            rest = bytes(self._send(memoryview(bytes(self._held))))
            self._held = bytearray(rest)
            if rest:
                self._wait()
                return
        if self._eof_waits:
            self._eof_waits = False
            self.write_eof()
        else:
            self.peer.resume_reading()

    # -- inside --------------------------------------------------------------------------------------------------

    def _send(self, data: memoryview) -> memoryview:
        """Send as much of `data` as the windows allow and return the rest."""
        while data:
            space = self.mux.space(self.stream)
            if space is None:
                break
            size = min(len(space), len(data))
            space[:size] = data[:size]
            self.mux.send_packed(self.stream, size)
            data = data[size:]
        return data

    def _wait(self) -> None:
        if not self._waiting and not self.ended:
            self._waiting = True
            codec = self.mux.codec
            self.mux.waiting[self] = None
            self.stream.starved = True
            if codec.send_window <= 0:
                codec.blocked = True
            self.peer.pause_reading()

    def _end_if_closed(self) -> None:
        if self.stream.closed:
            self._end()

    def _end(self) -> None:
        self.ended = True
        self.mux.waiting.pop(self, None)
        self._held.clear()
        self.peer = NOBODY
