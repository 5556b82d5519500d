"""Hosts and authorities, normalised once at the door so that everybody downstream compares plain strings.

A host is a `str`: either a normalised name (lower case, no trailing dot, IDNA A-labels) or the canonical text of an
IP address (IPv4-mapped IPv6 folded to IPv4, no brackets, no zone).
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

import idna

from tunneld.model.errors import PeerProtocolError
from tunneld.model.reasons import Reason

MAX_NAME = 255  # RFC 1928 §5 carries a name behind one length byte; RFC 1035 §2.3.4 allows 253 characters of text.
MAX_TEXT_NAME = 253

# Underscores are not host names (RFC 952), but service names such as _ldap._tcp are asked for in practice.
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# inet_aton spellings (127.1, 0x7f.1, 2130706433): resolvers take them for addresses, so they must not pass as names.
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+))*")

# Most hosts arrive in their normal form: one match says so, for a fifteenth of the full way's cost. A name's last label
# begins with a letter, so that no spelling of an address passes for a name; an address has no leading zeros.
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_NORMAL_HOST = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
    rf"|(?:{_OCTET}\.){{3}}{_OCTET}"
)
# RFC 5952 for the IPv6 addresses that write no group of zeros: all eight groups, or a `::` that stands for two or more
# (at most six colons say so), beside which there is no other run of zeros. IPv4-mapped ones go the full way.
_GROUP = "[1-9a-f][0-9a-f]{0,3}"
_GROUPS = f"(?:{_GROUP}(?::{_GROUP})*)?"
_NORMAL_IPV6 = re.compile(f"(?!::ffff:)(?!(?:[^:]*:){{7}}){_GROUPS}::{_GROUPS}|{_GROUP}(?::{_GROUP}){{7}}")

IPAddress = IPv4Address | IPv6Address


def parse_ip(text: str) -> IPAddress | None:
    """Return the address that `text` spells, IPv4-mapped IPv6 folded to IPv4, or None if it is not an address."""
    try:
        address = IPv6Address(text) if ":" in text else IPv4Address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
    return address


def normalise_host(text: str) -> str:
    """Return the one spelling of `text` that the rest of the program uses.

    Raises PeerProtocolError (`name_too_long`, `name_invalid`). Numeric spellings that are not canonical addresses
    (``0x7f.1``) are refused rather than guessed.
    """
    if len(text) <= MAX_TEXT_NAME and (_NORMAL_HOST.fullmatch(text) or _NORMAL_IPV6.fullmatch(text)):
        return text
    if len(text) > MAX_NAME:
        raise PeerProtocolError(Reason.NAME_TOO_LONG, f"{len(text)} characters")
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
        if ":" not in text:
            raise PeerProtocolError(Reason.NAME_INVALID, "brackets hold no IPv6 address")
    address = parse_ip(text)
    if address is not None:
        return str(address)
    name = text[:-1] if text.endswith(".") else text
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True, transitional=False).decode("ascii")
        except idna.IDNAError as error:
            raise PeerProtocolError(Reason.NAME_INVALID, str(error)[:80]) from None
    name = name.lower()
    if len(name) > MAX_TEXT_NAME:
        raise PeerProtocolError(Reason.NAME_TOO_LONG, f"{len(name)} characters")
    folded = parse_ip(name)  # a trailing dot or full-width digits can hide an address
    if folded is not None:
        return str(folded)
    if _NUMERIC.fullmatch(name) or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise PeerProtocolError(Reason.NAME_INVALID, "not a host name")
    return name


def parse_port(text: str) -> int:
    """Return the port that `text` spells in plain decimal, 1 to 65535. Raises PeerProtocolError(`port_invalid`)."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        raise PeerProtocolError(Reason.PORT_INVALID, "not a decimal number")
    port = int(text)
    if not 1 <= port <= 65535:
        raise PeerProtocolError(Reason.PORT_INVALID, "out of range")
    return port


def parse_authority(text: str) -> tuple[str, int]:
    """Split `host:port` (RFC 9110 §9.3.6: the port is mandatory for CONNECT) into a normalised pair."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or (":" in host and not host.startswith("[")):
        raise PeerProtocolError(Reason.MALFORMED_REQUEST, "authority is not host:port")
    return normalise_host(host), parse_port(port)


def format_authority(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 address (RFC 3986 §3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
