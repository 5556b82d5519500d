"""Every rule of RFC 9113 that the codec enforces, as a table: bytes that break it, and how that ends."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.support.h2_wire import CONNECT, HELLO, OK, POST, SETTINGS, Endpoint, data, headers, setting
from tunneld.wire.h2 import frames
from tunneld.wire.h2.frames import PREFACE, ErrorCode, Setting, frame, rst_stream, window_update
from tunneld.wire.h2.header_block import encode, encode_field

E = ErrorCode
END = frames.END_STREAM | frames.END_HEADERS
PING = frame(frames.PING, 0, 0, bytes(8))
OPEN = headers(1)  # as a server sees it: the peer opened stream 1
CLOSED = OPEN + rst_stream(1, E.CANCEL)


class Breach(NamedTuple):
    """What breaks a rule, and its error code."""

    section: str
    name: str
    sent: bytes
    code: ErrorCode


CONNECTION_ERRORS = [
    Breach("4.2", "frame larger than our maximum", data(1, bytes(16_385)), E.FRAME_SIZE_ERROR),
    Breach("4.2", "PING larger than our maximum", frame(frames.PING, 0, 0, bytes(16_385)), E.FRAME_SIZE_ERROR),
    Breach("4.3", "block that does not decode", headers(1, b"\xff\xff\xff\xff\xff\xff\xff"), E.COMPRESSION_ERROR),
    Breach("4.3", "block that ends inside a field", headers(1, b"\x00\x05abc"), E.COMPRESSION_ERROR),
    Breach("4.3", "index beyond the tables", headers(1, b"\xfe"), E.COMPRESSION_ERROR),
    Breach("4.3", "DATA inside a header block", headers(1, flags=0) + data(1), E.PROTOCOL_ERROR),
    Breach("4.3", "PING inside a header block", headers(1, flags=0) + PING, E.PROTOCOL_ERROR),
    Breach("4.3", "unknown frame inside a header block", headers(1, flags=0) + frame(0x20, 0, 0), E.PROTOCOL_ERROR),
    Breach("5.1", "DATA on an idle stream", data(1, b"x"), E.PROTOCOL_ERROR),
    Breach("5.1", "RST_STREAM on an idle stream", rst_stream(1, 0), E.PROTOCOL_ERROR),
    Breach("5.1", "WINDOW_UPDATE on an idle stream", window_update(1, 1), E.PROTOCOL_ERROR),
    Breach("5.1", "DATA on a stream that only we may open", data(2, b"x"), E.PROTOCOL_ERROR),
    Breach("5.1.1", "client opens an even stream", headers(2), E.PROTOCOL_ERROR),
    Breach("6.1", "DATA on stream 0", data(0, b"x"), E.PROTOCOL_ERROR),
    Breach("6.1", "padded DATA on stream 0", data(0, b"x", padding=1), E.PROTOCOL_ERROR),
    Breach("6.1", "padding as long as DATA", OPEN + frame(frames.DATA, frames.PADDED, 1, b"\1"), E.PROTOCOL_ERROR),
    Breach("6.1", "padded DATA of nothing", OPEN + frame(frames.DATA, frames.PADDED, 1), E.PROTOCOL_ERROR),
    Breach("6.2", "HEADERS on stream 0", headers(0), E.PROTOCOL_ERROR),
    Breach("6.2", "padding longer than HEADERS", headers(1, b"\5abc", flags=4 | frames.PADDED), E.PROTOCOL_ERROR),
    Breach("6.2", "padded HEADERS of nothing", headers(1, b"", flags=4 | frames.PADDED), E.PROTOCOL_ERROR),
    Breach("6.2", "no room for the priority", headers(1, b"abc", flags=4 | frames.PRIORITY_FLAG), E.PROTOCOL_ERROR),
    Breach("6.3", "PRIORITY on stream 0", frame(frames.PRIORITY, 0, 0, bytes(5)), E.PROTOCOL_ERROR),
    Breach("6.3", "PRIORITY of 4 bytes", frame(frames.PRIORITY, 0, 1, bytes(4)), E.FRAME_SIZE_ERROR),
    Breach("6.4", "RST_STREAM on stream 0", rst_stream(0, 0), E.PROTOCOL_ERROR),
    Breach("6.4", "RST_STREAM of 5 bytes", OPEN + frame(frames.RST_STREAM, 0, 1, bytes(5)), E.FRAME_SIZE_ERROR),
    Breach("6.5", "SETTINGS on a stream", frame(frames.SETTINGS, 0, 1), E.PROTOCOL_ERROR),
    Breach("6.5", "SETTINGS of 5 bytes", frame(frames.SETTINGS, 0, 0, bytes(5)), E.FRAME_SIZE_ERROR),
    Breach("6.5", "acknowledgement with content", frame(frames.SETTINGS, 1, 0, bytes(6)), E.FRAME_SIZE_ERROR),
    Breach("6.5.2", "ENABLE_PUSH of 2", setting(Setting.ENABLE_PUSH, 2), E.PROTOCOL_ERROR),
    Breach("6.5.2", "window above 2^31-1", setting(Setting.INITIAL_WINDOW_SIZE, 2**31), E.FLOW_CONTROL_ERROR),
    Breach("6.5.2", "frame size below 2^14", setting(Setting.MAX_FRAME_SIZE, 16_383), E.PROTOCOL_ERROR),
    Breach("6.5.2", "frame size of 2^24", setting(Setting.MAX_FRAME_SIZE, 2**24), E.PROTOCOL_ERROR),
    Breach("8441.3", "ENABLE_CONNECT_PROTOCOL of 2", setting(Setting.ENABLE_CONNECT_PROTOCOL, 2), E.PROTOCOL_ERROR),
    Breach("6.6", "PUSH_PROMISE", OPEN + frame(frames.PUSH_PROMISE, 4, 1, bytes(4)), E.PROTOCOL_ERROR),
    Breach("6.7", "PING of 7 bytes", frame(frames.PING, 0, 0, bytes(7)), E.FRAME_SIZE_ERROR),
    Breach("6.7", "PING on a stream", frame(frames.PING, 0, 1, bytes(8)), E.PROTOCOL_ERROR),
    Breach("6.8", "GOAWAY on a stream", frame(frames.GOAWAY, 0, 1, bytes(8)), E.PROTOCOL_ERROR),
    Breach("6.8", "GOAWAY of 7 bytes", frame(frames.GOAWAY, 0, 0, bytes(7)), E.FRAME_SIZE_ERROR),
    Breach("6.9", "WINDOW_UPDATE of 3 bytes", frame(frames.WINDOW_UPDATE, 0, 0, bytes(3)), E.FRAME_SIZE_ERROR),
    Breach("6.9", "WINDOW_UPDATE of 0 for the connection", window_update(0, 0), E.PROTOCOL_ERROR),
    Breach("6.9.1", "the connection's window above 2^31-1", window_update(0, 2**31 - 1), E.FLOW_CONTROL_ERROR),
    Breach(
        "6.9.1", "more DATA than the connection's window",
        b"".join(headers(i) + data(i, bytes(16_000)) * 4 for i in range(1, 15, 2)),
        E.FLOW_CONTROL_ERROR,
    ),
    Breach(
        "6.9.2", "a stream's window pushed above 2^31-1",
        OPEN + window_update(1, 2**31 - 1 - 65_535) + setting(Setting.INITIAL_WINDOW_SIZE, 65_536),
        E.FLOW_CONTROL_ERROR,
    ),
    Breach("6.10", "CONTINUATION out of nowhere", frame(frames.CONTINUATION, 4, 1, CONNECT), E.PROTOCOL_ERROR),
    Breach(
        "6.10", "CONTINUATION of another stream",
        headers(1, flags=0) + frame(frames.CONTINUATION, 4, 3, CONNECT), E.PROTOCOL_ERROR,
    ),
]  # fmt: skip


@pytest.mark.parametrize("breach", CONNECTION_ERRORS, ids=lambda breach: f"{breach.section}: {breach.name}")
@pytest.mark.parametrize("cut", ["whole", "bytes"])
def test_connection_errors(breach: Breach, cut: str) -> None:
    """GOAWAY with that code (§5.4.1), and nothing is read after it."""
    server = Endpoint()
    pieces = [breach.sent] if cut == "whole" else [breach.sent[i : i + 1] for i in range(len(breach.sent))]
    happened = server.feed(*pieces)
    assert happened[-1][:2] == ("ConnectionFailed", breach.code)
    assert server.codec.failed is not None
    away = server.sent()[-1]
    assert (away.kind, away.stream_id) == (frames.GOAWAY, 0)
    assert int.from_bytes(away.payload[4:8], "big") == breach.code
    assert server.feed(PING, headers(101)) == []
    assert server.sent() == []


BEFORE_SETTINGS = [
    Breach("3.4", "another protocol", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", E.PROTOCOL_ERROR),
    Breach("3.4", "a preface that goes wrong at its end", PREFACE[:-1] + b"x", E.PROTOCOL_ERROR),
    Breach("3.4", "PING instead of SETTINGS", PREFACE + PING, E.PROTOCOL_ERROR),
    Breach("3.4", "DATA instead of SETTINGS", PREFACE + data(1, b"x"), E.PROTOCOL_ERROR),
    Breach("3.4", "an acknowledgement first", PREFACE + frame(frames.SETTINGS, frames.ACK, 0), E.PROTOCOL_ERROR),
]


@pytest.mark.parametrize("breach", BEFORE_SETTINGS, ids=lambda breach: breach.name)
@pytest.mark.parametrize("cut", ["whole", "bytes"])
def test_a_connection_begins_with_preface_and_settings(breach: Breach, cut: str) -> None:
    """Whoever speaks something else is told so in HTTP/2 and left."""
    server = Endpoint(greeted=False)
    pieces = [breach.sent] if cut == "whole" else [breach.sent[i : i + 1] for i in range(len(breach.sent))]
    assert server.feed(*pieces)[-1][:2] == ("ConnectionFailed", breach.code)


def connect(*more: tuple[bytes, bytes]) -> bytes:
    """Return a CONNECT with further fields."""
    return headers(1, CONNECT + encode(list(more)))


def request(**pseudo: bytes) -> bytes:
    """Return a request of pseudo-header fields."""
    return headers(1, encode([(b":" + name.encode(), value) for name, value in pseudo.items()]))


STREAM_ERRORS = [
    Breach("5.1", "DATA after END_STREAM", headers(1, POST, flags=END) + data(1, b"x"), E.STREAM_CLOSED),
    Breach("5.1", "HEADERS after END_STREAM", headers(1, POST, flags=END) + headers(1), E.STREAM_CLOSED),
    Breach("6.9", "WINDOW_UPDATE of 0 for a stream", OPEN + window_update(1, 0), E.PROTOCOL_ERROR),
    Breach("6.9.1", "a stream's window above 2^31-1", OPEN + window_update(1, 2**31 - 1), E.FLOW_CONTROL_ERROR),
    Breach(
        "6.9.1", "more DATA than a stream's window",
        OPEN + data(1, bytes(16_384)) * 3 + data(1, bytes(16_383)) + data(1, b"x"), E.FLOW_CONTROL_ERROR,
    ),
    Breach("8.2", "upper case in a name", connect((b"Via", b"x")), E.PROTOCOL_ERROR),
    Breach("8.2", "a blank in a name", connect((b"a b", b"x")), E.PROTOCOL_ERROR),
    Breach("8.2", "an empty name", connect((b"", b"x")), E.PROTOCOL_ERROR),
    Breach("8.2", "a colon inside a name", connect((b"a:b", b"x")), E.PROTOCOL_ERROR),
    Breach("8.2.1", "CR in a value", connect((b"via", b"a\rb")), E.PROTOCOL_ERROR),
    Breach("8.2.1", "LF in a value", connect((b"via", b"a\nb")), E.PROTOCOL_ERROR),
    Breach("8.2.1", "NUL in a value", connect((b"via", b"a\0b")), E.PROTOCOL_ERROR),
    Breach("8.2.1", "a blank before a value", connect((b"via", b" a")), E.PROTOCOL_ERROR),
    Breach("8.2.1", "a tab after a value", connect((b"via", b"a\t")), E.PROTOCOL_ERROR),
    Breach("8.2.1", "LF at the end of a value", connect((b"via", b"a\n")), E.PROTOCOL_ERROR),
    Breach("8.2.2", "connection", connect((b"connection", b"close")), E.PROTOCOL_ERROR),
    Breach("8.2.2", "proxy-connection", connect((b"proxy-connection", b"close")), E.PROTOCOL_ERROR),
    Breach("8.2.2", "keep-alive", connect((b"keep-alive", b"1")), E.PROTOCOL_ERROR),
    Breach("8.2.2", "transfer-encoding", connect((b"transfer-encoding", b"chunked")), E.PROTOCOL_ERROR),
    Breach("8.2.2", "upgrade", connect((b"upgrade", b"h2c")), E.PROTOCOL_ERROR),
    Breach("8.2.2", "te that asks for more than trailers", connect((b"te", b"gzip")), E.PROTOCOL_ERROR),
    Breach("8.3", "unknown pseudo-header", connect((b":x", b"1")), E.PROTOCOL_ERROR),
    Breach("8.3", "a response's pseudo-header", connect((b":status", b"200")), E.PROTOCOL_ERROR),
    Breach("8.3", "pseudo-header twice", connect((b":authority", b"x:1")), E.PROTOCOL_ERROR),
    Breach(
        "8.3", "pseudo-header after a field",
        headers(1, encode([(b":method", b"CONNECT"), (b"via", b"x"), (b":authority", b"x:1")])), E.PROTOCOL_ERROR,
    ),
    Breach("8.3.1", "nothing at all", headers(1, b""), E.PROTOCOL_ERROR),
    Breach("8.3.1", "no method", request(scheme=b"https", path=b"/", authority=b"x"), E.PROTOCOL_ERROR),
    Breach("8.3.1", "no path", request(method=b"GET", scheme=b"https", authority=b"x"), E.PROTOCOL_ERROR),
    Breach("8.3.1", "an empty path", request(method=b"GET", scheme=b"https", path=b""), E.PROTOCOL_ERROR),
    Breach("8.3.1", "no scheme", request(method=b"GET", path=b"/", authority=b"x"), E.PROTOCOL_ERROR),
    Breach("8.5", "CONNECT without authority", request(method=b"CONNECT"), E.PROTOCOL_ERROR),
    Breach("8.5", "CONNECT with an empty authority", request(method=b"CONNECT", authority=b""), E.PROTOCOL_ERROR),
    Breach("8.5", "CONNECT with a path", request(method=b"CONNECT", authority=b"x:1", path=b"/"), E.PROTOCOL_ERROR),
    Breach("8.5", "CONNECT with scheme alone", request(method=b"CONNECT", scheme=b"https"), E.PROTOCOL_ERROR),
    Breach("8.5", "HEADERS on a tunnel", OPEN + headers(1), E.PROTOCOL_ERROR),
    Breach("8.5", "trailers on a tunnel", OPEN + headers(1, encode([(b"x", b"1")]), flags=END), E.PROTOCOL_ERROR),
    Breach(
        "8441.4", "a protocol without CONNECT",
        request(method=b"GET", scheme=b"https", path=b"/", authority=b"x", protocol=b"connect-udp"), E.PROTOCOL_ERROR,
    ),
    Breach(
        "8441.4", "extended CONNECT without authority",
        request(method=b"CONNECT", scheme=b"https", path=b"/", protocol=b"connect-udp"), E.PROTOCOL_ERROR,
    ),
]  # fmt: skip


@pytest.mark.parametrize("breach", STREAM_ERRORS, ids=lambda breach: f"{breach.section}: {breach.name}")
@pytest.mark.parametrize("cut", ["whole", "bytes"])
def test_stream_errors(breach: Breach, cut: str) -> None:
    """RST_STREAM with that code (§5.4.2); the connection and its other streams go on."""
    server = Endpoint()
    pieces = [breach.sent] if cut == "whole" else [breach.sent[i : i + 1] for i in range(len(breach.sent))]
    happened = server.feed(*pieces)
    assert ("StreamReset", True, breach.code, 1) in happened
    assert 1 not in server.codec.streams
    resets = [sent for sent in server.sent() if sent.kind == frames.RST_STREAM]
    assert [(sent.stream_id, int.from_bytes(sent.payload, "big")) for sent in resets] == [(1, breach.code)]
    names = [event[0] for event in server.feed(headers(3), data(3, b"x"))]
    assert names == ["RequestReceived", "DataReceived"]


IGNORED = {
    "4.1: a set reserved bit": headers(1).replace(b"\0\0\0\1", b"\x80\0\0\1", 1) + data(1 | 1 << 31, b"x"),
    "5.1: PRIORITY on an idle stream": frame(frames.PRIORITY, 0, 9, bytes(5)),
    "5.1: PRIORITY on a closed stream": CLOSED + frame(frames.PRIORITY, 0, 1, bytes(5)),
    "5.1: WINDOW_UPDATE on a closed stream": CLOSED + window_update(1, 1),
    "5.1: RST_STREAM on a closed stream": CLOSED + rst_stream(1, 0),
    "5.1: DATA that crossed a reset": CLOSED + data(1, b"x", end=True),
    "5.1: HEADERS that crossed a reset": CLOSED + headers(1, encode([(b"x", b"1")]), flags=END),
    "5.5: an unknown frame": frame(0x42, 0xFF, 0, b"x" * 100),
    "6.2: padding and priority": headers(1, b"\2" + bytes(5) + CONNECT + b"\0\0", flags=4 | 8 | 0x20),
    "6.5: an unknown setting": setting(0x99, 1),
    "6.5: a header table of no use to us": setting(Setting.HEADER_TABLE_SIZE, 0),
    "6.5: a client that takes pushes": setting(Setting.ENABLE_PUSH, 1),
    "6.9.2: a window of 0": OPEN + setting(Setting.INITIAL_WINDOW_SIZE, 0),
    "8.2.2: te that asks for trailers": connect((b"te", b"trailers")),
    "8441.4: extended CONNECT":
        request(method=b"CONNECT", scheme=b"https", path=b"/", authority=b"x:1", protocol=b"connect-udp"),
}


@pytest.mark.parametrize("name", IGNORED)
def test_what_is_allowed_breaks_nothing(name: str) -> None:
    """No GOAWAY, no RST_STREAM, and the connection goes on."""
    server = Endpoint()
    happened = server.feed(IGNORED[name])
    assert server.codec.failed is None
    assert not [event for event in happened if event[:2] == ("StreamReset", True)]
    server.feed(PING)
    kinds = [sent.kind for sent in server.sent()]
    assert kinds[-1] == frames.PING
    assert not {frames.GOAWAY, frames.RST_STREAM} & set(kinds)


def response(*fields: tuple[bytes, bytes], end: bool = False) -> bytes:
    """Return a response on stream 1."""
    return headers(1, encode(list(fields)), flags=END if end else frames.END_HEADERS)


CLIENT_SIDE = [
    Breach("5.1.1", "server opens a stream", headers(2), E.PROTOCOL_ERROR),
    Breach("5.1.1", "server opens one of ours", headers(3), E.PROTOCOL_ERROR),
    Breach("6.5.2", "server asks for pushes", setting(Setting.ENABLE_PUSH, 1), E.PROTOCOL_ERROR),
]
CLIENT_SIDE_STREAM = [
    Breach("8.1", "content before the response", data(1, b"x"), E.PROTOCOL_ERROR),
    Breach("8.1", "END_STREAM before the response", data(1, end=True), E.PROTOCOL_ERROR),
    Breach("8.1", "an interim response ends", response((b":status", b"103"), end=True), E.PROTOCOL_ERROR),
    Breach("8.3.2", "no status", response((b"via", b"x")), E.PROTOCOL_ERROR),
    Breach("8.3.2", "a status of two digits", response((b":status", b"20")), E.PROTOCOL_ERROR),
    Breach("8.3.2", "a status of letters", response((b":status", b"2OO")), E.PROTOCOL_ERROR),
    Breach("8.3.2", "a request's field", response((b":status", b"200"), (b":path", b"/")), E.PROTOCOL_ERROR),
    Breach("8.5", "trailers on a tunnel", headers(1, OK) + response((b"x", b"1"), end=True), E.PROTOCOL_ERROR),
    Breach("8.5", "a second response", headers(1, OK) + headers(1, OK), E.PROTOCOL_ERROR),
    Breach("5.1", "DATA after the end", headers(1, OK) + data(1, end=True) + data(1, b"x"), E.STREAM_CLOSED),
]  # fmt: skip


@pytest.mark.parametrize("breach", CLIENT_SIDE, ids=lambda breach: breach.name)
def test_connection_errors_of_a_server(breach: Breach) -> None:
    """What only a client can be sent."""
    client = Endpoint(client=True)
    client.codec.open_stream(CONNECT)
    assert client.feed(breach.sent)[-1][:2] == ("ConnectionFailed", breach.code)


@pytest.mark.parametrize("breach", CLIENT_SIDE_STREAM, ids=lambda breach: breach.name)
def test_stream_errors_of_a_server(breach: Breach) -> None:
    """A server that breaks a response's rules loses the stream, never the connection."""
    client = Endpoint(client=True)
    client.codec.open_stream(CONNECT)
    other = client.codec.open_stream(CONNECT)
    assert ("StreamReset", True, breach.code, 1) in client.feed(breach.sent)
    assert client.codec.failed is None
    assert list(client.codec.streams) == [other.id]


def test_every_part_of_a_padded_frame_is_checked_in_order() -> None:
    """Padding that fits is dropped, whatever it holds; the content is what is left."""
    server = Endpoint()
    assert server.feed(OPEN, data(1, b"abc", padding=200, end=True))[1:] == [
        ("DataReceived", b"abc", 1), ("StreamEnded", 1),
    ]
    assert server.feed(headers(3), frame(frames.DATA, frames.PADDED, 3, b"\0abc"))[1:] == [("DataReceived", b"abc", 3)]


def test_settings_come_first_on_a_client_too() -> None:
    """A server's first frame is SETTINGS (§3.4)."""
    client = Endpoint(client=True, greeted=False)
    assert client.feed(PING)[-1][:2] == ("ConnectionFailed", E.PROTOCOL_ERROR)
    assert Endpoint(client=True, greeted=False).feed(SETTINGS) == [("SettingsReceived",)]
    assert HELLO == PREFACE + SETTINGS


def test_a_token_field_is_never_indexed() -> None:
    """RFC 7541 §7.1.3: what must not be guessed is marked for every hop."""
    assert encode_field(b"authorization", b"Bearer x", sensitive=True)[0] & 0xF0 == 0x10
