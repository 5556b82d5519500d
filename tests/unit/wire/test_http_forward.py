"""Plain forwarding, both sides of it, without a socket."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wire.cuts import CUTS, pieces
from tests.unit.wire.raw_requests import FORWARDS, HOST, get
from tunneld.model.reasons import Reason
from tunneld.wire.http_forward import (
    MAX_RESPONSE_HEAD,
    ConnectAsked,
    ForwardClient,
    ForwardServer,
    RequestFailed,
    ResponseFailed,
)
from tunneld.wire.http_rewrite import RequestHead

GET = get(b"http://a.example/x")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def forward(request: bytes, *, eof: bool = False) -> tuple[bytes, list[Any], ForwardServer, ForwardClient]:
    """Read one request and return what its origin receives."""
    server, client = ForwardServer(), ForwardClient()
    server.receive_data(request)
    if eof:
        server.receive_eof()
    events = list(server.events())
    for event in events:
        if isinstance(event, RequestHead):
            client.start(event)
        elif isinstance(event, h11.Data):
            client.send_data(event)
        elif isinstance(event, h11.EndOfMessage):
            client.send_end(event)
    return client.data_to_send(), events, server, client


def answer(server: ForwardServer, client: ForwardClient, response: bytes, *, eof: bool = False) -> list[Any]:
    """Let the origin answer and pass everything on."""
    client.receive_data(response)
    if eof:
        client.receive_eof()
    events = list(client.events())
    for event in events:
        if isinstance(event, h11.Response):
            server.respond(event)
        elif isinstance(event, h11.InformationalResponse):
            server.inform(event)
        elif isinstance(event, h11.Data):
            server.respond_data(event)
        elif isinstance(event, h11.EndOfMessage):
            server.respond_end(event)
    return events


def exchange(
    request: bytes, response: bytes, *, eof: bool = False
) -> tuple[bytes, bytes, ForwardServer, ForwardClient]:
    """Return what the origin and the client receive."""
    sent, _, server, client = forward(request)
    answer(server, client, response, eof=eof)
    return sent, server.data_to_send(), server, client


@pytest.mark.parametrize("name", FORWARDS)
def test_corpus_of_requests(name: str) -> None:
    """Each head is forwarded or refused with its reason; a refused one is never read on."""
    data, reason = FORWARDS[name]
    sent, events, server, _ = forward(data + b"GET http://smuggled.example/ HTTP/1.1\r\nHost: s\r\n\r\n")
    if reason is None:
        assert isinstance(events[0], RequestHead)
        assert sent.startswith(events[0].method + b" /")
    else:
        assert [type(event) for event in events] == [RequestFailed]
        assert events[0].reason is reason
        out = server.data_to_send()
        assert out.split()[1] in (b"400", b"501")
        assert reason.value.encode() in out
        assert sent == b""
    assert b"smuggled" not in sent


def test_request_is_rewritten() -> None:
    """Origin-form, Host from the target, no field that is between the client and us, and Via."""
    fields = (
        b"Host: evil.example\r\nUser-Agent: x\r\nProxy-Connection: keep-alive\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
        b"Proxy-Authorization: Basic eA==\r\nConnection: close, X-Secret, host, content-length\r\nX-Secret: 1\r\n"
        b"Accept: */*\r\nVia: 1.0 other\r\nUpgrade: h2c\r\nContent-Length: 2\r\n"
    )
    sent, events, _, _ = forward(get(b"http://A.example:8080?q=1", fields, method=b"POST") + b"ok")
    assert events[0][:4] == ("a.example", 8080, b"POST", b"/?q=1")
    assert sent == (
        b"POST /?q=1 HTTP/1.1\r\nHost: A.example:8080\r\nUser-Agent: x\r\nAccept: */*\r\nVia: 1.0 other\r\n"
        b"Content-Length: 2\r\nVia: 1.1 tunneld\r\n\r\nok"
    )


def test_response_is_rewritten() -> None:
    """The same on the way back."""
    response = (
        b"HTTP/1.1 200 Fine\r\nConnection: X-Hop\r\nX-Hop: 1\r\nProxy-Authenticate: Basic\r\nKeep-Alive: 5\r\n"
        b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nhi"
    )
    _, out, _, _ = exchange(GET, response)
    assert out == (
        b"HTTP/1.1 200 Fine\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\nVia: 1.1 tunneld\r\n\r\nhi"
    )


def test_chunked_both_ways_with_trailers() -> None:
    """Chunks are framed anew, extensions go, trailers stay but for those that would frame or route."""
    chunks = b"4;ext=1\r\nabcd\r\n2\r\nef\r\n0\r\nX-Sum: 7\r\nHost: evil\r\n\r\n"
    request = get(b"http://a.example/", HOST + b"Transfer-Encoding: chunked\r\n", method=b"POST") + chunks
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n" + chunks
    sent, out, server, client = exchange(request, response)
    for data in (sent, out):
        head, _, body = data.partition(b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in head
        assert b"Content-Length" not in head
        assert body == b"4\r\nabcd\r\n2\r\nef\r\n0\r\nx-sum: 7\r\n\r\n"
    assert server.next_request()
    assert client.reusable


def test_trailers_without_room_are_dropped() -> None:
    """A client of HTTP/1.0 knows no chunks."""
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n"
    _, out, server, _ = exchange(get(b"http://a.example/", b"", b"HTTP/1.0"), response)
    assert out.endswith(b"\r\n\r\nhi")
    assert b"Connection: close\r\n" in out
    assert b"chunked" not in out
    assert not server.next_request()


@pytest.mark.parametrize("method", [b"HEAD", b"GET"])
def test_answers_without_a_body(method: bytes) -> None:
    """HEAD keeps the length of what GET would have brought; 204 and 304 end with their heads."""
    full, bare = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\n\r\n"
    request = get(b"http://a.example/", method=method)
    _, out, server, client = exchange(request, full if method == b"HEAD" else bare)
    assert (b"Content-Length: 99" in out) == (method == b"HEAD")
    assert out.endswith(b"\r\n\r\n")
    assert server.next_request()
    assert client.reusable


def test_answer_that_ends_with_its_connection() -> None:
    """Without framing the end of the stream is the end of the body; the client sees chunks and stays."""
    _, out, server, client = exchange(GET, b"HTTP/1.1 200 OK\r\n\r\nhello", eof=True)
    assert out.endswith(b"5\r\nhello\r\n0\r\n\r\n")
    assert server.next_request()
    assert not client.reusable
    assert client.idle


@pytest.mark.parametrize(
    ("response", "eof", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", True, Reason.ORIGIN_RESET),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi", True, Reason.ORIGIN_RESET),
        (b"HTTP/1.1 200 OK\r\n", True, Reason.ORIGIN_RESET),
        (b"", True, Reason.ORIGIN_RESET),
        (b"SSH-2.0-OpenSSH\r\n\r\n", False, Reason.ORIGIN_PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", False, Reason.ORIGIN_PROTOCOL),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", False, Reason.ORIGIN_PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * (MAX_RESPONSE_HEAD + 1), False, Reason.ORIGIN_PROTOCOL),
    ],
)
def test_answer_that_is_cut_short_or_not_http(response: bytes, eof: bool, reason: Reason) -> None:
    """A truncated answer is never an end."""
    _, _, server, client = forward(GET)
    events = answer(server, client, response, eof=eof)
    assert isinstance(events[-1], ResponseFailed)
    assert events[-1].reason is reason
    assert not client.reusable
    assert not client.idle
    client.receive_data(b"more")
    client.receive_eof()
    assert list(client.events()) == []


def test_informational_answers_are_passed_on() -> None:
    """100 and 103 reach a client of HTTP/1.1, before the answer."""
    request = get(b"http://a.example/", HOST + b"Expect: 100-continue\r\nContent-Length: 2\r\n", method=b"PUT")
    sent, events, server, client = forward(request)
    assert b"Expect: 100-continue\r\n" in sent
    assert len(events) == 1
    answer(server, client, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    out = server.data_to_send()
    assert out.startswith(b"HTTP/1.1 100 Continue\r\n")
    assert b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n" in out
    server.receive_data(b"ok")
    for event in server.events():
        client.send_data(event) if isinstance(event, h11.Data) else client.send_end(event)  # type: ignore[arg-type]
    assert client.data_to_send() == b"ok"
    answer(server, client, OK)
    assert server.next_request()


def test_informational_answers_are_hidden_from_version_1_0() -> None:
    """RFC 9110 §15.2."""
    _, out, _, _ = exchange(get(b"http://a.example/", b"", b"HTTP/1.0"), b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)
    assert out.startswith(b"HTTP/1.1 200 OK")


def test_pipelined_requests_come_one_by_one() -> None:
    """The second request is not read before the first is answered."""
    _, events, server, client = forward(GET + get(b"http://b.example/y"))
    assert [type(event) for event in events] == [RequestHead, h11.EndOfMessage]
    assert server.request_complete
    assert not server.next_request()
    answer(server, client, OK)
    assert server.next_request()
    assert server.started
    head = next(server.events())
    assert isinstance(head, RequestHead)
    assert head.host == "b.example"


def test_later_connect_is_handed_back() -> None:
    """A kept-alive connection may turn into a tunnel."""
    connect = b"CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n"
    _, _, server, client = forward(GET + connect)
    answer(server, client, OK)
    assert server.next_request()
    assert [type(event) for event in server.events()] == [ConnectAsked]
    assert server.trailing_data == connect


def test_connection_close_is_honoured() -> None:
    """By the client towards us, by the origin towards us; neither reaches the other side."""
    sent, out, server, _ = exchange(get(b"http://a.example/", HOST + b"Connection: close\r\n"), OK)
    assert b"onnection" not in sent
    assert b"\r\nConnection: close\r\n" in out
    assert not server.next_request()
    _, out, server, client = exchange(GET, OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert b"onnection" not in out
    assert server.next_request()
    assert not client.reusable
    assert client.idle


def test_early_answer_closes() -> None:
    """A request that is answered before its end is not read to its end."""
    request = get(b"http://a.example/", HOST + b"Content-Length: 10\r\n", method=b"PUT") + b"12345"
    _, out, server, client = exchange(request, b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    assert b"\r\nConnection: close\r\n" in out
    assert not server.next_request()
    assert not client.idle


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST"])
def test_refusal_keeps_the_connection_if_the_request_is_complete(method: bytes) -> None:
    """The reason is in Proxy-Status and in the body, except for HEAD."""
    body = b"Content-Length: 2\r\n" if method == b"POST" else b""
    server = ForwardServer()
    server.receive_data(get(b"http://a.example/", HOST + body, method=method) + (b"ok" if body else b""))
    assert isinstance(next(server.events()), RequestHead)
    server.refuse(Reason.RULE_BLOCK, "rule 7")
    out = server.data_to_send()
    assert out.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b'Proxy-Status: tunneld; error=http_request_denied; details="rule_block"\r\n' in out
    assert (b"(rule_block: rule 7)\n" in out) == (method != b"HEAD")
    assert b"Connection: close" not in out
    assert server.next_request()


def test_refusal_in_the_middle_of_a_request_closes() -> None:
    """What is left of the body would be read as a request."""
    server = ForwardServer()
    server.receive_data(get(b"http://a.example/", HOST + b"Content-Length: 9\r\n", method=b"POST") + b"ok")
    assert isinstance(next(server.events()), RequestHead)
    server.refuse(Reason.ORIGIN_REFUSED)
    assert b"\r\nConnection: close\r\n" in server.data_to_send()
    assert not server.next_request()


def test_nothing_is_read_after_a_failure() -> None:
    """Neither what came with the bad request nor what comes later."""
    _, events, server, _ = forward(get(b"/") + GET)
    assert [type(event) for event in events] == [RequestFailed]
    server.receive_data(GET)
    assert list(server.events()) == []
    assert server.trailing_data == b""


def test_refusal_of_a_request_whose_body_is_broken() -> None:
    """One answer only: the request's own fault."""
    server = ForwardServer()
    server.receive_data(get(b"http://a.example/", HOST + b"Transfer-Encoding: chunked\r\n", method=b"POST") + b"zz\r\n")
    assert isinstance(next(server.events()), RequestHead)
    server.refuse(Reason.ORIGIN_REFUSED)
    assert server.data_to_send().startswith(b"HTTP/1.1 400 ")
    assert not server.next_request()


