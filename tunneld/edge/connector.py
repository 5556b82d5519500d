"""From a destination that was admitted to the one address that will be dialled."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import dns.exception

from tunneld.edge.settings import ConnectorSection, map_key
from tunneld.model.address import parse_authority, parse_ip
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Protocol
from tunneld.net.resolve import Resolve, Resolver
from tunneld.policy.admission import Refuse
from tunneld.policy.destinations import Endpoint, forbidden

MAX_ADDRESSES = 8  # tried one after the other; more only delay the refusal
MAX_CIRCUITS = 65536


class Origin(NamedTuple):
    """Where to dial. The addresses were judged: dial one of these, never the name, which may answer differently now.

    `circuit` names the origin in `Connector.failed` and `Connector.reached`.
    """

    addresses: tuple[str, ...]
    port: int
    proxy_protocol: bool
    circuit: str
    mapped: bool


class _Circuit:
    """How often an origin failed in a row, and until when it is refused at once."""

    __slots__ = ("failures", "open_until")

    def __init__(self) -> None:
        self.failures = 0
        self.open_until = 0.0


class Connector:
    """Maps private destinations to origins, resolves the others, and refuses what nobody may reach.

    `own` are the edge's listeners, added with `forbid` once they are bound.
    """

    def __init__(
        self,
        settings: ConnectorSection,
        *,
        resolve: Resolve | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._resolve = resolve or Resolver(settings.nameservers).resolve
        self._allowed = frozenset(parse_authority(text) for text in settings.allow)
        self._own: frozenset[Endpoint] = frozenset()
        self._looping: frozenset[str] = frozenset()
        self._circuits: dict[str, _Circuit] = {}
        self._mapped = {
            key: Origin((endpoint[0],), endpoint[1], key in settings.proxy_protocol, circuit=key, mapped=True)
            for key, endpoint in ((key, parse_authority(target)) for key, target in settings.map.items())
        }

    def forbid(self, own: Sequence[Endpoint]) -> None:
        """Add listeners of ours, which no destination reaches, mapped or allowed."""
        self._own |= frozenset((str(parse_ip(address) or address), port) for address, port in own)
        self._looping = frozenset(
            key
            for key, origin in self._mapped.items()
            for endpoint in [(origin.addresses[0], origin.port)]
            if forbidden(*endpoint, own=self._own, allowed=frozenset((endpoint,))) is not None
        )

    def locate_now(self, host: str, port: int, protocol: Protocol = Protocol.TCP) -> Origin | Refuse | None:
        """Answer at once for mapped destinations and literal addresses; None means: await `locate`."""
        key = map_key(host, port, protocol)
        circuit = self._circuits.get(key)
        if circuit is not None and self._clock() < circuit.open_until:
            return Refuse(Reason.ORIGIN_UNREACHABLE, "circuit open")
        origin = self._mapped.get(key)
        if origin is not None:
            if key in self._looping:
                return Refuse(Reason.FORBIDDEN_DESTINATION, "mapped to a listener of this edge")
            return origin
        if parse_ip(host) is None:
            return None
        return self._judged(key, [host], port)

    async def locate(self, host: str, port: int, protocol: Protocol = Protocol.TCP) -> Origin | Refuse:
        """Return the judged addresses of a (normalised) destination."""
        answer = self.locate_now(host, port, protocol)
        if answer is not None:
            return answer
        try:
            addresses = await self._resolve(host)
        except (dns.exception.DNSException, OSError) as error:
            return Refuse(Reason.NAME_NOT_RESOLVED, type(error).__name__)
        if not addresses:
            return Refuse(Reason.NAME_NOT_RESOLVED, "no address")
        return self._judged(map_key(host, port, protocol), addresses, port)

    def reached(self, origin: Origin) -> None:
        """Note that the origin took a connection."""
        self._circuits.pop(origin.circuit, None)

    def failed(self, origin: Origin) -> None:
        """Note that it did not. A refusal by the origin's own kernel is an answer, so do not report that one."""
        circuit = self._circuits.get(origin.circuit)
        if circuit is None:
            if len(self._circuits) >= MAX_CIRCUITS:
                self._circuits.clear()
            circuit = self._circuits[origin.circuit] = _Circuit()
        circuit.failures += 1
        if circuit.failures >= self._settings.breaker_failures:
            # One more failure after the pause opens it again at once: the count is only reset by success.
            circuit.open_until = self._clock() + self._settings.breaker_s

    def _judged(self, key: str, addresses: Sequence[str], port: int) -> Origin | Refuse:
        """Keep the permitted addresses. One forbidden answer does not spoil the name, but it is never dialled."""
        good = tuple(
            address
            for address in addresses[:MAX_ADDRESSES]
            if forbidden(address, port, own=self._own, allowed=self._allowed) is None
        )
        if not good:
            return Refuse(Reason.FORBIDDEN_DESTINATION, addresses[0])
        return Origin(good, port, key in self._settings.proxy_protocol, circuit=key, mapped=False)
