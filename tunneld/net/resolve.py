"""Names to addresses for direct flows, by DNS itself, so that the address that was judged is the address dialled."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence

import dns.asyncresolver
import dns.nameserver
import dns.resolver

from tunneld.model.address import parse_authority

LIFETIME_S = 5.0  # resolv.conf(5): the default timeout of one attempt; browsers give up after about as long
CACHE_ENTRIES = 10_000  # unbound keeps 4 MiB of messages by default, which is about as many


Resolve = Callable[[str], Awaitable[Sequence[str]]]


class Resolver:
    """The system's DNS servers, or those given as `address:port`, with a cache that obeys time to live."""

    def __init__(self, nameservers: Sequence[str] = ()) -> None:
        self._nameservers = nameservers
        self._resolver: dns.asyncresolver.Resolver | None = None

    async def resolve(self, host: str) -> list[str]:
        """Return the addresses of `host`, both families in turn (RFC 8305 §4). Raises dns.exception.DNSException."""
        answers = await self._configured().resolve_name(host, search=False, lifetime=LIFETIME_S)
        addresses = list(answers.addresses())
        return interleave([a for a in addresses if ":" in a], [a for a in addresses if ":" not in a])

    def _configured(self) -> dns.asyncresolver.Resolver:
        # On first use: a machine without /etc/resolv.conf can still run everything that needs no name.
        if self._resolver is None:
            self._resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
            if self._nameservers:
                pairs = [parse_authority(text) for text in self._nameservers]
                self._resolver.nameservers = [dns.nameserver.Do53Nameserver(*pair) for pair in pairs]
            self._resolver.cache = dns.resolver.LRUCache(CACHE_ENTRIES)
        return self._resolver


def interleave(first: Iterable[str], second: Iterable[str]) -> list[str]:
    """Return both in turn, so that a broken family costs one attempt and not all of them."""
    pairs = itertools.zip_longest(first, second)
    return [address for pair in pairs for address in pair if address is not None]
