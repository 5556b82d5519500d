"""Drives one HTTP/2 codec by hand: bytes of a peer in, comparable values out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tunneld.wire.h2 import events, frames
from tunneld.wire.h2.connection import Connection, Limits
from tunneld.wire.h2.frames import Setting, frame
from tunneld.wire.h2.header_block import encode

LIMITS = Limits(stream_window=65_535, connection_window=131_070, buffered=262_144, frame_size=16_384, streams=100)

SETTINGS = frames.settings({})
HELLO = frames.PREFACE + SETTINGS
CONNECT = encode([(b":method", b"CONNECT"), (b":authority", b"files.example:443")])
POST = encode([(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"edge"), (b":path", b"/")])
OK = encode([(b":status", b"200")])


def headers(stream_id: int, block: bytes = CONNECT, *, flags: int = frames.END_HEADERS) -> bytes:
    """Return a HEADERS frame."""
    return frame(frames.HEADERS, flags, stream_id, block)


def data(stream_id: int, payload: bytes = b"", *, end: bool = False, padding: int | None = None) -> bytes:
    """Return a DATA frame."""
    flags = frames.END_STREAM if end else 0
    if padding is not None:
        flags |= frames.PADDED
        payload = bytes((padding,)) + payload + bytes(padding)
    return frame(frames.DATA, flags, stream_id, payload)


class Sent(NamedTuple):
    """One frame that a codec sent."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes


def frames_in(output: bytes) -> Iterator[Sent]:
    """Take a codec's output apart, with or without a preface in front."""
    position = len(frames.PREFACE) if output.startswith(frames.PREFACE) else 0
    while position < len(output):
        high, low, kind, flags, stream_id = frames.unpack_header(output, position)
        position += frames.HEADER_SIZE
        size = high << 16 | low
        assert position + size <= len(output), "an unfinished frame"
        yield Sent(kind, flags, stream_id, output[position : position + size])
        position += size


def described(happened: Iterable[events.Event]) -> list[tuple[Any, ...]]:
    """Return events as plain values, pieces of one stream's data that follow each other joined."""
    found: list[tuple[Any, ...]] = []
    for event in happened:
        values: list[Any] = [type(event).__name__]
        for name in type(event).__slots__:
            value = getattr(event, name)
            values.append(value.id if name == "stream" else bytes(value) if isinstance(value, memoryview) else value)
        if values[0] == "DataReceived":
            _, payload, stream_id = values
            if found and found[-1][0] == "DataReceived" and found[-1][2] == stream_id:
                payload = found.pop()[1] + payload
            values[1] = payload
        found.append(tuple(values))
    return found


class Endpoint:
    """A codec that remembers what it said and sent."""

    def __init__(self, *, client: bool = False, limits: Limits = LIMITS, greeted: bool = True) -> None:
        self.codec = Connection(client=client, limits=limits, now=0.0)
        self.now = 0.0
        self.happened: list[events.Event] = []
        self.greeting = self.codec.data_to_send()
        if greeted:
            assert [name for name, *_ in self.feed(SETTINGS if client else HELLO)] == ["SettingsReceived"]
            assert [sent.kind for sent in self.sent()] == [frames.SETTINGS]

    def feed(self, *pieces: bytes) -> list[tuple[Any, ...]]:
        """Give the codec bytes, piece by piece, and describe what happened."""
        happened: list[tuple[Any, ...]] = []
        for piece in pieces:
            self._receive(memoryview(piece))
            happened += described(self.happened)
        return happened

    def _receive(self, piece: memoryview) -> None:
        """Receive as `net.mux` does: a piece that is one plain DATA frame takes the short way."""
        stream = self.codec.receive_single(piece)
        if stream is not None:
            self.happened = [events.DataReceived(stream, piece[frames.HEADER_SIZE :])]
        else:
            self.codec.receive_data(piece, self.now)
            self.happened = self.codec.events()

    def sent(self) -> list[Sent]:
        """Return the frames that wait to be sent."""
        return list(frames_in(self.codec.data_to_send()))

    def pack(self, stream: Any, payload: bytes) -> bytes:
        """Send `payload` as one DATA frame, as a shell does it."""
        assert len(payload) <= self.codec.sendable(stream)
        buffer = bytearray(frames.HEADER_SIZE) + payload
        self.codec.pack_data(buffer, 0, stream, len(payload))
        return self.codec.data_to_send() + bytes(buffer)


def setting(key: Setting | int, value: int) -> bytes:
    """Return a SETTINGS frame with one entry."""
    return frame(frames.SETTINGS, 0, 0, key.to_bytes(2, "big") + value.to_bytes(4, "big"))