def test_broken_body_after_the_answer_began_gets_no_second_answer() -> None:
    """The connection breaks instead."""
    request = get(b"http://a.example/", HOST + b"Transfer-Encoding: chunked\r\n", method=b"POST")
    _, _, server, client = forward(request)
    answer(server, client, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")
    server.data_to_send()
    server.receive_data(b"zz\r\n")
    assert [type(event) for event in server.events()] == [RequestFailed]
    assert server.data_to_send() == b""


@pytest.mark.parametrize(
    ("value", "local", "forwarded"), [(b"0", True, b"0"), (b"3", False, b"2"), (b"x", False, b"x")]
)
def test_max_forwards_of_options(value: bytes, local: bool, forwarded: bytes) -> None:
    """RFC 9110 §7.6.2: counted down, and answered here at zero; OPTIONS without a path asks for the server itself."""
    request = get(b"http://a.example", HOST + b"Max-Forwards: " + value + b"\r\n", method=b"OPTIONS")
    sent, events, server, _ = forward(request)
    assert events[0].local is local
    assert events[0].target == b"*"
    assert b"Max-Forwards: " + forwarded + b"\r\n" in sent
    if local:
        server.answer_options()
        assert server.data_to_send() == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        assert server.next_request()


UPGRADE = get(b"http://a.example/chat", HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n")


def test_upgrade_is_offered_to_the_origin_and_switched() -> None:
    """After 101 both sides keep what belongs to the new protocol."""
    sent, events, server, client = forward(UPGRADE + b"early")
    assert events[0].upgrade
    assert b"Connection: upgrade\r\nUpgrade: websocket\r\n" in sent
    answer(server, client, b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nlate")
    assert server.data_to_send().startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert (server.trailing_data, client.trailing_data) == (b"early", b"late")


@pytest.mark.parametrize(("early", "lives"), [(b"", True), (b"GET http://smuggled.example/", False)])
def test_refused_upgrade_never_reads_what_was_sent_in_hope(early: bytes, lives: bool) -> None:
    """Bytes of another protocol are no request (RFC 9931)."""
    _, _, server, client = forward(UPGRADE + early)
    answer(server, client, OK)
    assert server.next_request() is lives


def test_upgrade_of_a_post_is_not_offered() -> None:
    """Only a request without a body can leave HTTP in one step."""
    sent, events, _, _ = forward(get(b"http://a.example/", HOST + b"Upgrade: websocket\r\n", method=b"POST"))
    assert not events[0].upgrade
    assert b"pgrade" not in sent


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        (b"", []),
        (b"GET http://a", [RequestFailed]),
        (GET, [RequestHead, h11.EndOfMessage]),
        (get(b"http://a.example/", HOST + b"Content-Length: 9\r\n") + b"ok", [RequestHead, h11.Data, RequestFailed]),
    ],
)
def test_end_of_stream(data: bytes, kinds: list[type]) -> None:
    """A whole request is answered, half of one is a failure."""
    _, events, server, _ = forward(data, eof=True)
    assert [type(event) for event in events] == kinds
    assert server.started is bool(data)


def test_credentials_are_asked_for_each_request() -> None:
    """407 with a challenge; the right ones never reach the origin."""
    right = HOST + b"Proxy-Authorization: Basic " + b64encode(b"ada:x") + b"\r\n"
    for fields, expected in [(HOST, RequestFailed), (right, RequestHead)]:
        server = ForwardServer((b"ada", b"x"))
        server.receive_data(get(b"http://a.example/", fields))
        event = next(server.events())
        assert isinstance(event, expected)
        if isinstance(event, RequestHead):
            assert not [name for name, _ in event.fields if name.lower() == b"proxy-authorization"]
        else:
            assert b"Proxy-Authenticate: Basic" in server.data_to_send()


def test_unasked_bytes_spoil_a_connection() -> None:
    """An origin that speaks out of turn is not asked again."""
    fresh = ForwardClient()
    assert fresh.reusable
    assert fresh.idle
    assert fresh.trailing_data == b""
    fresh.receive_eof()
    assert not fresh.reusable
    fresh = ForwardClient()
    fresh.receive_data(b"HTTP/1.1 200 OK\r\n\r\n")
    assert list(fresh.events()) == []
    assert not fresh.reusable
    _, _, _, client = exchange(GET, OK + b"HTTP/1.1 200 OK\r\n\r\n")
    assert not client.reusable


def merged(events: Iterable[Any]) -> list[Any]:
    """Return `events` with pieces of one body put together."""
    out: list[Any] = []
    for event in events:
        if isinstance(event, h11.Data):
            if out and isinstance(out[-1], bytes):
                out[-1] += bytes(event.data)
            else:
                out.append(bytes(event.data))
        elif isinstance(event, RequestFailed | ResponseFailed):
            out.append((type(event), event.reason))  # h11's words may count the bytes
        else:
            out.append(repr(event))
    return out


def run(codec: ForwardServer | ForwardClient, chunks: Iterable[bytes], eof: bool) -> list[Any]:
    events: list[Any] = []
    for chunk in chunks:
        codec.receive_data(chunk)
        events += codec.events()
    if eof:
        codec.receive_eof()
        events += codec.events()
    return [merged(events), codec.data_to_send() if isinstance(codec, ForwardServer) else b"", codec.trailing_data]


CHUNKED = HOST + b"Transfer-Encoding: chunked\r\n"
REQUESTS = [data for data, _ in FORWARDS.values() if len(data) < 2000] + [
    get(b"http://a.example/", CHUNKED, method=b"POST") + b"3\r\nabc\r\n0\r\nX: 1\r\n\r\n" + GET,
    get(b"http://a.example/", HOST + b"Content-Length: 5\r\n", method=b"POST") + b"hello" + GET,
    get(b"http://a.example/", CHUNKED, method=b"POST") + b"3\r\nabcd\r\n",
]


@given(data=st.sampled_from(REQUESTS) | st.binary(max_size=60), cuts=CUTS, eof=st.booleans())
def test_requests_are_split_invariant(data: bytes, cuts: list[int], eof: bool) -> None:
    """Where the network cuts a request changes nothing."""
    whole = run(ForwardServer(), [data], eof)
    assert run(ForwardServer(), [data[i : i + 1] for i in range(len(data))], eof) == whole
    assert run(ForwardServer(), pieces(data, cuts), eof) == whole


RESPONSES = [
    OK,
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
    b"HTTP/1.1 204 No Content\r\n\r\n" + OK,
]


@given(data=st.sampled_from(RESPONSES), cuts=CUTS, eof=st.booleans())
def test_responses_are_split_invariant(data: bytes, cuts: list[int], eof: bool) -> None:
    """Where the network cuts a response changes nothing."""

    def asked() -> ForwardClient:
        client = ForwardClient()
        client.start(RequestHead("a.example", 80, b"GET", b"/", [(b"Host", b"a.example")], upgrade=False))
        client.send_end(h11.EndOfMessage())
        client.data_to_send()
        return client

    whole = run(asked(), [data], eof)
    assert run(asked(), [data[i : i + 1] for i in range(len(data))], eof) == whole
    assert run(asked(), pieces(data, cuts), eof) == whole
