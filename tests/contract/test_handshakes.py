"""What every proxy handshake owes its connection, whichever protocol it speaks.

A new row in INBOUNDS is tested here as soon as it has a request to make below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from tunneld.inbound import INBOUNDS
from tunneld.inbound.reception import CODEC_BY_FIRST_BYTE
from tunneld.model.errors import LocalProtocolError
from tunneld.model.reasons import Kind, Reason
from tunneld.wire.handshake import Credentials, FlowAsked, Handshake, HandshakeFailed


class Script(NamedTuple):
    """What a client of the protocol sends, and how its answers begin."""

    chunks: tuple[bytes, ...]
    success: bytes
    refused: Callable[[bytes], bool]


SCRIPTS: dict[str, Script] = {
    "socks5": Script(
        (b"\x05\x01\x00", b"\x05\x01\x00\x03\x09a.example\x01\xbb"),
        b"\x05\x00\x00\x01",
        lambda reply: len(reply) == 10 and reply[0] == 5 and reply[1] != 0,
    ),
    "socks4": Script(
        (b"\x04\x01\x01\xbb\x00\x00\x00\x01ada\x00a.example\x00",),
        b"\x00\x5a",
        lambda reply: len(reply) == 8 and reply[:2] == b"\x00\x5b",
    ),
    "http": Script(
        (b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n",),
        b"HTTP/1.1 200 ",
        lambda reply: reply.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")) and b"\r\nProxy-Status: tunneld; " in reply,
    ),
}
REFUSALS = [reason for reason in Reason if reason.kind is not Kind.OK]


@pytest.fixture(params=sorted(INBOUNDS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def asked(name: str) -> Handshake:
    """Return a codec whose client has asked for a.example:443 and gone on talking."""
    codec = INBOUNDS[name].codec(None)
    *first, last = SCRIPTS[name].chunks
    for chunk in first:
        codec.receive_data(chunk)
        assert codec.events() == []
    codec.receive_data(last + b"early")
    events = codec.events()
    assert len(events) == 1
    assert isinstance(events[0], FlowAsked)
    assert events[0][:2] == ("a.example", 443)
    assert codec.events() == []
    codec.data_to_send()
    return codec


def test_first_bytes_lead_to_the_codec(name: str) -> None:
    """The table of the mixed port and the scripts agree."""
    assert CODEC_BY_FIRST_BYTE[SCRIPTS[name].chunks[0][0]] is INBOUNDS[name].codec


def test_early_data_is_held(name: str) -> None:
    """Bytes behind the request are kept, and nothing is answered before somebody decided."""
    codec = asked(name)
    assert codec.trailing_data == b"early"
    codec.receive_data(b" more")
    assert codec.trailing_data == b"early more"
    assert codec.events() == []
    assert codec.data_to_send() == b""


@pytest.mark.parametrize("bound", [None, ("10.0.0.1", 1234), ("2001:db8::1", 1234)])
def test_accept_says_success_once(name: str, bound: tuple[str, int] | None) -> None:
    """The success reply, whole and alone."""
    codec = asked(name)
    codec.accept(bound)
    reply = codec.data_to_send()
    assert reply.startswith(SCRIPTS[name].success) or (bound and reply.startswith(SCRIPTS[name].success[:2]))
    assert codec.data_to_send() == b""


@pytest.mark.parametrize("reason", REFUSALS)
def test_every_reason_is_a_whole_refusal(name: str, reason: Reason) -> None:
    """No refusal reads as a success, and what came early is dropped."""
    codec = asked(name)
    codec.refuse(reason, "detail")
    reply = codec.data_to_send()
    assert SCRIPTS[name].refused(reply)
    codec.receive_data(b"pipelined")
    assert codec.events() == []
    assert codec.data_to_send() == b""
    assert codec.trailing_data == b""


def test_good_reasons_cannot_refuse(name: str) -> None:
    """Mistakes of ours are loud."""
    for reason in set(Reason) - set(REFUSALS):
        with pytest.raises(LocalProtocolError):
            asked(name).refuse(reason)


def test_end_of_stream_after_the_request_is_silent(name: str) -> None:
    """A client may close its side as soon as it has said everything."""
    codec = asked(name)
    codec.receive_eof()
    assert codec.events() == []


def test_end_of_stream_at_every_earlier_place_is_a_failure(name: str) -> None:
    """One failure, whichever byte was the last."""
    script = b"".join(SCRIPTS[name].chunks)
    for size in range(len(script)):
        codec = INBOUNDS[name].codec(None)
        if size:
            codec.receive_data(script[:size])
        codec.receive_eof()
        assert [type(event) for event in codec.events()] == [HandshakeFailed]
        codec.receive_eof()
        codec.receive_data(script[size:])
        assert codec.events() == []


CREDENTIALS: Credentials = (b"ada", b"secret")


def test_nobody_gets_in_without_the_password(name: str) -> None:
    """A request without credentials is never a flow where they are required."""
    codec = INBOUNDS[name].codec(CREDENTIALS)
    for chunk in SCRIPTS[name].chunks:
        codec.receive_data(chunk)
    events = codec.events()
    assert [type(event) for event in events] == [HandshakeFailed]
    assert events[0] == HandshakeFailed(Reason.PROXY_AUTH_REQUIRED, events[0][1])  # type: ignore[misc]
    assert codec.data_to_send()
