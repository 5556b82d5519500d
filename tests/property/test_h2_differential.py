"""Our HTTP/2 codec against the h2 library, in both roles: whatever one end does, both ends agree on what happened.

A run is a list of random operations and deliveries of random pieces. When everything has been delivered and every
byte acknowledged, bytes, ends and resets are compared, and so are all four windows as each end counts them.
"""

from __future__ import annotations

import hashlib
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.h2_wire import CONNECT
from tunneld.wire.h2 import events, frames
from tunneld.wire.h2.connection import Connection, Limits
from tunneld.wire.h2.frames import ErrorCode
from tunneld.wire.h2.header_block import STATUS_200

LIMITS = Limits(stream_window=100_000, connection_window=200_000, buffered=1_000_000, frame_size=20_000, streams=20)
REQUEST = [(":method", "CONNECT"), (":authority", "files.example:443")]
PATTERN = bytes(range(256)) * 100


class Log:
    """What one end knows about one stream."""

    def __init__(self) -> None:
        self.sent = 0
        self.received = 0
        self.digest = hashlib.sha256()
        self.unread = 0
        self.said_end = self.heard_end = False
        self.said_reset = self.heard_reset = False

    @property
    def broken(self) -> bool:
        return self.said_reset or self.heard_reset

    @property
    def over(self) -> bool:
        return self.broken or (self.said_end and self.heard_end)

    def take(self, data: bytes) -> None:
        self.received += len(data)
        self.unread += len(data)
        self.digest.update(data)

    def next_bytes(self, size: int) -> bytes:
        start = self.sent % 256
        self.sent += size
        return PATTERN[start : start + size]


