"""CONNECT, and what every HTTP inbound refuses."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wire.cuts import CUTS, assert_split_invariant, outcome
from tests.unit.wire.raw_requests import CONNECTS, FORWARDS, HOST, connect
from tunneld.model.errors import LocalProtocolError
from tunneld.model.reasons import Kind, Reason
from tunneld.wire.handshake import FlowAsked, ForwardAsked, HandshakeFailed
from tunneld.wire.http_head import encode_refusal, refusal_status
from tunneld.wire.http_proxy import HttpProxy
from tunneld.wire.proxy_status import decode_proxy_status


def locked() -> HttpProxy:
    return HttpProxy((b"ada", b"correct horse"))


def basic(text: bytes) -> bytes:
    return b"Proxy-Authorization: Basic " + b64encode(text) + b"\r\n"


@pytest.mark.parametrize("name", CONNECTS)
def test_corpus_of_connects(name: str) -> None:
    """Each head is a flow or a refusal with its reason; a refused one is never read on."""
    data, reason = CONNECTS[name]
    smuggled = b"GET http://smuggled.example/ HTTP/1.1\r\nHost: s\r\n\r\n"
    events, sent, rest = outcome(HttpProxy, [data + smuggled])
    assert len(events) == 1
    if reason is None:
        assert isinstance(events[0], FlowAsked)
        assert (sent, rest) == (b"", smuggled)
    else:
        assert isinstance(events[0], HandshakeFailed)
        assert events[0].reason is reason
        assert sent.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b'details="' + reason.value.encode() + b'"' in sent
        assert b"\r\nConnection: close\r\n" in sent
        assert rest == b""


def test_corpus_is_large_enough_to_mean_something() -> None:
    """Sixty requests of each side, most of them bad."""
    assert len(CONNECTS) + len(FORWARDS) >= 100
    assert sum(reason is not None for _, reason in CONNECTS.values()) >= 50


@pytest.mark.parametrize(
    ("target", "host", "port"),
    [
        (b"A.Example.:443", "a.example", 443),
        (b"[2001:DB8::1]:22", "2001:db8::1", 22),
        (b"[::ffff:10.0.0.1]:80", "10.0.0.1", 80),
    ],
)
def test_target_decides_and_host_does_not(target: bytes, host: str, port: int) -> None:
    """The Host field is another origin's, and nobody cares (RFC 9110 §9.3.6)."""
    events, _, _ = outcome(HttpProxy, [connect(target, b"Host: evil.example:1\r\n")])
    assert events == [FlowAsked(host, port, "http-connect")]


def test_success_has_no_body_framing() -> None:
    """A 2xx to CONNECT has neither Content-Length nor Transfer-Encoding."""
    codec = HttpProxy()
    codec.receive_data(connect(b"a.example:443") + b"early")
    assert codec.trailing_data == b"early"
    codec.accept(("10.0.0.1", 1))
    sent = codec.data_to_send()
    assert sent.startswith(b"HTTP/1.1 200 ")
    assert sent.endswith(b"\r\n\r\n")
    assert b"ontent-" not in sent
    assert b"ransfer-" not in sent


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        (basic(b"ada:correct horse"), True),
        (basic(b"ada:correct horse").replace(b"Basic", b"bAsIc"), True),
        (b"", False),
        (basic(b"ada:wrong"), False),
        (basic(b"ada"), False),
        (basic(b"ada:correct horse") * 2, False),
        (b"Proxy-Authorization: Bearer abc\r\n", False),
        (b"Proxy-Authorization: Basic %%%\r\n", False),
        (b"Proxy-Authorization: Basic\r\n", False),
        (basic(b"ada:correct horse").replace(b"Proxy-", b""), False),
    ],
)
def test_basic_credentials(fields: bytes, allowed: bool) -> None:
    """RFC 7617, and 407 with a challenge for everything else."""
    events, sent, _ = outcome(locked, [connect(b"a.example:443", HOST + fields)])
    if allowed:
        assert events == [FlowAsked("a.example", 443, "http-connect")]
    else:
        assert [event.reason for event in events] == [Reason.PROXY_AUTH_REQUIRED]
        assert sent.startswith(b"HTTP/1.1 407 Proxy Authentication Required\r\n")
        assert b'\r\nProxy-Authenticate: Basic realm="tunneld"' in sent


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"CONNECTED x", b"connect a:1", b"P", b"\x16\x03\x01"])
def test_other_methods_are_handed_on_untouched(data: bytes) -> None:
    """Everything but CONNECT belongs to the forwarder, from the first byte."""
    events, sent, rest = outcome(HttpProxy, [data])
    assert (events, sent, rest) == ([ForwardAsked()], b"", data)


@pytest.mark.parametrize("so_far", [b"", b"CONN", b"CONNECT a.example:443 HTTP/1.1\r\n"])
def test_end_of_stream_in_the_head(so_far: bytes) -> None:
    """A client that leaves early failed its handshake; one that has asked did not."""
    events, sent, _ = outcome(HttpProxy, [so_far] if so_far else [], eof=True)
    assert [event.reason for event in events] == [Reason.MALFORMED_REQUEST]
    assert sent == b""
    events, _, _ = outcome(HttpProxy, [connect(b"a.example:443")], eof=True)
    assert [type(event) for event in events] == [FlowAsked]


@pytest.mark.parametrize(("detail", "shown"), [
    ("revoked: by hand", "(revoked: by hand)"), ("revoked", "(revoked)"), ("by hand", "(revoked: by hand)"),
    ("a sentence. " * 40, "a sentence. )"),
])  # fmt: skip
def test_a_refusal_is_whole_and_names_its_reason_once(detail: str, shown: str) -> None:
    body = encode_refusal(Reason.REVOKED, detail).partition(b"\r\n\r\n")[2].decode()
    assert body.rstrip().endswith(shown)
    assert body.count("revoked") == 2  # once in the sentence, once as the reason's name


def test_every_reason_has_a_status_and_a_readable_refusal() -> None:
    """The status fits the kind, the stable name is in Proxy-Status, and the sentence is in the body."""
    for reason in Reason:
        if reason.kind is Kind.OK:
            with pytest.raises(LocalProtocolError):
                encode_refusal(reason)
            continue
        head, _, body = encode_refusal(reason, "x\r\n\x1b[31m\u2028é" + "y" * 1000).partition(b"\r\n\r\n")
        lines = head.decode("ascii").split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:])
        assert int(lines[0].split()[1]) == refusal_status(reason) >= 400
        assert decode_proxy_status(fields["Proxy-Status"])[1] == reason.value
        assert int(fields["Content-Length"]) == len(body) < 700
        assert reason.sentence.encode() in body
        assert not [byte for byte in body[:-1] if not 0x20 <= byte <= 0x7E]
        assert ("Proxy-Authenticate" in fields) == (refusal_status(reason) == 407)


@given(
    script=st.sampled_from([data for data, _ in CONNECTS.values() if len(data) < 2000]) | st.binary(max_size=60),
    tail=st.binary(max_size=20),
    cuts=CUTS,
    eof=st.booleans(),
)
def test_split_invariance(script: bytes, tail: bytes, cuts: list[int], eof: bool) -> None:
    """Where the network cuts the bytes changes nothing."""
    assert_split_invariant(HttpProxy, script + tail, cuts, eof=eof)
