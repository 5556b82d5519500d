"""SOCKS4 and SOCKS4a."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wire.cuts import CUTS, assert_split_invariant, outcome
from tunneld.model.errors import LocalProtocolError
from tunneld.model.reasons import Kind, Reason
from tunneld.wire.handshake import FlowAsked
from tunneld.wire.socks4 import REPLY_BY_KIND, Socks4

REJECTED = b"\x00\x5b" + bytes(6)


def v4(address: bytes, port: int = 80, user: bytes = b"ada", tail: bytes = b"") -> bytes:
    return b"\x04\x01" + port.to_bytes(2, "big") + address + user + b"\x00" + tail


def v4a(name: bytes, port: int = 80, user: bytes = b"") -> bytes:
    return v4(b"\x00\x00\x00\x01", port, user, name + b"\x00")


def locked() -> Socks4:
    return Socks4((b"ada", b"secret"))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (v4(b"\x0a\x14\x00\x07"), FlowAsked("10.20.0.7", 80, "socks4")),
        (v4(b"\x00\x00\x00\x00"), FlowAsked("0.0.0.0", 80, "socks4")),
        (v4(b"\x0a\x00\x00\x01", user=b"u" * 255), FlowAsked("10.0.0.1", 80, "socks4")),
        (v4a(b"a.example", 443), FlowAsked("a.example", 443, "socks4a")),
        (v4a(b"x" * 255, 1, b"ada"), FlowAsked("x" * 255, 1, "socks4a")),
    ],
)
def test_connect_names_its_destination(data: bytes, expected: FlowAsked) -> None:
    """An address, or a name behind 0.0.0.x; what follows is kept back."""
    events, sent, rest = outcome(Socks4, [data + b"early"])
    assert events == [expected]
    assert sent == b""
    assert rest == b"early"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x05\x01", Reason.MALFORMED_REQUEST),
        (b"\x04\x02" + v4(b"\x0a\x00\x00\x01")[2:], Reason.UNSUPPORTED_COMMAND),
        (v4(b"\x0a\x00\x00\x01", port=0), Reason.PORT_INVALID),
        (v4(b"\x0a\x00\x00\x01", user=b"u" * 256), Reason.MALFORMED_REQUEST),
        (v4a(b""), Reason.NAME_INVALID),
        (v4a(b"a\nb"), Reason.NAME_INVALID),
        (v4a(b"\xff"), Reason.NAME_INVALID),
        (v4a(b"x" * 256), Reason.NAME_TOO_LONG),
        (v4a(b"a", port=0), Reason.PORT_INVALID),
    ],
)
def test_bad_request_is_rejected(data: bytes, reason: Reason) -> None:
    """Each fault is named for the record; the protocol has one word for all of them."""
    events, sent, rest = outcome(Socks4, [data])
    assert [event.reason for event in events] == [reason]
    assert sent == REJECTED
    assert rest == b""


def test_password_cannot_be_avoided_by_speaking_version_4() -> None:
    """Version 4 has no password, so it stays outside where one is required, whatever user it names."""
    for data in (v4(b"\x0a\x00\x00\x01"), v4a(b"a.example", user=b"ada")):
        events, sent, _ = outcome(locked, [data])
        assert [event.reason for event in events] == [Reason.PROXY_AUTH_REQUIRED]
        assert sent == REJECTED


def test_answers() -> None:
    """90 grants, and every kind of refusal is 91."""
    codec = Socks4()
    codec.accept(("10.0.0.1", 5))
    assert codec.data_to_send() == b"\x00\x5a" + bytes(6)
    assert set(REPLY_BY_KIND) == set(Kind)
    assert {kind for kind, code in REPLY_BY_KIND.items() if code == 90} == {Kind.OK}
    codec.refuse(Reason.RULE_BLOCK)
    assert codec.data_to_send() == REJECTED
    with pytest.raises(LocalProtocolError):
        codec.refuse(Reason.COMPLETED)


@pytest.mark.parametrize("so_far", [b"", b"\x04", v4a(b"a.example")[:-1]])
def test_end_of_stream_in_the_handshake(so_far: bytes) -> None:
    """A client that leaves early failed its handshake; one that has asked did not."""
    events, _, _ = outcome(Socks4, [so_far] if so_far else [], eof=True)
    assert [event.reason for event in events] == [Reason.MALFORMED_REQUEST]
    events, _, _ = outcome(Socks4, [v4a(b"a.example")], eof=True)
    assert len(events) == 1
    assert isinstance(events[0], FlowAsked)


SCRIPTS = [
    v4(b"\x0a\x14\x00\x07") + b"tail", v4a(b"a.example") + b"tail", v4a(b""), v4a(b"x" * 256) + b"tail",
    v4(b"\x0a\x00\x00\x01", user=b"u" * 300), b"\x04\x02rest", b"\x09rest",
]  # fmt: skip


@given(script=st.sampled_from(SCRIPTS) | st.binary(max_size=80), cuts=CUTS, secret=st.booleans(), eof=st.booleans())
def test_split_invariance(script: bytes, cuts: list[int], secret: bool, eof: bool) -> None:
    """Where the network cuts the bytes changes nothing."""
    assert_split_invariant(locked if secret else Socks4, script, cuts, eof=eof)
