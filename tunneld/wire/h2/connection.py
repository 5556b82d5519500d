"""An HTTP/2 connection as a state machine: bytes in, events out, bytes out. No socket, no clock.

Receiving: `receive_data(view, now)`, then `events()`; DATA events point into `view`.
Sending: `open_stream`, `send_headers`, `end_stream`, `reset` queue small frames that `data_to_send()` returns; DATA is
packed in place by `pack_data` around bytes that the caller holds, after asking `sendable(stream)`. Whatever
`data_to_send()` holds must go out before a packed DATA frame.
"""

from __future__ import annotations

from dataclasses import dataclass

from tunneld.model.errors import LocalProtocolError
from tunneld.wire.h2 import frames
from tunneld.wire.h2.budget import Budgets
from tunneld.wire.h2.events import ConnectionFailed, DataReceived, Event, StreamEnded, StreamReset
from tunneld.wire.h2.frames import ErrorCode, Setting
from tunneld.wire.h2.header_block import MAX_HEADER_LIST, BlockDecoder
from tunneld.wire.h2.reader import FrameReader
from tunneld.wire.h2.stream import Stream


@dataclass(frozen=True, slots=True)
class Limits:
    """What we allow the peer. Sizes in bytes."""

    stream_window: int = 1024 * 1024  # 256 KiB to 1 MiB: one bandwidth-delay product of 1 Gbit/s at 8 ms
    connection_window: int = 16 * 1024 * 1024
    # Credit for the connection is given on receipt, so that one stalled stream never slows another; above this many
    # bytes not yet written on, it is withheld. Envoy's overload manager stops reading on the same idea.
    buffered: int = 64 * 1024 * 1024
    frame_size: int = 256 * 1024  # large frames: Python's cost is per call, not per byte
    streams: int = 1001  # 1,000 flows and the control stream


