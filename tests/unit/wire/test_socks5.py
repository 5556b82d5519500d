"""SOCKS5 as RFC 1928 and RFC 1929 have it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wire.cuts import CUTS, assert_split_invariant, outcome
from tunneld.model.errors import LocalProtocolError
from tunneld.model.reasons import Kind, Reason
from tunneld.wire.handshake import FlowAsked, HandshakeFailed
from tunneld.wire.socks5 import REPLY_BY_KIND, Socks5, reply_code

GREETING = b"\x05\x01\x00"
CREDENTIALS = (b"ada", b"correct horse")


def named(name: bytes, port: int = 443) -> bytes:
    return b"\x05\x01\x00\x03" + bytes((len(name),)) + name + port.to_bytes(2, "big")


def login(user: bytes, password: bytes) -> bytes:
    return b"\x01" + bytes((len(user),)) + user + bytes((len(password),)) + password


def locked() -> Socks5:
    return Socks5(CREDENTIALS)


@pytest.mark.parametrize(
    ("request_bytes", "host", "port"),
    [
        (named(b"app.contoso.example"), "app.contoso.example", 443),
        (named(b"a", 1), "a", 1),
        (named(b"x" * 255, 65535), "x" * 255, 65535),
        (named("büro.example".encode()), "büro.example", 443),
        (named(b"10.0.0.1"), "10.0.0.1", 443),
        (b"\x05\x01\x00\x01\x0a\x14\x00\x07\x00\x50", "10.20.0.7", 80),
        (b"\x05\x01\x00\x04" + bytes(15) + b"\x01\x1f\x90", "::1", 8080),
        (b"\x05\x01\x00\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x09\x00\x16", "2001:db8::9", 22),
    ],
)
def test_connect_names_its_destination(request_bytes: bytes, host: str, port: int) -> None:
    """Names, IPv4 and IPv6 arrive as asked, and what follows is kept back."""
    events, sent, rest = outcome(Socks5, [GREETING, request_bytes + b"early"])
    assert events == [FlowAsked(host, port, "socks5")]
    assert sent == b"\x05\x00"
    assert rest == b"early"


@pytest.mark.parametrize(
    ("request_bytes", "reason", "code"),
    [
        (named(b""), Reason.NAME_INVALID, 1),
        (named(b"a\x00b"), Reason.NAME_INVALID, 1),
        (named(b"a\nb"), Reason.NAME_INVALID, 1),
        (named(b"\xff\xfe"), Reason.NAME_INVALID, 1),
        (named(b"a", 0), Reason.PORT_INVALID, 1),
        (b"\x04\x01\x00\x01\x7f\x00\x00\x01\x00\x50", Reason.MALFORMED_REQUEST, 1),
        (b"\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", Reason.UNSUPPORTED_COMMAND, 7),
        (b"\x05\x03\x00\x01\x7f\x00\x00\x01\x00\x50", Reason.UNSUPPORTED_COMMAND, 7),
        (b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50", Reason.UNSUPPORTED_COMMAND, 7),
        (b"\x05\x01\x00\x02\x7f\x00\x00\x01\x00\x50", Reason.UNSUPPORTED_ADDRESS, 8),
        (b"\x05\x01\x00\x00\x7f\x00\x00\x01\x00\x50", Reason.UNSUPPORTED_ADDRESS, 8),
    ],
)
def test_bad_request_is_refused_with_its_code(request_bytes: bytes, reason: Reason, code: int) -> None:
    """Each fault has its reply code, and the reply is a whole one with a bound address."""
    events, sent, rest = outcome(Socks5, [GREETING + request_bytes + b"ignored"])
    assert [type(event) for event in events] == [HandshakeFailed]
    assert events[0].reason is reason
    assert sent == b"\x05\x00" + bytes((5, code)) + b"\x00\x01" + bytes(6)
    assert rest == b""


@pytest.mark.parametrize("methods", [b"", b"\x01", b"\x02", b"\x01\x02\x80\xff"])
def test_no_acceptable_method(methods: bytes) -> None:
    """Without a password only 'no authentication' is acceptable; else 0xFF (RFC 1928 §3)."""
    events, sent, _ = outcome(Socks5, [b"\x05" + bytes((len(methods),)) + methods])
    assert events[0].reason is Reason.UNSUPPORTED_PROTOCOL
    assert sent == b"\x05\xff"


@given(methods=st.binary(max_size=255).filter(lambda methods: 2 not in methods), more=st.binary(max_size=40))
def test_password_cannot_be_skipped(methods: bytes, more: bytes) -> None:
    """Whoever does not offer a password is turned away, whatever follows in the same bytes."""
    greeting = b"\x05" + bytes((len(methods),)) + methods
    events, sent, rest = outcome(locked, [greeting + named(b"secret.example") + more])
    assert [event.reason for event in events] == [Reason.PROXY_AUTH_REQUIRED]
    assert sent == b"\x05\xff"
    assert rest == b""


def test_request_instead_of_password_is_refused() -> None:
    """Going straight to the request after the method was chosen is not a way in."""
    events, sent, _ = outcome(locked, [b"\x05\x02\x00\x02", named(b"secret.example")])
    assert [event.reason for event in events] == [Reason.MALFORMED_REQUEST]
    assert sent == b"\x05\x02\x01\x01"


@pytest.mark.parametrize(
    "wrong",
    [
        (b"ada", b"wrong"), (b"eve", b"correct horse"), (b"", b""), (b"ada", b""), (b"a" * 255, b"b" * 255),
        (b"ada\x00", b"correct horse"),
    ],
)  # fmt: skip
def test_wrong_password(wrong: tuple[bytes, bytes]) -> None:
    """RFC 1929 §2: any status but 0, then close."""
    events, sent, _ = outcome(locked, [b"\x05\x01\x02", login(*wrong)])
    assert [event.reason for event in events] == [Reason.PROXY_AUTH_REQUIRED]
    assert sent == b"\x05\x02\x01\x01"


def test_right_password() -> None:
    """Greeting, password and request may come in one read."""
    events, sent, rest = outcome(locked, [b"\x05\x02\x00\x02" + login(*CREDENTIALS) + named(b"a.example") + b"!"])
    assert events == [FlowAsked("a.example", 443, "socks5")]
    assert sent == b"\x05\x02\x01\x00"
    assert rest == b"!"


def test_other_version_is_not_answered() -> None:
    """Nothing can be said to a client of another protocol."""
    events, sent, _ = outcome(Socks5, [b"\x06\x01\x00"])
    assert [event.reason for event in events] == [Reason.MALFORMED_REQUEST]
    assert sent == b""


@pytest.mark.parametrize("so_far", [b"", b"\x05", GREETING, GREETING + named(b"a.example")[:-1]])
def test_end_of_stream_in_the_handshake(so_far: bytes) -> None:
    """A client that leaves early failed its handshake."""
    events, _, _ = outcome(Socks5, [so_far] if so_far else [], eof=True)
    assert [event.reason for event in events] == [Reason.MALFORMED_REQUEST]


def test_end_of_stream_after_the_request_is_no_failure() -> None:
    """The client may have said all it wants to say."""
    events, _, _ = outcome(Socks5, [GREETING + named(b"a.example")], eof=True)
    assert events == [FlowAsked("a.example", 443, "socks5")]


def test_success_reply_carries_a_whole_address() -> None:
    """BND.ADDR is present and well formed in each family (RFC 1928 §6)."""
    for bound, expected in [
        (None, b"\x05\x00\x00\x01" + bytes(6)),
        (("10.1.2.3", 4660), b"\x05\x00\x00\x01\x0a\x01\x02\x03\x12\x34"),
        (("2001:db8::1", 1), b"\x05\x00\x00\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01\x00\x01"),
    ]:
        codec = Socks5()
        codec.receive_data(GREETING + named(b"a.example"))
        codec.data_to_send()
        codec.accept(bound)
        assert codec.data_to_send() == expected


def test_every_kind_has_a_reply() -> None:
    """Only success says success, and only an address type says 8."""
    assert set(REPLY_BY_KIND) == set(Kind)
    for reason in Reason:
        code = reply_code(reason)
        assert 0 <= code <= 8
        assert (code == 0) == (reason.kind is Kind.OK)
        assert (code == 8) == (reason is Reason.UNSUPPORTED_ADDRESS)


def test_refusing_with_a_good_reason_is_our_mistake() -> None:
    """A refusal never reads as a success."""
    with pytest.raises(LocalProtocolError):
        Socks5().refuse(Reason.COMPLETED)


SCRIPTS = [
    GREETING + named(b"a.example") + b"tail",
    GREETING + named(b"x" * 255),
    GREETING + b"\x05\x01\x00\x04" + bytes(15) + b"\x01\x1f\x90" + b"tail",
    b"\x05\x02\x00\x02" + login(*CREDENTIALS) + named(b"a.example") + b"tail",
    b"\x05\x02\x00\x02" + login(b"eve", b"x") + named(b"a.example"),
    GREETING + b"\x05\x02\x00\x09rest",
    GREETING + named(b""),
    b"\x05\x00rest",
]


@given(script=st.sampled_from(SCRIPTS) | st.binary(max_size=80), cuts=CUTS, secret=st.booleans(), eof=st.booleans())
def test_split_invariance(script: bytes, cuts: list[int], secret: bool, eof: bool) -> None:
    """Where the network cuts the bytes changes nothing."""
    assert_split_invariant(locked if secret else Socks5, script, cuts, eof=eof)
