"""What one end of a connection does of itself: settings, streams, windows, credit, and the two kinds of end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.h2_wire import CONNECT, LIMITS, OK, Endpoint, Sent, data, frames_in, headers, setting
from tunneld.model.errors import LocalProtocolError
from tunneld.wire.h2 import frames
from tunneld.wire.h2.connection import Limits
from tunneld.wire.h2.events import StreamReset
from tunneld.wire.h2.frames import ErrorCode, Setting, frame, goaway, rst_stream, window_update
from tunneld.wire.h2.header_block import MAX_HEADER_LIST, STATUS_200, encode
from tunneld.wire.h2.stream import Stream

END = frames.END_STREAM | frames.END_HEADERS


@pytest.fixture
def server() -> Endpoint:
    return Endpoint()


@pytest.fixture
def client() -> Endpoint:
    return Endpoint(client=True)


def settings_in(greeting: bytes) -> dict[int, int]:
    payload = next(frames_in(greeting)).payload
    entries = [payload[i : i + 6] for i in range(0, len(payload), 6)]
    return {int.from_bytes(entry[:2], "big"): int.from_bytes(entry[2:], "big") for entry in entries}


def opened(end: Endpoint, number: int = 1) -> Stream:
    """Have the peer open streams; return the last."""
    for _ in range(number):
        end.feed(headers(end.codec.highest_remote + 2 if end.codec.highest_remote else 1))
    end.codec.data_to_send()
    return end.codec.streams[end.codec.highest_remote]


def answered(end: Endpoint) -> Stream:
    """Open a stream and have the peer answer 200."""
    stream = end.codec.open_stream(CONNECT)
    end.feed(headers(stream.id, OK))
    end.codec.data_to_send()
    return stream


# Greeting


def test_greetings() -> None:
    """A client's begins with the preface; only a client speaks of pushes (§6.5.2); both say their limits."""
    client, server = Endpoint(client=True), Endpoint()
    assert client.greeting.startswith(frames.PREFACE)
    assert not server.greeting.startswith(frames.PREFACE)
    said = {
        Setting.MAX_CONCURRENT_STREAMS: 100, Setting.INITIAL_WINDOW_SIZE: 65_535, Setting.MAX_FRAME_SIZE: 16_384,
        Setting.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST,
    }
    assert settings_in(server.greeting) == said
    assert settings_in(client.greeting) == {**said, Setting.ENABLE_PUSH: 0}
    assert list(frames_in(server.greeting))[1:] == [Sent(frames.WINDOW_UPDATE, 0, 0, (65_535).to_bytes(4, "big"))]


def test_a_window_of_the_default_size_needs_no_update() -> None:
    """Nothing but SETTINGS is said then."""
    end = Endpoint(limits=Limits(connection_window=65_535))
    assert len(list(frames_in(end.greeting))) == 1


def test_settings_are_acknowledged_and_in_force(client: Endpoint) -> None:
    """Each SETTINGS has its acknowledgement; an acknowledgement has none."""
    assert client.feed(setting(Setting.MAX_CONCURRENT_STREAMS, 1)) == [("SettingsReceived",)]
    assert client.sent() == [Sent(frames.SETTINGS, frames.ACK, 0, b"")]
    assert client.feed(frame(frames.SETTINGS, frames.ACK, 0)) == []
    assert client.sent() == []
    client.codec.open_stream(CONNECT)
    assert not client.codec.may_open()
    with pytest.raises(LocalProtocolError):
        client.codec.open_stream(CONNECT)


# Streams


def test_streams_open_with_odd_ids_in_order(client: Endpoint) -> None:
    """§5.1.1, and the fields arrive whole."""
    assert [client.codec.open_stream(CONNECT).id for _ in range(3)] == [1, 3, 5]
    server = Endpoint()
    happened = server.feed(client.codec.data_to_send())
    fields = [(b":method", b"CONNECT"), (b":authority", b"files.example:443")]
    assert happened[0] == ("RequestReceived", False, fields, 1)
    assert [event[-1] for event in happened] == [1, 3, 5]


