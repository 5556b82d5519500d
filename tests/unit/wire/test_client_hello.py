"""Server name and ALPN out of real and broken ClientHellos."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wire.cuts import CUTS, assert_split_invariant, outcome
from tunneld.wire.client_hello import MAX_HELLO, ClientHelloReader, Hello, NotTls, read_client_hello


def openssl_hello(name: str | None, alpn: list[str] | None = None) -> bytes:
    """Return what OpenSSL really sends."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


def vector(prefix: int, content: bytes) -> bytes:
    return len(content).to_bytes(prefix, "big") + content


def extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(2, content)


def server_name(*names: bytes, kind: int = 0) -> bytes:
    return extension(0, vector(2, b"".join(bytes((kind,)) + vector(2, name) for name in names)))


def hello(extensions: bytes | None = b"", *, behind: bytes = b"") -> bytes:
    body = b"\x03\x03" + bytes(32) + vector(1, b"") + vector(2, b"\x13\x01") + vector(1, b"\x00")
    if extensions is not None:
        body += vector(2, extensions)
    body += behind
    return b"\x01" + len(body).to_bytes(3, "big") + body


def records(message: bytes, size: int = 1 << 14) -> bytes:
    return b"".join(b"\x16\x03\x01" + vector(2, message[i : i + size]) for i in range(0, len(message), size))


@pytest.mark.parametrize("size", [1 << 14, 100, 4, 3, 1])
@pytest.mark.parametrize(
    ("name", "alpn", "expected"),
    [
        ("Tenant.Private.edge.tunneld.test", ["h2"], Hello("tenant.private.edge.tunneld.test", (b"h2",))),
        ("a.example", ["h2", "http/1.1"], Hello("a.example", (b"h2", b"http/1.1"))),
        ("a.example", None, Hello("a.example", ())),
        (None, None, Hello(None, ())),
    ],
)
def test_openssl_hello(name: str | None, alpn: list[str] | None, expected: Hello, size: int) -> None:
    """A real hello is read, also when it is spread over many records, and TLS gets every byte."""
    data = openssl_hello(name, alpn)
    again = records(data[5:], size) + b"more"
    events, sent, rest = outcome(ClientHelloReader, [again])
    assert events == [expected]
    assert (sent, rest) == (b"", again)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x16\x02\x00\x00\x05",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x40\x01",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x16\x03\x01\x00\x04\x01\x00\x40\x01",
        records(hello(server_name(b"a.example")))[:-1],
        records(hello(behind=b"x")),
        records(hello(server_name(b"a.example") * 2)),
        records(hello(server_name(b"a.example", b"b.example"))),
        records(hello(server_name())),
        records(hello(server_name(b"a.example", kind=1))),
        records(hello(server_name(b""))),
        records(hello(server_name(b"a.example."))),
        records(hello(server_name(b"a\x00.example"))),
        records(hello(server_name(b"a" * 256))),
        records(hello(extension(0, vector(2, b"") + b"x"))),
        records(hello(extension(0, b"\x00\x09abc"))),
        records(hello(extension(16, vector(2, b"\x00")))),
        records(hello(extension(16, vector(2, b"\x05h2")))),
        records(hello(b"\x00")),
        records(hello(b"\x00\x10\xff\xff")),
        records(b"\x01\x00\x00\x05" + bytes(5)),
        records(b"\x01\x00\x3f\x00" + bytes(0x3F00), 1),
    ],
)
def test_what_is_not_a_hello(data: bytes) -> None:
    """Other protocols, impossible lengths and hellos that nobody honest sends end in one event."""
    events, _, _ = outcome(ClientHelloReader, [data], eof=True)
    assert [type(event) for event in events] == [NotTls]


def test_old_hello_without_extensions() -> None:
    """TLS 1.2 clients may send none (RFC 5246 §7.4.1.2); other extensions and unknown name types are passed over."""
    assert read_client_hello(records(hello(None))) == Hello(None, ())
    assert read_client_hello(records(hello(extension(0xABCD, b"x")))) == Hello(None, ())


def test_reading_is_bounded() -> None:
    """A hello is refused by its announced length, long before the bytes are here."""
    assert isinstance(read_client_hello(b"\x16\x03\x01\x01\x00\x01" + (MAX_HELLO + 1).to_bytes(3, "big")), NotTls)
    assert read_client_hello(b"\x16\x03\x01\x01\x00\x01" + (MAX_HELLO - 4).to_bytes(3, "big")) is None


REAL = openssl_hello("a.example", ["h2"])


@given(data=st.sampled_from([REAL, records(REAL[5:], 50), b"GET / HTTP/1.1"]) | st.binary(max_size=60), cuts=CUTS)
def test_split_invariance(data: bytes, cuts: list[int]) -> None:
    """Where the network cuts the bytes changes nothing."""
    assert_split_invariant(ClientHelloReader, data, cuts, eof=True)


@given(place=st.integers(min_value=0, max_value=len(REAL) - 1), value=st.integers(min_value=0, max_value=255))
def test_one_wrong_byte_never_raises(place: int, value: int) -> None:
    """Whatever byte is changed, the answer is a value."""
    data = REAL[:place] + bytes((value,)) + REAL[place + 1 :]
    assert isinstance(read_client_hello(data), Hello | NotTls | None)
