"""One destination of a rule: a name, a wildcard or a block of addresses, parsed once into values that compare.

Addresses, CIDR blocks and ranges all become one `[start, end]` pair of integers; what tells them apart is only how
many addresses they cover.
"""

from __future__ import annotations

import re
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import NamedTuple

from tunneld.model.address import IPAddress, normalise_host, parse_ip
from tunneld.model.errors import PeerProtocolError


class Form(IntEnum):
    """How a destination is written. The order is the order of precedence: a name before a wildcard before addresses."""

    NAME = 0
    WILDCARD = 1
    ADDRESSES = 2


class Destination(NamedTuple):
    """`text` is the name, the wildcard's suffix without ``*.`` ("" for ``*``), or the addresses spelt canonically."""

    form: Form
    text: str
    version: int = 0  # 4 or 6; 0 for names
    start: int = 0
    end: int = 0

    @property
    def size(self) -> int:
        """How many addresses it covers; 0 for a name, which covers none by itself."""
        return self.end - self.start + 1 if self.version else 0

    @property
    def labels(self) -> int:
        """How many labels the name or the wildcard's suffix has."""
        return self.text.count(".") + 1 if self.text and not self.version else 0

    def contains(self, other: Destination) -> bool:
        """Whether everything that `other` matches is matched by this one too."""
        if self.version:
            return self.version == other.version and self.start <= other.start and other.end <= self.end
        if self.form is Form.NAME:
            return self[:2] == other[:2]
        if other.form is Form.WILDCARD:
            return under(other.text, self.text) or other.text == self.text
        return other.form is Form.NAME and under(other.text, self.text)

    def __str__(self) -> str:
        if self.form is Form.WILDCARD:
            return f"*.{self.text}" if self.text else "*"
        return self.text


class UnusableError(ValueError):
    """A value in a document that cannot be used, with what to write instead."""

    def __init__(self, message: str, mend: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.mend = mend
        self.path = path


def under(name: str, suffix: str) -> bool:
    """Whether `name` lies below `suffix` at any depth. The apex is not below itself; everything is below ""."""
    return bool(name) if not suffix else name.endswith(suffix) and name[: -len(suffix)].endswith(".")


# The common spellings in one match; ipaddress takes twenty times as long, and a profile may hold 400,000 of them.
_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}(?:/(3[0-2]|[12]?[0-9]))?")
_MAPPED = 0xFFFF << 32  # ::ffff:0:0/96, RFC 4291 §2.5.5.2
_BLOCKS = "write it like 10.0.0.0/8 or 2001:db8::/32"
_EXAMPLES = "write a name, *.name, an address, a CIDR block or first-last"


def parse_destination(text: object) -> Destination:
    """Return the destination that `text` spells. Raises UnusableError."""
    if not isinstance(text, str):
        raise UnusableError("a destination is a string", _EXAMPLES)
    quad = _IPV4.fullmatch(text)
    if quad is not None:
        a, b, c, d, prefix = quad.groups()
        start = int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d)
        if prefix is None:
            return Destination(Form.ADDRESSES, text, 4, start, start)
        return _block(text, 4, start, 32 - int(prefix))
    if text == "*":
        return Destination(Form.WILDCARD, "")
    if text.startswith("*."):
        suffix = _name(text, text[2:])
        if parse_ip(suffix) is not None:
            raise UnusableError(f"{_shown(text)} puts a wildcard before an address", _BLOCKS)
        return Destination(Form.WILDCARD, suffix)
    if "://" in text:
        raise UnusableError(f"{_shown(text)} is a URL", "write its host alone; ports go into `ports`")
    if "/" in text:
        return _parse_block(text)
    if "-" in text:
        first, _, last = text.partition("-")
        low, high = parse_ip(first.strip()), parse_ip(last.strip())
        if low is not None or high is not None:
            return _parse_range(text, low, high)
    name = _name(text, text)
    address = parse_ip(name)
    if address is not None:
        return Destination(Form.ADDRESSES, name, address.version, int(address), int(address))
    return Destination(Form.NAME, name)


def _name(text: str, name: str) -> str:
    try:
        return normalise_host(name)
    except PeerProtocolError as error:
        mend = "ports go into `ports`" if re.fullmatch(r"[^:]+:[0-9]+", text) else _EXAMPLES
        problem = error.detail or error.reason.value
        raise UnusableError(f"{_shown(text)} is not a destination: {problem}", mend) from None


def _shown(text: str) -> str:
    """Return `text` quoted on one line, cut where it is longer than a line likes."""
    return ascii(text if len(text) <= 60 else text[:57] + "...")


def _block(text: str, version: int, start: int, host_bits: int) -> Destination:
    """Return the block of `2**host_bits` addresses at `start`, which must be its first."""
    end = start | (1 << host_bits) - 1
    if start & (1 << host_bits) - 1:
        first = (IPv4Address if version == 4 else IPv6Address)(start & ~((1 << host_bits) - 1))
        mend = f"{first}/{(32 if version == 4 else 128) - host_bits}"
        raise UnusableError(f"{_shown(text)} has host bits set", f"write {mend}, or the address alone")
    return Destination(Form.ADDRESSES, text, version, start, end)


def _parse_block(text: str) -> Destination:
    """Parse the CIDR spellings that the fast path does not take: IPv6, and what is wrong."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise UnusableError(f"{_shown(text)} is not a CIDR block", _BLOCKS) from None
    address, _, prefix = text.partition("/")
    if network.version == 4 or not prefix.isdecimal() or "%" in address:
        raise UnusableError(f"{_shown(text)} is not a CIDR block", _BLOCKS)
    start, host_bits = int(IPv6Address(address)), 128 - network.prefixlen
    if host_bits <= 32 and start >> 32 << 32 == _MAPPED:  # hosts are folded to IPv4, so the block must be too
        folded = IPv4Address(start - _MAPPED)
        return _block(f"{folded}/{32 - host_bits}", 4, int(folded), host_bits)
    return _block(f"{IPv6Address(address)}/{network.prefixlen}", 6, start, host_bits)


def _parse_range(text: str, low: IPAddress | None, high: IPAddress | None) -> Destination:
    if low is None or high is None or low.version != high.version:
        raise UnusableError(f"{_shown(text)} is not a range of addresses", "write first-last, both IPv4 or both IPv6")
    if int(low) > int(high):
        raise UnusableError(f"{_shown(text)} ends before it starts", f"write {high}-{low}")
    return Destination(Form.ADDRESSES, f"{low}-{high}", low.version, int(low), int(high))
