"""Floods end in GOAWAY(ENHANCE_YOUR_CALM) within bounded memory; honest heavy use does not trip the same budgets."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.support.h2_wire import CONNECT, LIMITS, OK, POST, Endpoint, data, headers, setting
from tunneld.wire.h2 import frames
from tunneld.wire.h2.budget import Budget
from tunneld.wire.h2.connection import Limits
from tunneld.wire.h2.frames import ErrorCode, Setting, frame, rst_stream, window_update
from tunneld.wire.h2.header_block import MAX_HEADER_LIST, STATUS_200, encode

ENOUGH = 20_000  # frames; every flood must be over long before
END = frames.END_STREAM | frames.END_HEADERS
PING = frame(frames.PING, 0, 0, bytes(8))


def _streams(*after: Callable[[int], bytes]) -> Iterator[bytes]:
    """One new stream after the other, each followed by what abuses it."""
    for stream_id in range(1, 2 * ENOUGH, 2):
        yield headers(stream_id) + b"".join(each(stream_id) for each in after)


def _again(piece: bytes, before: bytes = b"") -> Iterator[bytes]:
    yield before
    for _ in range(ENOUGH):
        yield piece


OPEN = headers(1)
FLOODS: dict[str, Callable[[], Iterator[bytes]]] = {
    # CVE-2023-44487
    "Rapid Reset": lambda: _streams(lambda i: rst_stream(i, ErrorCode.CANCEL)),
    "Rapid Reset by refusals": lambda: (headers(i) for i in range(1, 2 * ENOUGH, 2)),
    # CVE-2025-8671: the peer makes us reset
    "MadeYouReset, increment of 0": lambda: _streams(lambda i: window_update(i, 0)),
    "MadeYouReset, window overflow": lambda: _streams(lambda i: window_update(i, 2**31 - 1)),
    "MadeYouReset, HEADERS again": lambda: _streams(headers),
    "MadeYouReset, DATA after END_STREAM": lambda: (
        headers(i, POST, flags=END) + data(i, b"x") for i in range(1, 2 * ENOUGH, 2)
    ),
    "MadeYouReset, malformed request": lambda: (headers(i, b"") for i in range(1, 2 * ENOUGH, 2)),
    "MadeYouReset, more than the window": lambda: _streams(lambda i: data(i, bytes(16_384)) * 4 + data(i, b"x")),
    # CVE-2024-27316
    "CONTINUATION": lambda: _again(frame(frames.CONTINUATION, 0, 1, b"x" * 200), headers(1, flags=0)),
    "empty CONTINUATION": lambda: _again(frame(frames.CONTINUATION, 0, 1), headers(1, flags=0)),
    "CONTINUATION on stream after stream": lambda: (
        headers(i, b"", flags=0) + frame(frames.CONTINUATION, frames.END_HEADERS, i, CONNECT)
        for i in range(1, 2 * ENOUGH, 2)
    ),
    # CVE-2019-9512, -9515, -9513, -9518
    "PING": lambda: _again(PING),
    "PING answers": lambda: _again(frame(frames.PING, frames.ACK, 0, bytes(8))),
    "SETTINGS": lambda: _again(setting(Setting.MAX_FRAME_SIZE, 16_384)),
    "SETTINGS acknowledgements": lambda: _again(frame(frames.SETTINGS, frames.ACK, 0)),
    "PRIORITY": lambda: _again(frame(frames.PRIORITY, 0, 1, bytes(5))),
    "empty DATA": lambda: _again(data(1), OPEN),
    "DATA of nothing but padding": lambda: _again(data(1, padding=0), OPEN),
    "WINDOW_UPDATE": lambda: _again(window_update(0, 1)),
    "WINDOW_UPDATE on a stream": lambda: _again(window_update(1, 1), OPEN),
    "GOAWAY": lambda: _again(frame(frames.GOAWAY, 0, 0, bytes(8))),
    "unknown frames": lambda: _again(frame(0x99, 0, 0, b"x")),
    "DATA on a closed stream": lambda: _again(data(1, b"x"), OPEN + rst_stream(1, 0)),
    "HEADERS on a closed stream": lambda: _again(headers(1), OPEN + rst_stream(1, 0)),
}


@pytest.mark.parametrize("name", FLOODS)
@pytest.mark.parametrize("cut", ["frames", "bytes"])
def test_floods_end(name: str, cut: str) -> None:
    """All at one moment: the codec says ENHANCE_YOUR_CALM, having sent and kept little."""
    server = Endpoint()
    sent = kept = 0
    for piece in FLOODS[name]():
        pieces = [piece] if cut == "frames" or len(piece) > 1000 else [piece[i : i + 1] for i in range(len(piece))]
        server.feed(*pieces)
        kept = max(kept, len(server.codec.streams))
        sent += sum(map(len, server.codec.out))
        server.codec.out.clear()
        if server.codec.failed is not None:
            break
    assert server.codec.failed is not None
    assert server.codec.failed.code is ErrorCode.ENHANCE_YOUR_CALM
    assert kept <= LIMITS.streams
    assert sent < 32 * 1024
    assert len(server.codec.header_block or b"") <= MAX_HEADER_LIST + 200


def test_interim_responses_flood_a_client() -> None:
    """A server that is for ever about to answer is left."""
    client = Endpoint(client=True)
    client.codec.open_stream(CONNECT)
    for _ in range(ENOUGH):
        if client.feed(headers(1, encode([(b":status", b"103")]))):
            break
    assert client.codec.failed is not None
    assert client.codec.failed.code is ErrorCode.ENHANCE_YOUR_CALM


def test_a_server_resets_everything_for_ever() -> None:
    """Rapid Reset in the other direction: a client that always tries again is stopped."""
    client = Endpoint(client=True)
    for _ in range(ENOUGH):
        if not client.codec.may_open():
            break
        stream = client.codec.open_stream(CONNECT)
        client.feed(rst_stream(stream.id, ErrorCode.REFUSED_STREAM))
    assert client.codec.failed is not None
    assert client.codec.failed.code is ErrorCode.ENHANCE_YOUR_CALM


def test_settings_with_thousands_of_entries() -> None:
    """Each entry may touch every stream, so their number is limited (CVE-2020-11080)."""
    entry = b"\0\4" + bytes(4)
    server = Endpoint()
    assert server.feed(frame(frames.SETTINGS, 0, 0, entry * 32)) == [("SettingsReceived",)]
    failed = server.feed(frame(frames.SETTINGS, 0, 0, entry * 33))
    assert failed[-1][:2] == ("ConnectionFailed", ErrorCode.ENHANCE_YOUR_CALM)


BOMBS = {
    "a field table entry said 16,000 times": b"\x40\x01x\x7f\x81\x1e" + b"y" * 4000 + b"\xbe" * 16_000,
    "the same static field": b"\x82" * 16_000,
    "a value longer than allowed": encode([(b"x", b"y" * MAX_HEADER_LIST)]),
    "65 fields": encode([(b"x", b"y")] * 65),
}


@pytest.mark.parametrize("name", BOMBS)
def test_header_bombs(name: str) -> None:
    """A block that unpacks to more than a header list may have breaks the connection, and never becomes large."""
    server = Endpoint(limits=Limits(frame_size=256 * 1024))
    tracemalloc.start()
    try:
        failed = server.feed(headers(1, BOMBS[name]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert failed[-1][:2] == ("ConnectionFailed", ErrorCode.COMPRESSION_ERROR)
    assert peak < 1024 * 1024


def test_a_list_just_below_the_limit_is_taken() -> None:
    """The largest honest request carries a token of 12 KiB."""
    server = Endpoint(limits=Limits(frame_size=256 * 1024))
    token = [(b"proxy-authorization", b"Bearer " + b"t" * 12 * 1024)]
    assert server.feed(headers(1, CONNECT + encode(token)))[-1][0] == "RequestReceived"


def test_settings_that_shrink_and_grow_cost_one_event_each() -> None:
    """A window that is switched off and on wakes a waiting stream once."""
    server = Endpoint()
    server.feed(OPEN)
    stream = server.codec.streams[1]
    off, on = setting(Setting.INITIAL_WINDOW_SIZE, 0), setting(Setting.INITIAL_WINDOW_SIZE, 9)
    stream.starved = True
    happened = [event[0] for event in server.feed(off, on, off, on)]
    assert happened.count("StreamWritable") == 1


# Honest heavy use


class Pair(NamedTuple):
    """A client and a server, joined by hand."""

    client: Endpoint
    server: Endpoint

    def exchange(self) -> None:
        """Carry everything that waits, until nothing does."""
        while True:
            up, down = self.client.codec.data_to_send(), self.server.codec.data_to_send()
            if not up and not down:
                return
            if up:
                self.server.feed(up)
            if down:
                self.client.feed(down)


@pytest.fixture
def pair() -> Pair:
    client = Endpoint(client=True, limits=Limits(streams=0), greeted=False)
    server = Endpoint(limits=Limits(), greeted=False)
    server.feed(client.greeting)
    client.feed(server.greeting)
    pair = Pair(client, server)
    pair.exchange()
    return pair


def healthy(pair: Pair) -> bool:
    return pair.client.codec.failed is None and pair.server.codec.failed is None


def test_a_thousand_flows_reset_at_once(pair: Pair) -> None:
    """A tenant switch: the edge resets a full connection, and then the client does."""
    for by_edge in (True, False):
        streams = [pair.client.codec.open_stream(CONNECT) for _ in range(1000)]
        pair.exchange()
        theirs = dict(pair.server.codec.streams)
        assert len(theirs) == 1000
        for stream in theirs.values():
            pair.server.codec.send_headers(stream, STATUS_200)
        pair.exchange()
        for stream in streams:
            if by_edge:
                pair.server.codec.reset(theirs[stream.id], ErrorCode.CONNECT_ERROR)
            else:
                pair.client.codec.reset(stream, ErrorCode.CANCEL)
        pair.exchange()
        assert healthy(pair)
        assert not pair.client.codec.streams
        assert not pair.server.codec.streams


def test_ten_thousand_short_flows_in_a_row(pair: Pair) -> None:
    """Open, answer, a few bytes each way, both ends, without any time passing."""
    for _ in range(10_000):
        stream = pair.client.codec.open_stream(CONNECT)
        pair.server.feed(pair.client.pack(stream, b"question"))
        theirs = pair.server.codec.streams[stream.id]
        pair.server.codec.send_headers(theirs, STATUS_200)
        pair.client.feed(pair.server.pack(theirs, b"answer"))
        for end, its in ((pair.client, stream), (pair.server, theirs)):
            end.codec.consume(its, its.owed)
            end.codec.end_stream(its)
        pair.exchange()
    assert healthy(pair)
    assert not pair.client.codec.streams
    assert not pair.server.codec.streams
    assert pair.client.codec.owed == pair.server.codec.owed == 0


def test_a_browser_that_closes_with_requests_pending(pair: Pair) -> None:
    """150 opens aborted before any answer are a closed window, not an attack."""
    streams = [pair.client.codec.open_stream(CONNECT) for _ in range(150)]
    pair.exchange()
    for stream in streams:
        pair.client.codec.reset(stream, ErrorCode.CANCEL)
    pair.exchange()
    assert healthy(pair)


def test_a_peer_that_credits_each_frame(pair: Pair) -> None:
    """A gigabyte sent to a peer that credits a stream and the connection every 4 KiB, within no time at all."""
    stream = pair.client.codec.open_stream(CONNECT)
    pair.exchange()
    theirs = pair.server.codec.streams[stream.id]
    for _ in range(64 * 1024):
        for _ in range(4):
            assert pair.server.codec.sendable(theirs) >= 4096
            pair.server.codec.pack_data(bytearray(9), 0, theirs, 4096)
        assert pair.server.feed((window_update(1, 4096) + window_update(0, 4096)) * 4) == []
    assert healthy(pair)


def test_hours_of_keep_alive(pair: Pair) -> None:
    """A probe and a settings frame each second never add up."""
    for second in range(3600):
        pair.server.now = float(second)
        pair.server.feed(PING + setting(Setting.MAX_FRAME_SIZE, 16_384))
    assert healthy(pair)


def test_an_answered_reset_is_not_a_premature_one() -> None:
    """A client may reset a thousand flows that were opened for it, and not as many that were not."""
    for answered, survives in ((True, True), (False, False)):
        server = Endpoint(limits=Limits())
        for stream_id in range(1, 2001, 2):
            server.feed(headers(stream_id))
            if answered:
                server.codec.send_headers(server.codec.streams[stream_id], OK)
            server.feed(rst_stream(stream_id, ErrorCode.CANCEL))
        assert (server.codec.failed is None) is survives


def test_budgets_refill_with_time_and_stop_at_their_burst() -> None:
    """The arithmetic of one bucket."""
    budget = Budget("x", 2, 8, 0.0)
    assert [budget.spend(0.0) for _ in range(3)] == [True, True, False]
    assert budget.spend(0.125) is False  # it was overdrawn by one
    assert budget.spend(0.375) is True
    assert [budget.spend(1000.0) for _ in range(3)] == [True, True, False]
    budget.refund(100)
    assert [budget.spend(1000.0) for _ in range(3)] == [True, True, False]
