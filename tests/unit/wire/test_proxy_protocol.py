"""PROXY protocol v2 headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wire.cuts import CUTS, assert_split_invariant, outcome
from tunneld.model.errors import LocalProtocolError, PeerProtocolError
from tunneld.model.verdict import Protocol
from tunneld.wire.proxy_protocol import (
    AUTHORITY,
    SIGNATURE,
    UNIQUE_ID,
    ProxyHeader,
    ProxyHeaderReader,
    encode_proxy_header,
)

V4 = (("192.0.2.1", 40000), ("10.20.0.7", 443))
V6 = (("2001:db8::1", 40000), ("2001:db8::2", 443))


def test_header_is_the_one_of_the_specification() -> None:
    """The worked-out bytes for TCP over IPv4."""
    assert encode_proxy_header(*V4) == (
        b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x0c"
        b"\xc0\x00\x02\x01\x0a\x14\x00\x07\x9c\x40\x01\xbb"
    )


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize(("source", "destination"), [V4, V6])
def test_round_trip(source: tuple[str, int], destination: tuple[str, int], protocol: Protocol) -> None:
    """Addresses, transport and TLVs arrive; what follows is kept back."""
    tlvs = ((AUTHORITY, b"a.example"), (UNIQUE_ID, b"u" * 128), (0xE0, b""))
    data = encode_proxy_header(source, destination, tlvs, protocol=protocol)
    events, sent, rest = outcome(ProxyHeaderReader, [data + b"payload"])
    assert events == [ProxyHeader(source, destination, protocol, tlvs)]
    assert (sent, rest) == (b"", b"payload")


def test_mixed_families_become_ipv6() -> None:
    """A header has one family, so the IPv4 address is mapped."""
    events, _, _ = outcome(ProxyHeaderReader, [encode_proxy_header(V4[0], V6[1])])
    assert events[0].source == ("::ffff:192.0.2.1", 40000) or events[0].source == ("::ffff:c000:201", 40000)
    assert events[0].destination == V6[1]


@pytest.mark.parametrize(
    ("source", "tlvs"),
    [(("a.example", 1), ()), (V4[0], [(UNIQUE_ID, b"u" * 129)]), (V4[0], [(0xE0, bytes(3000))])],
)
def test_what_cannot_be_said(source: tuple[str, int], tlvs: list[tuple[int, bytes]]) -> None:
    """A name, a long unique id and a huge header are our mistakes."""
    with pytest.raises(LocalProtocolError):
        encode_proxy_header(source, V4[1], tlvs)


@pytest.mark.parametrize(
    "rest",
    [
        b"\x20\x00\x00\x00", b"\x20\x11\x00\x03abc", b"\x21\x00\x00\x02ab", b"\x21\x31\x00\x00", b"\x21\x10\x00\x00",
    ],
)  # fmt: skip
def test_local_and_unread_families_are_skipped(rest: bytes) -> None:
    """Health checks, Unix sockets and unknown transports: the connection's own endpoints count."""
    events, _, behind = outcome(ProxyHeaderReader, [SIGNATURE + rest + b"payload"], eof=True)
    assert events == [ProxyHeader(None, None, None, ())]
    assert behind == b"payload"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n",
        SIGNATURE + b"\x11\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11),
        SIGNATURE + b"\x21\x21\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11\xff\xff",
        SIGNATURE + b"\x21\x11\x00\x0e" + bytes(14),
        SIGNATURE + b"\x21\x11\x00\x10" + bytes(12) + b"\x01\x00\x09a",
    ],
)
def test_bad_headers_are_refused(data: bytes) -> None:
    """A wrong signature, version or length ends the connection."""
    with pytest.raises(PeerProtocolError):
        outcome(ProxyHeaderReader, [data])


def test_end_of_stream_in_the_header() -> None:
    """A connection that ends early carried no header."""
    with pytest.raises(PeerProtocolError):
        outcome(ProxyHeaderReader, [SIGNATURE], eof=True)


@given(payload=st.binary(max_size=30), cuts=CUTS)
def test_split_invariance(payload: bytes, cuts: list[int]) -> None:
    """Where the network cuts the bytes changes nothing."""
    data = encode_proxy_header(*V6, [(UNIQUE_ID, b"1234")]) + payload
    assert_split_invariant(ProxyHeaderReader, data, cuts, eof=True)