def test_a_request_and_a_response_may_end_at_once(client: Endpoint) -> None:
    """END_STREAM on both header blocks: the stream is over and forgotten at both ends."""
    server = Endpoint()
    block = encode([(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/")])
    stream = client.codec.open_stream(block, end_stream=True)
    assert server.feed(client.codec.data_to_send())[0][:2] == ("RequestReceived", True)
    server.codec.send_headers(server.codec.streams[1], STATUS_200, end_stream=True)
    assert client.feed(server.codec.data_to_send()) == [("ResponseReceived", True, [(b":status", b"200")], 200, 1)]
    assert stream.closed
    assert not client.codec.streams
    assert not server.codec.streams


def test_interim_responses_are_skipped(client: Endpoint) -> None:
    """The final response is the one that counts (§8.1)."""
    client.codec.open_stream(CONNECT)
    happened = client.feed(headers(1, encode([(b":status", b"103")])) + headers(1, OK))
    assert [event[0] for event in happened] == ["ResponseReceived"]


def test_a_long_block_continues_in_further_frames(client: Endpoint) -> None:
    """CONTINUATION where the peer's frames are small (§6.10); it reads as one block there."""
    server = Endpoint(limits=Limits(frame_size=16_384))
    token = (b"proxy-authorization", b"Bearer " + b"t" * 12_000)
    client.codec.peer_frame_size = 5000
    client.codec.open_stream(CONNECT + encode([token]), end_stream=True)
    output = client.codec.data_to_send()
    sent = list(frames_in(output))
    assert [(each.kind, each.flags) for each in sent] == [
        (frames.HEADERS, frames.END_STREAM), (frames.CONTINUATION, 0), (frames.CONTINUATION, frames.END_HEADERS),
    ]
    happened = server.feed(output)
    assert happened[0][0:2] == ("RequestReceived", True)
    assert token in happened[0][2]


def test_half_close_in_both_orders(server: Endpoint) -> None:
    """END_STREAM ends one direction; the stream is over with the second."""
    for ours_first in (True, False):
        stream = opened(server)
        if ours_first:
            server.codec.end_stream(stream)
            assert stream.id in server.codec.streams
            assert server.feed(data(stream.id, b"rest", end=True)) == [
                ("DataReceived", b"rest", stream.id), ("StreamEnded", stream.id),
            ]
        else:
            assert server.feed(data(stream.id, end=True)) == [("StreamEnded", stream.id)]
            assert stream.id in server.codec.streams
            server.codec.end_stream(stream)
        assert stream.closed
        assert not server.codec.streams
        assert [each.flags for each in server.sent()] == [frames.END_STREAM]


def test_a_reset_of_the_peer_is_reported_with_its_code(server: Endpoint) -> None:
    """And the stream is gone at once."""
    opened(server)
    assert server.feed(rst_stream(1, ErrorCode.CANCEL)) == [("StreamReset", False, ErrorCode.CANCEL, 1)]
    assert not server.codec.streams


def test_a_reset_of_ours_is_sent_once(server: Endpoint) -> None:
    """What still arrives for the stream is dropped without a word."""
    stream = opened(server)
    server.codec.reset(stream, ErrorCode.CONNECT_ERROR)
    server.codec.reset(stream, ErrorCode.CONNECT_ERROR)
    assert [each.kind for each in server.sent()] == [frames.RST_STREAM]
    assert server.feed(data(1, b"crossing") + data(1, end=True) + window_update(1, 9)) == []
    assert server.sent() == []


def test_a_frame_that_a_reset_cut_in_two_is_never_an_end(server: Endpoint) -> None:
    """Reset by us between the pieces of a last frame: no data and above all no StreamEnded after it."""
    stream = opened(server)
    whole = data(1, b"0123456789", end=True)
    assert server.feed(whole[:12]) == [("DataReceived", b"012", 1)]
    server.codec.reset(stream, ErrorCode.CONNECT_ERROR)
    assert server.feed(whole[12:]) == []
    assert server.codec.owed == 0


def test_streams_above_the_limit_are_refused() -> None:
    """REFUSED_STREAM says that it may be tried again (§8.7); a place that became free is given."""
    server = Endpoint(limits=Limits(streams=2))
    opened(server, 2)
    assert server.feed(headers(5)) == []
    assert server.sent() == [Sent(frames.RST_STREAM, 0, 5, ErrorCode.REFUSED_STREAM.to_bytes(4, "big"))]
    server.codec.reset(server.codec.streams[1], ErrorCode.CANCEL)
    assert [event[0] for event in server.feed(headers(7))] == ["RequestReceived"]


def test_ids_do_not_come_round_again(client: Endpoint) -> None:
    """After 2^30 streams a connection is used up (§5.1.1)."""
    client.codec._next_id = frames.MAX_STREAM_ID
    assert client.codec.may_open()
    client.codec.open_stream(CONNECT)
    assert not client.codec.may_open()


def test_an_owner_s_word_about_a_forgotten_stream_changes_nothing(server: Endpoint) -> None:
    """Streams may end between an event and its owner's turn."""
    stream = opened(server)
    server.feed(data(1, bytes(10)), rst_stream(1, 0))
    assert server.codec.owed == 0
    server.codec.consume(stream, 10)
    server.codec.forget(stream)
    assert server.codec.owed == 0
    assert server.codec._remote_open == 0
    assert server.sent() == []


# Sending


def test_packed_data_lies_around_the_payload(client: Endpoint) -> None:
    """The header is written into the caller's buffer; both windows are spent."""
    stream = answered(client)
    buffer = bytearray(b"xx.........payload")
    client.codec.pack_data(buffer, 2, stream, 7)
    assert bytes(buffer[2:]) == data(1, b"payload")
    assert stream.send_window == client.codec.send_window == 65_535 - 7


def test_sendable_is_the_least_of_three(client: Endpoint) -> None:
    """Stream window, connection window, frame size."""
    stream = answered(client)
    assert client.codec.sendable(stream) == 16_384
    client.feed(setting(Setting.MAX_FRAME_SIZE, 2**24 - 1))
    assert client.codec.sendable(stream) == 65_535
    client.feed(window_update(1, 1000))
    assert client.codec.sendable(stream) == 65_535
    client.feed(window_update(0, 500))
    assert client.codec.sendable(stream) == 66_035
    stream.send_window = 7
    assert client.codec.sendable(stream) == 7


def test_a_waiting_stream_hears_of_its_window(client: Endpoint) -> None:
    """Once, and only if it had said that it waits; a window may grow and still not be open (§6.9.2)."""
    stream = answered(client)
    assert client.feed(window_update(1, 5)) == []
    client.feed(setting(Setting.INITIAL_WINDOW_SIZE, 0))
    stream.send_window = -10
    stream.starved = True
    assert client.feed(window_update(1, 10)) == []
    assert client.feed(window_update(1, 1)) == [("StreamWritable", 1)]
    assert client.feed(window_update(1, 1)) == []
    assert not stream.starved


def test_changed_settings_move_every_window(client: Endpoint) -> None:
    """By the difference, also below zero, and never the connection's (§6.9.2)."""
    first, second = answered(client), answered(client)
    first.send_window = 100
    first.starved = second.starved = True
    happened = client.feed(setting(Setting.INITIAL_WINDOW_SIZE, 65_535 - 200))
    assert (first.send_window, second.send_window) == (-100, 65_335)
    assert happened == [("StreamWritable", 3), ("SettingsReceived",)]
    assert client.feed(setting(Setting.INITIAL_WINDOW_SIZE, 65_535))[0] == ("StreamWritable", 1)
    assert client.codec.send_window == 65_535
    assert client.codec.open_stream(CONNECT).send_window == 65_535


def test_everybody_hears_of_the_connection_s_window(client: Endpoint) -> None:
    """If somebody had found it empty."""
    assert client.feed(window_update(0, 1)) == []
    client.codec.blocked = True
    assert client.feed(window_update(0, 1)) == [("ConnectionWritable",)]
    assert client.feed(window_update(0, 1)) == []


# Credit


def updates(end: Endpoint) -> dict[int, int]:
    """Return what was credited since the last call, by stream."""
    found: dict[int, int] = {}
    for sent in end.sent():
        assert sent.kind == frames.WINDOW_UPDATE
        found[sent.stream_id] = found.get(sent.stream_id, 0) + int.from_bytes(sent.payload, "big")
    return found


def test_a_stream_is_credited_when_its_bytes_were_written_on(server: Endpoint) -> None:
    """In batches of half a window; the connection on receipt, in quarters."""
    stream = opened(server)
    for _ in range(3):
        server.feed(data(1, bytes(16_000)))
    assert updates(server) == {0: 48_000}
    assert stream.receive_window == 65_535 - 48_000
    server.codec.consume(stream, 32_000)
    assert updates(server) == {}
    server.codec.consume(stream, 16_000)
    assert updates(server) == {1: 48_000}
    assert stream.receive_window == 65_535
    assert server.codec.owed == stream.owed == 0


def test_a_stream_that_ended_needs_no_credit(server: Endpoint) -> None:
    """The peer sends nothing more there."""
    stream = opened(server)
    server.feed(data(1, bytes(16_000)) * 3, data(1, end=True))
    updates(server)
    server.codec.consume(stream, 48_000)
    assert updates(server) == {}
    assert server.codec.owed == 0


def test_the_connection_s_credit_is_withheld_above_the_buffer_limit() -> None:
    """Bytes nobody took are bounded over all streams; credit comes back when they are taken."""
    server = Endpoint(limits=Limits(
        stream_window=65_535, connection_window=65_535, buffered=40_000, frame_size=16_384, streams=10
    ))
    first = opened(server)
    second = opened(server)
    server.feed(data(first.id, bytes(16_384)) * 2)
    assert updates(server) == {0: 32_768}
    server.feed(data(second.id, bytes(16_384)) * 2)
    assert updates(server) == {}
    server.codec.consume(second, 32_768)
    assert updates(server) == {0: 32_768, 3: 32_768}
    server.feed(data(second.id, bytes(16_384)) * 2)
    assert updates(server) == {}
    server.feed(rst_stream(first.id, 0))  # whose bytes nobody waits for any more
    assert server.codec.owed == 32_768


def test_padding_is_credited_at_once(server: Endpoint) -> None:
    """It counts against the windows (§6.9.1) and nobody will ever consume it."""
    stream = opened(server)
    for _ in range(200):
        server.feed(data(1, b"x", padding=255))
        server.codec.consume(stream, 1)
    credited = updates(server)
    assert 200 * 257 - credited[1] < 65_535 // 2
    assert stream.owed == 0
    assert stream.receive_window + stream.credit == 65_535


def test_padding_on_a_closed_stream_is_credited_to_the_connection(server: Endpoint) -> None:
    """A peer that has not heard of a reset yet loses nothing."""
    stream = opened(server)
    server.codec.reset(stream, ErrorCode.CANCEL)
    server.codec.data_to_send()
    for _ in range(300):
        server.feed(data(1, bytes(100), padding=9))
    credited = updates(server)[0]
    assert 300 * 110 - credited < LIMITS.connection_window // 4


def test_whole_frames_that_are_special_take_the_general_way(server: Endpoint) -> None:
    """The shortcut for whole frames must not pass over a rule: the same bytes in two pieces end alike."""
    for broken in (data(1, bytes(16_384)) * 4, data(1, bytes(16_385)), headers(1, flags=0) + data(1, b"x")):
        seen = []
        for cut in (len(broken), len(broken) - 1):
            end = Endpoint()
            end.feed(headers(1), broken[:cut], broken[cut:])
            seen.append((end.codec.failed is None, 1 in end.codec.streams, end.sent()))
        assert seen[0] == seen[1]


# Liveness and ends


def test_pings_are_echoed_and_answers_reported(server: Endpoint) -> None:
    """§6.7."""
    assert server.feed(frame(frames.PING, 0, 0, b"abcdefgh")) == []
    assert server.sent() == [Sent(frames.PING, frames.ACK, 0, b"abcdefgh")]
    server.codec.ping(b"12345678")
    assert server.sent() == [Sent(frames.PING, 0, 0, b"12345678")]
    assert server.feed(frame(frames.PING, frames.ACK, 0, b"12345678")) == [("PingAcknowledged", b"12345678")]


def test_a_drain_in_two_steps(server: Endpoint, client: Endpoint) -> None:
    """§6.8: first the largest id, so that nothing on its way is lost, then the last one; later streams are ignored."""
    opened(server)
    server.codec.goaway(ErrorCode.NO_ERROR, last_stream_id=frames.MAX_STREAM_ID)
    assert [event[0] for event in server.feed(headers(3))] == ["RequestReceived"]
    server.codec.goaway(ErrorCode.NO_ERROR)
    assert [int.from_bytes(each.payload[:4], "big") for each in server.sent()] == [frames.MAX_STREAM_ID, 3]
    assert server.feed(headers(5) + data(5, b"x") + data(3, b"y")) == [("DataReceived", b"y", 3)]
    assert sorted(server.codec.streams) == [1, 3]
    stream = answered(client)
    assert client.feed(goaway(frames.MAX_STREAM_ID, 0)) == [("GoAwayReceived", 0, b"", frames.MAX_STREAM_ID)]
    assert not client.codec.may_open()
    assert client.feed(data(1, b"goes on")) == [("DataReceived", b"goes on", stream.id)]


def test_goaway_ends_the_streams_that_were_not_processed(client: Endpoint) -> None:
    """They may be tried again elsewhere; those up to the last id go on."""
    for _ in range(3):
        client.codec.open_stream(CONNECT)
    assert client.feed(goaway(3, ErrorCode.ENHANCE_YOUR_CALM, b"d" * 500)) == [
        ("GoAwayReceived", ErrorCode.ENHANCE_YOUR_CALM, b"d" * 128, 3),
        ("StreamReset", False, ErrorCode.REFUSED_STREAM, 5),
    ]
    assert list(client.codec.streams) == [1, 3]


def test_an_end_of_the_byte_stream_breaks_every_stream(client: Endpoint) -> None:
    """Half-closed ones too: without END_STREAM there is no clean end."""
    streams = [answered(client) for _ in range(2)]
    client.codec.end_stream(streams[0])
    client.codec.receive_eof()
    happened: list[Any] = client.codec.events()
    assert [type(event) for event in happened] == [StreamReset, StreamReset]
    assert [event.stream for event in happened] == streams
    assert not client.codec.streams
    client.codec.receive_eof()
    assert client.codec.events() == []


def test_the_first_failure_is_the_one_that_is_told(server: Endpoint) -> None:
    """One GOAWAY, with its reason as debug data and the last stream that was processed."""
    opened(server)
    server.codec.fail(ErrorCode.PROTOCOL_ERROR, "x" * 500)
    server.codec.fail(ErrorCode.INTERNAL_ERROR, "y")
    (away,) = server.sent()
    assert away.payload == (1).to_bytes(4, "big") + ErrorCode.PROTOCOL_ERROR.to_bytes(4, "big") + b"x" * 128
    assert len(server.codec.events()) == 1
    assert not server.codec.may_open()
    assert server.feed(headers(3), data(1, b"x")) == []


def test_queued_frames_leave_together(server: Endpoint) -> None:
    """In the order in which they were made."""
    opened(server)
    server.codec.ping(b"11111111")
    server.codec.ping(b"22222222")
    assert [each.payload for each in server.sent()] == [b"11111111", b"22222222"]
    assert server.codec.data_to_send() == b""
