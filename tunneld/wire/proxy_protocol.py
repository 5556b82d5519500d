"""The PROXY protocol, version 2 (haproxy's doc/proxy-protocol.txt §2.2): tell an origin who its client is.

The edge writes the header; the reader is for origins that we play ourselves. A header is believed only where a
setting says that it comes, never because the bytes look like one (§5 there).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from tunneld.model.address import parse_ip
from tunneld.model.errors import LocalProtocolError, PeerProtocolError
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Protocol

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21  # version 2 in the high half
ALPN, AUTHORITY, UNIQUE_ID = 0x01, 0x02, 0x05
CUSTOM = range(0xE0, 0xF0)  # §2.2.8: for the application
MAX_UNIQUE_ID = 128  # §2.2.5
MAX_HEADER = 16 + 2048  # The length field allows 64 KiB; nginx reads headers up to 4 KiB, haproxy up to its buffer.

_TRANSPORT = {Protocol.TCP: 1, Protocol.UDP: 2}
_PROTOCOL = {1: Protocol.TCP, 2: Protocol.UDP}
_ADDRESS_SIZE = {1: 4, 2: 16}

Endpoint = tuple[str, int]


class ProxyHeader(NamedTuple):
    """A decoded header. `source` and `destination` are None for LOCAL and for families that we do not read."""

    source: Endpoint | None
    destination: Endpoint | None
    protocol: Protocol | None
    tlvs: tuple[tuple[int, bytes], ...]


def encode_proxy_header(
    source: Endpoint,
    destination: Endpoint,
    tlvs: Iterable[tuple[int, bytes]] = (),
    *,
    protocol: Protocol = Protocol.TCP,
) -> bytes:
    """Return the header for a connection from `source` to `destination`, both IP addresses with ports.

    If the two are of different families both are written as IPv6, since a header has one family. Raises
    LocalProtocolError for what the protocol cannot carry.
    """
    addresses = [parse_ip(source[0]), parse_ip(destination[0])]
    packed = b""
    family = 1 if all(isinstance(address, IPv4Address) for address in addresses) else 2
    for address in addresses:
        if address is None:
            raise LocalProtocolError("the PROXY protocol carries IP addresses")
        if family == 2 and isinstance(address, IPv4Address):
            address = IPv6Address(b"\x00" * 10 + b"\xff\xff" + address.packed)
        packed += address.packed
    packed += source[1].to_bytes(2, "big") + destination[1].to_bytes(2, "big")
    for kind, value in tlvs:
        if kind == UNIQUE_ID and len(value) > MAX_UNIQUE_ID:
            raise LocalProtocolError("a unique id has at most 128 bytes")
        packed += bytes((kind,)) + len(value).to_bytes(2, "big") + value
    if 16 + len(packed) > MAX_HEADER:
        raise LocalProtocolError("the header would be too long")
    return SIGNATURE + bytes((PROXY, family << 4 | _TRANSPORT[protocol])) + len(packed).to_bytes(2, "big") + packed


class ProxyHeaderReader:
    """Reads one header from the start of a connection; it never sends."""

    __slots__ = ("_buffer", "_events", "_over")

    def __init__(self) -> None:
        self._buffer = b""
        self._events: list[ProxyHeader] = []
        self._over = False

    @property
    def trailing_data(self) -> bytes:
        """Bytes behind the header."""
        return self._buffer

    def receive_data(self, data: bytes) -> None:
        """Take bytes. Raises PeerProtocolError as soon as they cannot be a header that we accept."""
        self._buffer += data
        if self._over:
            return
        buffer = self._buffer
        if not SIGNATURE.startswith(buffer[:12]):
            raise PeerProtocolError(Reason.MALFORMED_REQUEST, "no PROXY signature")
        if len(buffer) < 16:
            return
        size = 16 + (buffer[14] << 8 | buffer[15])
        if buffer[12] not in (LOCAL, PROXY):
            raise PeerProtocolError(Reason.MALFORMED_REQUEST, "not PROXY version 2")
        if size > MAX_HEADER:
            raise PeerProtocolError(Reason.MALFORMED_REQUEST, f"a PROXY header longer than {MAX_HEADER} bytes")
        if len(buffer) < size:
            return
        self._events.append(_decode(buffer[12], buffer[13], buffer[16:size]))
        self._buffer = buffer[size:]
        self._over = True

    def receive_eof(self) -> None:
        """Take the end of stream: in the middle of a header it is an error."""
        if not self._over:
            raise PeerProtocolError(Reason.MALFORMED_REQUEST, "the peer closed in its PROXY header")

    def events(self) -> list[ProxyHeader]:
        """Return the header once it is whole."""
        events, self._events = self._events, []
        return events

    def data_to_send(self) -> bytes:
        """Return nothing: the protocol has no answer."""
        return b""


def _decode(command: int, family_and_transport: int, content: bytes) -> ProxyHeader:
    size = _ADDRESS_SIZE.get(family_and_transport >> 4)
    protocol = _PROTOCOL.get(family_and_transport & 0x0F)
    if command == LOCAL or size is None or protocol is None:
        # §2.2: the receiver uses the connection's own endpoints and skips the block.
        return ProxyHeader(None, None, None, ())
    end = 2 * size + 4
    if len(content) < end:
        raise PeerProtocolError(Reason.MALFORMED_REQUEST, "the addresses are cut short")
    source = (str(ip_address(content[:size])), int.from_bytes(content[2 * size : 2 * size + 2], "big"))
    destination = (str(ip_address(content[size : 2 * size])), int.from_bytes(content[end - 2 : end], "big"))
    return ProxyHeader(source, destination, protocol, _decode_tlvs(content[end:]))


def _decode_tlvs(content: bytes) -> tuple[tuple[int, bytes], ...]:
    tlvs: list[tuple[int, bytes]] = []
    while content:
        end = 3 + int.from_bytes(content[1:3], "big")
        if len(content) < end:
            raise PeerProtocolError(Reason.MALFORMED_REQUEST, "a TLV passes the header's end")
        tlvs.append((content[0], content[3:end]))
        content = content[end:]
    return tuple(tlvs)