class Connection:
    """One end of an HTTP/2 connection."""

    def __init__(self, *, client: bool, limits: Limits, now: float) -> None:
        self.client = client
        self.limits = limits
        self.budgets = Budgets(now)
        self.now = now
        self.failed: ConnectionFailed | None = None
        self.streams: dict[int, Stream] = {}
        self.send_window = frames.DEFAULT_WINDOW
        self.peer_initial_window = frames.DEFAULT_WINDOW
        self.peer_frame_size = frames.MIN_FRAME_SIZE
        self.peer_streams = frames.MAX_STREAM_ID  # until its SETTINGS say less
        self.peer_goaway: int | None = None
        self.goaway_sent: int | None = None
        self.highest_remote = 0
        self.settings_seen = False
        self.blocked = False  # somebody found the connection's send window empty
        self.decoder = BlockDecoder()
        self.header_block: bytearray | None = None  # a block whose CONTINUATION is awaited
        self.header_stream = 0
        self.header_flags = 0
        self.out: list[bytes] = []
        self.pending: list[Event] = []
        self.owed = 0  # bytes received on streams and not yet consumed
        self.credited = frames.DEFAULT_WINDOW  # bytes that the peer ever let us send
        self.sent_before = 0  # of which were sent at its last WINDOW_UPDATE
        self._connection_credit = 0
        self._receive_window = frames.DEFAULT_WINDOW
        self._next_id = 1 if client else 2
        self._own_open = 0
        self._remote_open = 0
        self._payload_stream: Stream | None = None
        self._payload_ends = False
        self._reader = FrameReader(self)
        self._stream_threshold = limits.stream_window // 2
        self._connection_threshold = limits.connection_window // 4
        self._start()

    def _start(self) -> None:
        limits = self.limits
        values = {
            Setting.ENABLE_PUSH: 0,
            Setting.MAX_CONCURRENT_STREAMS: limits.streams,
            Setting.INITIAL_WINDOW_SIZE: limits.stream_window,
            Setting.MAX_FRAME_SIZE: limits.frame_size,
            Setting.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST,
        }
        if not self.client:
            del values[Setting.ENABLE_PUSH]  # §6.5.2: a server does not send it
        if self.client:
            self.out.append(frames.PREFACE)
        self.out.append(frames.settings(values))
        more = limits.connection_window - frames.DEFAULT_WINDOW
        if more > 0:
            self.out.append(frames.window_update(0, more))
            self._receive_window = limits.connection_window

    # -- receiving -----------------------------------------------------------------------------------------------

    def receive_data(self, data: memoryview, now: float) -> None:
        """Take bytes from the peer at time `now` (seconds, monotonic)."""
        self.now = now
        self._reader.receive(data)

    def receive_eof(self) -> None:
        """The peer closed its side of the byte stream: every open stream broke."""
        for stream in list(self.streams.values()):
            self.pending.append(StreamReset(stream, ErrorCode.CONNECT_ERROR, by_us=False))
            self.forget(stream)

    def events(self) -> list[Event]:
        """Return what happened since the last call."""
        pending = self.pending
        self.pending = []
        return pending

    def data_to_send(self) -> bytes:
        """Return the queued frames."""
        out = self.out
        if not out:
            return b""
        self.out = []
        return out[0] if len(out) == 1 else b"".join(out)

    def receive_single(self, data: memoryview) -> Stream | None:
        """Take `data` if it is exactly one plain DATA frame; its payload begins behind the header.

        None leaves everything to `receive_data`. This is what a keystroke looks like, so it costs one call and no
        event.
        """
        reader = self._reader
        size = len(data) - frames.HEADER_SIZE
        if size <= 0 or reader.payload_left or reader.partial or reader.preface or self.failed is not None:
            return None
        high, low, kind, flags, stream_id = frames.unpack_header(data)
        if kind or flags or size != high << 16 | low:
            return None
        return self._account_whole(stream_id & frames.MAX_STREAM_ID, size)

    def receive_whole(self, stream_id: int, flags: int, payload: memoryview) -> bool:
        """Take a complete DATA frame if there is nothing special about it; False leaves it to the general way."""
        stream = None if flags else self._account_whole(stream_id, len(payload))
        if stream is None:
            return False
        self.pending.append(DataReceived(stream, payload))
        return True

    def _account_whole(self, stream_id: int, size: int) -> Stream | None:
        stream = self.streams.get(stream_id)
        if (
            stream is None
            or not 0 < size <= stream.receive_window
            or size > self._receive_window
            or size > self.limits.frame_size
            or stream.remote_closed
            or not stream.expects_data
            or self.header_block is not None
        ):
            return None
        stream.receive_window -= size
        self._receive_window -= size
        stream.owed += size
        self.owed += size
        self._connection_credit += size
        if self._connection_credit >= self._connection_threshold:
            self._credit_connection()
        return stream

    def begin_data(self, stream_id: int, length: int, flags: int) -> None:
        """Account for a DATA frame whose payload follows."""
        self._payload_stream = stream = self.streams.get(stream_id)
        self._payload_ends = bool(flags & frames.END_STREAM)
        if length > self._receive_window:
            self.fail(ErrorCode.FLOW_CONTROL_ERROR, "connection window exceeded")
            return
        self._receive_window -= length
        if stream is None:
            self._payload_ends = False
            self.stray(stream_id)
            return
        if stream.remote_closed:
            self.stream_error(stream, ErrorCode.STREAM_CLOSED)
        elif not stream.expects_data:
            self.stream_error(stream, ErrorCode.PROTOCOL_ERROR)  # §8.1: content before the response's header
        elif length > stream.receive_window:
            self.stream_error(stream, ErrorCode.FLOW_CONTROL_ERROR)
        else:
            stream.receive_window -= length
            if not length:
                self._receive_empty(stream)
            return
        self._payload_stream = None
        self._payload_ends = False

    def _receive_empty(self, stream: Stream) -> None:
        if self._payload_ends:
            self._remote_end(stream)
        elif not self.budgets.empty.spend(self.now):
            self.calm(self.budgets.empty.name)

    def receive_payload(self, data: memoryview, *, last: bool) -> None:
        """Take a piece of the current DATA frame's payload; `last` completes the frame."""
        size = len(data)
        stream = self._payload_stream
        live = stream is not None and stream.id in self.streams  # we may have reset it since the frame began
        if stream is not None and live:
            stream.owed += size
            self.owed += size
            self.pending.append(DataReceived(stream, data))
        self._connection_credit += size
        if not last:
            return
        self._credit_connection()  # at the end of a frame, so that it does not matter how the bytes were cut
        if stream is not None and live and self._payload_ends:
            self._remote_end(stream)

    def receive_padded(self, stream_id: int, flags: int, payload: bytes) -> None:
        """Take a whole padded DATA frame (§6.1)."""
        if not payload or payload[0] >= len(payload):
            self.fail(ErrorCode.PROTOCOL_ERROR, "padding exceeds the frame")
            return
        body = memoryview(payload)[1 : len(payload) - payload[0]]
        self.begin_data(stream_id, len(payload), flags)
        stream = self._payload_stream
        if self.failed is not None:
            return
        self._connection_credit += len(payload) - len(body)
        if stream is not None:
            stream.credit += len(payload) - len(body)  # padding is consumed at once
        if not body and not self._payload_ends and not self.budgets.empty.spend(self.now):
            self.calm(self.budgets.empty.name)
            return
        self.receive_payload(body, last=True)

    def _remote_end(self, stream: Stream) -> None:
        stream.remote_closed = True
        self._payload_stream = None
        self.pending.append(StreamEnded(stream))
        if stream.local_closed:
            self.forget(stream)

    # -- credit --------------------------------------------------------------------------------------------------

    def consume(self, stream: Stream, size: int) -> None:
        """Say that `size` bytes of `stream` are written on; credit follows in batches of half a window."""
        if stream.owed < size:
            return  # forgotten since its bytes arrived, and settled then
        stream.owed -= size
        self.owed -= size
        stream.credit += size
        if stream.credit >= self._stream_threshold and not stream.remote_closed:
            self.out.append(frames.window_update(stream.id, stream.credit))
            stream.receive_window += stream.credit
            stream.credit = 0
        if self._connection_credit >= self._connection_threshold:
            self._credit_connection()

    def _credit_connection(self) -> None:
        if self._connection_credit >= self._connection_threshold and self.owed <= self.limits.buffered:
            self.out.append(frames.window_update(0, self._connection_credit))
            self._receive_window += self._connection_credit
            self._connection_credit = 0

    # -- sending -------------------------------------------------------------------------------------------------

    def may_open(self) -> bool:
        """Say whether the peer takes one more stream from us."""
        return (
            self.failed is None
            and self.peer_goaway is None
            and self._own_open < self.peer_streams
            and self._next_id <= frames.MAX_STREAM_ID
        )

    def open_stream(self, block: bytes, *, end_stream: bool = False) -> Stream:
        """Send a request's header block on a new stream. Ask `may_open` first."""
        if not self.may_open():
            raise LocalProtocolError("the peer takes no more streams")
        stream = Stream(self._next_id, self.peer_initial_window, self.limits.stream_window)
        stream.expects_data = False  # not before its response
        self._next_id += 2
        self._own_open += 1
        self.streams[stream.id] = stream
        self.send_headers(stream, block, end_stream=end_stream)
        return stream

    def send_headers(self, stream: Stream, block: bytes, *, end_stream: bool = False) -> None:
        """Send a header block: a request's, or as a server the response's."""
        flags = frames.END_STREAM if end_stream else 0
        size = self.peer_frame_size
        first, rest = block[:size], block[size:]
        self.out.append(frames.frame(frames.HEADERS, flags | (0 if rest else frames.END_HEADERS), stream.id, first))
        while rest:
            first, rest = rest[:size], rest[size:]
            self.out.append(frames.frame(frames.CONTINUATION, 0 if rest else frames.END_HEADERS, stream.id, first))
        if not self.client:
            stream.answered = True
        if end_stream:
            self._local_end(stream)

    def sendable(self, stream: Stream) -> int:
        """Return how many bytes one DATA frame on `stream` may carry now."""
        size = stream.send_window
        if self.send_window < size:
            size = self.send_window
        return size if size < self.peer_frame_size else self.peer_frame_size

    def pack_data(self, buffer: bytearray | memoryview, offset: int, stream: Stream, size: int) -> None:
        """Write the header of a DATA frame of `size` payload bytes into `buffer` at `offset` and spend the window."""
        frames.pack_header_into(buffer, offset, size >> 16, size & 0xFFFF, frames.DATA, 0, stream.id)
        stream.send_window -= size
        self.send_window -= size

    def end_stream(self, stream: Stream) -> None:
        """Send END_STREAM: our direction's FIN."""
        self.out.append(frames.frame(frames.DATA, frames.END_STREAM, stream.id))
        self._local_end(stream)

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """Send RST_STREAM and forget the stream."""
        if stream.id not in self.streams:
            return
        self.out.append(frames.rst_stream(stream.id, code))
        self.forget(stream)

    def ping(self, opaque: bytes) -> None:
        """Send PING with eight opaque bytes."""
        self.out.append(frames.frame(frames.PING, 0, 0, opaque))

    def goaway(self, code: ErrorCode, *, last_stream_id: int | None = None, debug: bytes = b"") -> None:
        """Send GOAWAY. A graceful drain sends it first with the largest id, then with the last one (§6.8)."""
        last = self.highest_remote if last_stream_id is None else last_stream_id
        self.goaway_sent = last
        self.out.append(frames.goaway(last, code, debug))

    def _local_end(self, stream: Stream) -> None:
        stream.local_closed = True
        if stream.remote_closed:
            self.forget(stream)

    # -- bookkeeping shared with control.py ----------------------------------------------------------------------

    def accept_stream(self, stream_id: int) -> Stream | None:
        """Open the peer's stream `stream_id`, or refuse it for want of room."""
        self.highest_remote = stream_id
        stream = Stream(stream_id, self.peer_initial_window, self.limits.stream_window)
        if self.goaway_sent is not None and stream_id > self.goaway_sent:
            return None  # §6.8: the peer knows that it was not processed
        if self._remote_open >= self.limits.streams:
            self.out.append(frames.rst_stream(stream_id, ErrorCode.REFUSED_STREAM))
            if not self.budgets.premature.spend(self.now):  # an answer to each would be Rapid Reset by our own hand
                self.calm("streams above the limit")
            return None
        self._remote_open += 1
        self.streams[stream_id] = stream
        return stream

    def forget(self, stream: Stream) -> None:
        """Drop a stream that is over."""
        if self.streams.pop(stream.id, None) is None:
            return
        self.owed -= stream.owed
        stream.owed = 0
        if self.is_own(stream.id):
            self._own_open -= 1
        else:
            self._remote_open -= 1

    def is_own(self, stream_id: int) -> bool:
        """Say whether an id is one that we open: odd for a client (§5.1.1)."""
        return bool(stream_id & 1) == self.client

    def is_idle(self, stream_id: int) -> bool:
        """Say whether no stream of this id was ever opened."""
        return stream_id >= self._next_id if self.is_own(stream_id) else stream_id > self.highest_remote

    def stray(self, stream_id: int) -> None:
        """A frame came for a stream that is not open."""
        if stream_id == 0 or self.is_idle(stream_id):
            self.fail(ErrorCode.PROTOCOL_ERROR, "frame on an idle stream")
        elif not self.budgets.stray.spend(self.now):
            self.calm(self.budgets.stray.name)

    def stream_error(self, stream: Stream, code: ErrorCode) -> None:
        """The peer broke a rule of one stream: reset it, and count, because that too can be an attack."""
        self.pending.append(StreamReset(stream, code, by_us=True))
        self.reset(stream, code)
        if not self.budgets.errors.spend(self.now):
            self.calm(self.budgets.errors.name)

    def calm(self, what: str) -> None:
        """A budget is overdrawn."""
        self.fail(ErrorCode.ENHANCE_YOUR_CALM, what)

    def fail(self, code: ErrorCode, detail: str) -> None:
        """Break the connection: GOAWAY goes out, nothing more is read."""
        if self.failed is None:
            self.failed = ConnectionFailed(code, detail)
            self.goaway(code, debug=detail.encode()[:128])
            self.pending.append(self.failed)
