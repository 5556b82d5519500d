"""Addresses that nobody may be sent to through a proxy, however they were named.

Asked after resolution, about the address that is going to be dialled. A proxy that reaches its own control port is
a remote takeover (CVE-2025-23217 in mitmproxy), one that reaches the metadata service gives away the machine.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from tunneld.model.address import IPAddress, parse_ip
from tunneld.model.reasons import Reason

Endpoint = tuple[str, int]  # canonical text of an address (`model.address.parse_ip`), port

_FORBIDDEN_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # "this host" (RFC 1122 §3.2.1.3); Linux connects 0.0.0.0 to loopback
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local (RFC 3927), and the metadata service of the large clouds
        "192.0.0.192/32",  # metadata service of Oracle Cloud
        "100.100.100.200/32",  # metadata service of Alibaba Cloud
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, with the limited broadcast address
    )
)
_FORBIDDEN_6 = tuple(
    IPv6Network(text)
    for text in (
        "::/127",  # unspecified and loopback
        "fe80::/10",  # link-local
        "fec0::/10",  # site-local, deprecated (RFC 3879), still routed by some stacks
        "ff00::/8",  # multicast
        "fd00:ec2::254/128",  # metadata service of AWS
        "100::/64",  # discard-only (RFC 6666)
    )
)
# Prefixes that carry an IPv4 address, and the bit where it begins. What they lead to is judged, not what they are.
_EMBEDDING = (
    (IPv6Network("::/96"), 0),  # IPv4-compatible, deprecated (RFC 4291 §2.5.5.1)
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped
    (IPv6Network("::ffff:0:0:0/96"), 0),  # IPv4-translated (RFC 2765)
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64 (RFC 6052)
    (IPv6Network("64:ff9b:1::/48"), 0),  # NAT64, local use (RFC 8215)
    (IPv6Network("2002::/16"), 80),  # 6to4 (RFC 3056)
)


def forbidden(
    address: str, port: int, *, own: frozenset[Endpoint] = frozenset(), allowed: frozenset[Endpoint] = frozenset()
) -> Reason | None:
    """Return why `address` must not be dialled, or None.

    `own` are listeners of this program: nothing opens them, not even `allowed`, which names exact pairs that an
    administrator wants reachable although their kind is forbidden. Text that is no address is refused.
    """
    judged = _judged(address)
    if judged is None:
        return Reason.FORBIDDEN_DESTINATION
    canonical, bad = judged
    # A listener on 0.0.0.0 or :: answers on every local address.
    if (canonical, port) in own or (bad and (("0.0.0.0", port) in own or ("::", port) in own)):
        return Reason.FORBIDDEN_DESTINATION
    return Reason.FORBIDDEN_DESTINATION if bad and (canonical, port) not in allowed else None


@lru_cache(maxsize=4096)
def _judged(address: str) -> tuple[str, bool] | None:
    """Return the canonical spelling and whether its kind is forbidden; 10 µs of address arithmetic once an address."""
    parsed = parse_ip(address)
    return None if parsed is None else (str(parsed), _is_forbidden(parsed))


def _is_forbidden(address: IPAddress) -> bool:
    if isinstance(address, IPv4Address):
        return any(address in network for network in _FORBIDDEN_4)
    if any(address in network for network in _FORBIDDEN_6):
        return True
    return any(address in network and _is_forbidden(_embedded(address, shift)) for network, shift in _EMBEDDING)


def _embedded(address: IPv6Address, shift: int) -> IPv4Address:
    return IPv4Address(int(address) >> shift & 0xFFFFFFFF)