def expected_digest(size: int) -> bytes:
    """Return the digest of the first `size` bytes that a stream carries."""
    return hashlib.sha256((PATTERN * (size // len(PATTERN) + 1))[:size]).digest()


class Ours:
    """Our codec, behind the few verbs that a run needs."""

    def __init__(self, *, client: bool) -> None:
        self.codec = Connection(client=client, limits=LIMITS, now=0.0)
        self.logs: dict[int, Log] = {}
        self.out = b""
        self.pings = 0

    def feed(self, data: bytes) -> None:
        self.codec.receive_data(memoryview(data), 0.0)
        for event in self.codec.events():
            match event:
                case events.RequestReceived():
                    self.logs[event.stream.id] = Log()
                case events.DataReceived():
                    self.logs[event.stream.id].take(bytes(event.data))
                case events.StreamEnded():
                    self.logs[event.stream.id].heard_end = True
                case events.StreamReset():
                    assert not event.by_us, "we called the library's bytes wrong"
                    self.logs[event.stream.id].heard_reset = True
                case events.PingAcknowledged():
                    self.pings -= 1
                case events.ConnectionFailed():
                    raise AssertionError(event.detail)
        self.flush()

    def flush(self) -> None:
        self.out += self.codec.data_to_send()

    def open(self) -> None:
        if self.codec.may_open():
            self.logs[self.codec.open_stream(CONNECT).id] = Log()
        self.flush()

    def answer(self, stream_id: int) -> None:
        stream = self.codec.streams.get(stream_id)
        if stream is not None and not stream.answered:
            self.codec.send_headers(stream, STATUS_200)
            self.flush()

    def may_send(self, stream_id: int) -> bool:
        stream = self.codec.streams.get(stream_id)
        return stream is not None and not stream.local_closed and (self.codec.client or stream.answered)

    def send(self, stream_id: int, size: int) -> None:
        stream = self.codec.streams[stream_id]
        size = min(size, self.codec.sendable(stream))
        if size > 0:
            frame = bytearray(frames.HEADER_SIZE) + self.logs[stream_id].next_bytes(size)
            self.codec.pack_data(frame, 0, stream, size)
            self.out += bytes(frame)

    def end(self, stream_id: int) -> None:
        self.logs[stream_id].said_end = True
        self.codec.end_stream(self.codec.streams[stream_id])
        self.flush()

    def reset(self, stream_id: int) -> None:
        stream = self.codec.streams.get(stream_id)
        if stream is not None:
            self.logs[stream_id].said_reset = True
            self.codec.reset(stream, ErrorCode.CANCEL)
            self.flush()

    def read(self, stream_id: int, size: int) -> None:
        log = self.logs[stream_id]
        size = min(size, log.unread)
        log.unread -= size
        stream = self.codec.streams.get(stream_id)
        if stream is not None:
            self.codec.consume(stream, size)
            self.flush()

    def ping(self) -> None:
        self.pings += 1
        self.codec.ping(b"12345678")
        self.flush()

    def windows(self) -> tuple[Any, ...]:
        """Return what we may send and what we may be sent, for the connection and for each stream."""
        codec = self.codec
        streams = {i: (s.send_window, s.receive_window) for i, s in codec.streams.items()}
        return codec.send_window, codec._receive_window, streams


class Theirs:
    """The h2 library behind the same verbs."""

    def __init__(self, *, client: bool) -> None:
        self.client = client
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=client, validate_outbound_headers=False, validate_inbound_headers=False,
        ))
        self.logs: dict[int, Log] = {}
        self.answered: set[int] = set()
        self.window = frames.DEFAULT_WINDOW
        self.pings = 0
        self.out = b""
        self.h2.initiate_connection()
        self.flush()

    def feed(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            match event:
                case h2.events.RequestReceived():
                    self.logs[event.stream_id] = Log()
                case h2.events.DataReceived():
                    assert event.flow_controlled_length == len(event.data)
                    self.logs[event.stream_id].take(event.data)
                case h2.events.StreamEnded():
                    self.logs[event.stream_id].heard_end = True
                case h2.events.StreamReset():
                    assert event.remote_reset, "the library called our bytes wrong"
                    self.logs[event.stream_id].heard_reset = True
                case h2.events.PingAckReceived():
                    self.pings -= 1
        self.flush()

    def flush(self) -> None:
        self.out += self.h2.data_to_send()

    def open(self) -> None:
        if self.h2.open_outbound_streams < self.h2.remote_settings.max_concurrent_streams:
            stream_id = self.h2.get_next_available_stream_id()
            self.logs[stream_id] = Log()
            self.answered.add(stream_id)
            self.h2.send_headers(stream_id, REQUEST)
        self.flush()

    def answer(self, stream_id: int) -> None:
        if stream_id not in self.answered and not self.logs[stream_id].over:
            self.answered.add(stream_id)
            self.h2.send_headers(stream_id, [(":status", "200")])
            self.flush()

    def may_send(self, stream_id: int) -> bool:
        log = self.logs[stream_id]
        return stream_id in self.answered and not log.broken and not log.said_end

    def send(self, stream_id: int, size: int) -> None:
        size = min(size, self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size)
        if size > 0:
            self.h2.send_data(stream_id, self.logs[stream_id].next_bytes(size))
            self.flush()

    def end(self, stream_id: int) -> None:
        self.logs[stream_id].said_end = True
        self.h2.end_stream(stream_id)
        self.flush()

    def reset(self, stream_id: int) -> None:
        log = self.logs[stream_id]
        if not log.over:
            log.said_reset = True
            self.h2.reset_stream(stream_id)
            self.flush()

    def read(self, stream_id: int, size: int) -> None:
        log = self.logs[stream_id]
        size = min(size, log.unread)
        if size:
            log.unread -= size
            self.h2.acknowledge_received_data(size, stream_id)
            self.flush()

    def ping(self) -> None:
        self.pings += 1
        self.h2.ping(b"abcdefgh")
        self.flush()

    def resize(self, more: int) -> None:
        # The library takes an empty DATA frame in a negative window for a fault (h2 4.4.1), which RFC 9113 §6.9.1
        # allows; so its windows only grow here. Unit tests of ours shrink them.
        self.window += more
        self.h2.update_settings({
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: self.window,
            h2.settings.SettingCodes.MAX_FRAME_SIZE: 16_384 + more % 5000,
        })
        self.flush()

    def widen(self, stream_id: int, size: int) -> None:
        if size and not self.logs[stream_id].over:
            self.h2.increment_flow_control_window(size, stream_id)
            self.h2.increment_flow_control_window(size)
            self.flush()

    def windows(self) -> tuple[Any, ...]:
        """Return the same as `Ours.windows`, seen from here: what they may be sent comes first."""
        streams = {
            i: (s._inbound_window_manager.current_window_size, s.outbound_flow_control_window)
            for i, s in self.h2.streams.items()
            if s.open
        }
        here = self.h2._inbound_flow_control_window_manager.current_window_size
        return here, self.h2.outbound_flow_control_window, streams


class Run:
    """The two ends and the bytes between them."""

    def __init__(self, *, we_are_client: bool) -> None:
        self.ours = Ours(client=we_are_client)
        self.theirs = Theirs(client=not we_are_client)
        self.client: Any = self.ours if we_are_client else self.theirs
        self.server: Any = self.theirs if we_are_client else self.ours
        self.ours.flush()
        self.settle()

    def deliver(self, source: Any, target: Any, size: int) -> None:
        piece, source.out = source.out[:size], source.out[size:]
        if piece:
            target.feed(piece)

    def settle(self) -> None:
        """Deliver until nothing moves."""
        while self.ours.out or self.theirs.out:
            self.deliver(self.ours, self.theirs, 1 << 30)
            self.deliver(self.theirs, self.ours, 1 << 30)

    def act(self, verb: str, number: int, size: int, by_client: bool) -> None:
        end = self.client if by_client else self.server
        ids = sorted(end.logs)
        if verb == "deliver":
            self.deliver(end, self.server if by_client else self.client, size)
        elif verb == "open":
            self.client.open()
        elif verb == "ping":
            end.ping()
        elif verb == "resize":
            self.theirs.resize(size)
        elif ids:
            self._on_stream(end, verb, ids[number % len(ids)], size)

    def _on_stream(self, end: Any, verb: str, stream_id: int, size: int) -> None:
        if verb == "answer":
            self.server.answer(stream_id) if stream_id in self.server.logs else None
        elif verb == "widen":
            self.theirs.widen(stream_id, size) if stream_id in self.theirs.logs else None
        elif verb in ("send", "end"):
            if end.may_send(stream_id):
                end.send(stream_id, size) if verb == "send" else end.end(stream_id)
        else:
            getattr(end, verb)(*((stream_id, size) if verb == "read" else (stream_id,)))

    def finish(self) -> None:
        """Deliver and read everything."""
        self.settle()
        while any(log.unread for end in (self.ours, self.theirs) for log in end.logs.values()):
            for end in (self.ours, self.theirs):
                for stream_id in end.logs:
                    end.read(stream_id, 1 << 30)
            self.settle()


VERBS = st.sampled_from(["open", "answer", "answer", *["send"] * 5, "end", "reset", *["read"] * 3, "ping", "widen",
                         "resize", *["deliver"] * 6])  # fmt: skip
OPERATIONS = st.lists(
    st.tuples(VERBS, st.integers(0, 5), st.one_of(st.integers(0, 300), st.integers(0, 20_000)), st.booleans()),
    max_size=80,
)


@settings(max_examples=300)
@given(OPERATIONS, st.booleans())
def test_both_ends_agree(operations: list[tuple[str, int, int, bool]], we_are_client: bool) -> None:
    """Bytes, ends, resets, answers to pings, and at rest the windows."""
    run = Run(we_are_client=we_are_client)
    run.client.open()
    for operation in operations:
        run.act(*operation)
    run.finish()
    assert run.ours.logs.keys() == run.theirs.logs.keys()
    assert run.ours.pings == run.theirs.pings == 0
    for stream_id, ours in run.ours.logs.items():
        theirs = run.theirs.logs[stream_id]
        for here, there in ((ours, theirs), (theirs, ours)):
            assert there.digest.digest() == expected_digest(there.received)
            if here.said_reset:
                assert there.heard_reset or there.said_reset or (there.said_end and there.heard_end)
                assert there.received <= here.sent
            elif not there.said_reset:
                assert there.received == here.sent
                assert there.heard_end == here.said_end
    compare_windows(run)


def compare_windows(run: Run) -> None:
    """Streams that either end still knows have the same windows at both; so has the connection."""
    sending, receiving, streams = run.ours.windows()
    their_receiving, their_sending, their_streams = run.theirs.windows()
    assert sending == their_receiving
    assert receiving == their_sending
    assert streams == their_streams
    assert run.ours.codec.owed == sum(stream.owed for stream in run.ours.codec.streams.values()) == 0


@settings(max_examples=30)
@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=40), st.booleans(), st.integers(1, 70_000))
def test_bulk_never_stalls(sizes: list[int], we_are_client: bool, piece: int) -> None:
    """However the sizes fall, a reader that reads everything gets everything, in both directions."""
    run = Run(we_are_client=we_are_client)
    run.client.open()
    run.settle()
    run.server.answer(1)
    run.settle()
    for sender, receiver in ((run.ours, run.theirs), (run.theirs, run.ours)):
        total = 0
        for size in sizes * 8:
            before = sender.logs[1].sent
            sender.send(1, size)
            total += sender.logs[1].sent - before
            while sender.out:
                run.deliver(sender, receiver, piece)
            receiver.read(1, 1 << 30)
            run.settle()
            assert sender.logs[1].sent > before
        assert receiver.logs[1].received == total
        assert receiver.logs[1].digest.digest() == expected_digest(total)
    compare_windows(run)
