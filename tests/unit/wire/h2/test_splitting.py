"""However a byte stream is chopped, the codec says and sends the same: whole, byte by byte, and cut anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.h2_wire import CONNECT, HELLO, OK, POST, SETTINGS, Endpoint, data, headers, setting
from tests.unit.wire.cuts import pieces
from tunneld.wire.h2 import frames
from tunneld.wire.h2.frames import ErrorCode, Setting, frame, goaway, rst_stream, window_update
from tunneld.wire.h2.header_block import encode

END = frames.END_STREAM | frames.END_HEADERS
STREAMS = st.integers(0, 4).map(lambda number: 2 * number + 1)
PAYLOADS = st.one_of(st.binary(max_size=30), st.integers(1, 16_384).map(bytes))
INCREMENTS = st.sampled_from([0, 1, 1000, 2**31 - 1])

# Frames of which any sequence makes sense often enough, and breaks a rule often enough.
FRAMES = st.one_of(
    STREAMS.map(headers),
    STREAMS.map(lambda i: headers(i, POST, flags=END)),
    STREAMS.map(lambda i: headers(i, CONNECT[:7], flags=0) + frame(frames.CONTINUATION, 4, i, CONNECT[7:])),
    STREAMS.map(lambda i: headers(i, OK)),
    STREAMS.map(lambda i: headers(i, encode([(b":status", b"103")]))),
    STREAMS.map(lambda i: headers(i, b"\2" + bytes(5) + CONNECT + b"\0\0", flags=4 | 8 | 0x20)),
    st.builds(data, STREAMS, PAYLOADS, end=st.booleans()),
    st.builds(data, STREAMS, st.binary(max_size=9), end=st.booleans(), padding=st.integers(0, 9)),
    st.builds(rst_stream, STREAMS, st.just(int(ErrorCode.CANCEL))),
    st.builds(window_update, st.one_of(STREAMS, st.just(0)), INCREMENTS),
    st.just(frame(frames.PING, 0, 0, b"12345678")),
    st.just(frame(frames.PING, frames.ACK, 0, b"12345678")),
    st.just(frame(frames.SETTINGS, frames.ACK, 0)),
    st.builds(setting, st.just(Setting.INITIAL_WINDOW_SIZE), st.sampled_from([0, 65_535, 2**31 - 1, 2**31])),
    st.just(frame(frames.PRIORITY, 0, 3, bytes(5))),
    st.just(frame(0x77, 1, 1, b"unknown")),
    st.just(goaway(1, 0, b"bye")),
)


class Wire(bytes):
    """Bytes that a failing example can be printed with."""

    def __repr__(self) -> str:
        return f"<{[f'{part[3:9].hex()} {part[9:29].hex()}+{len(part)}' for part in single_frames(self)]}>"


CONVERSATIONS = st.lists(FRAMES, max_size=14).map(lambda sent: Wire(b"".join(sent)))
CUTS = st.lists(st.integers(0, 100_000), max_size=12)


def outcome(chunks: Iterable[bytes], *, client: bool) -> tuple[Any, ...]:
    """Return everything that a codec says and sends; a client has three requests under way."""
    end = Endpoint(client=client, greeted=False)
    if client:
        for _ in range(3):
            end.codec.open_stream(CONNECT)
    happened: list[Any] = []
    sent = end.codec.data_to_send()
    for chunk in chunks:
        for event in end.feed(chunk):
            if event[0] == "DataReceived" and happened and happened[-1][0::2] == event[0::2]:
                event = (event[0], happened.pop()[1] + event[1], event[2])
            if event[0] == "ConnectionFailed" or event[0] != "DataReceived" or event[1]:
                happened.append(event)
        sent += end.codec.data_to_send()
    codec = end.codec
    state = {i: (s.receive_window, s.send_window, s.owed, s.remote_closed) for i, s in codec.streams.items()}
    return happened, sent, state, codec.send_window, codec.owed, codec.failed is not None


def single_frames(stream: bytes) -> list[bytes]:
    """Cut where frames seem to begin: each arrives alone, as it would on an idle network."""
    found = []
    position = len(frames.PREFACE) if stream.startswith(frames.PREFACE) else 0
    found.append(stream[:position])
    while position < len(stream):
        size = frames.HEADER_SIZE + int.from_bytes(stream[position : position + 3], "big")
        found.append(stream[position : position + size])
        position += size
    return found


def assert_invariant(stream: bytes, cuts: list[int], *, client: bool) -> None:
    whole = outcome([stream], client=client)
    assert outcome(single_frames(stream), client=client) == whole
    assert outcome((stream[i : i + 1] for i in range(len(stream))), client=client) == whole
    assert outcome(pieces(stream, cuts), client=client) == whole


@settings(deadline=None)
@given(CONVERSATIONS, CUTS, st.booleans())
def test_conversations(conversation: bytes, cuts: list[int], client: bool) -> None:
    """Frames in any order, as a server and as a client."""
    assert_invariant((SETTINGS if client else HELLO) + conversation, cuts, client=client)


@settings(deadline=None)
@given(CONVERSATIONS, CUTS, st.booleans(), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=6))
def test_damaged_conversations(
    conversation: bytes, cuts: list[int], client: bool, damage: list[tuple[int, int]]
) -> None:
    """Any byte may be any other."""
    stream = bytearray((SETTINGS if client else HELLO) + conversation)
    for place, value in damage:
        stream[place % len(stream)] = value
    assert_invariant(bytes(stream), cuts, client=client)


@settings(deadline=None)
@given(st.binary(max_size=80), CUTS, st.booleans())
def test_noise(noise: bytes, cuts: list[int], client: bool) -> None:
    """Bytes that were never HTTP/2, after a good beginning or none."""
    assert_invariant(noise, cuts, client=client)
    assert_invariant((SETTINGS if client else HELLO) + noise, cuts, client=client)


def test_bulk_in_every_kind_of_piece() -> None:
    """Enough data for several credits of the connection: they leave at the same bytes, cut or not."""
    stream = HELLO + headers(1) + headers(3) + b"".join(data(i, bytes(16_000)) for i in (1, 3, 1, 3, 1, 3, 1))
    whole = outcome([stream], client=False)
    assert whole[1].count(window_update(0, 48_000)) == 2
    for size in (1, 7, 1000, 16_008, 16_009, 16_010, 65_536):
        chunks = (stream[i : i + size] for i in range(0, len(stream), size))
        assert outcome(chunks, client=False) == whole
