"""Which destinations take another way under profile B than under profile A."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tunneld.forwarding.candidates import TCP_BIT, UDP_BIT
from tunneld.forwarding.cells import Cell, winner_of
from tunneld.forwarding.compile import NO_RULE, CompiledProfile
from tunneld.forwarding.ports import MAX_PORT, PortRange
from tunneld.forwarding.regions import Region, port_starts, regions
from tunneld.model.verdict import Channel, Verdict


class Way(NamedTuple):
    """What a flow meets: two verdicts with the same way are the same to it, whatever rule gave them."""

    verdict: str
    channel: str | None = None
    application: str | None = None
    hardening: str | None = None
    edge: str | None = None
    authentication_context: str | None = None

    def __str__(self) -> str:
        demand = f"with {self.authentication_context}" if self.authentication_context else None
        parts = (self.verdict, self.channel, self.application, self.edge, demand)
        return " ".join(part for part in parts if part)


class Change(NamedTuple):
    """Flows that part ways. `protocols` and `ports` are empty where all of them do."""

    destination: str
    protocols: tuple[str, ...]
    ports: tuple[str, ...]
    before: Way
    after: Way

    def to_json(self) -> dict[str, Any]:
        """Return the change as plain values."""
        return {
            "destination": self.destination,
            "protocols": list(self.protocols),
            "ports": list(self.ports),
            "before": self.before._asdict(),
            "after": self.after._asdict(),
        }


# Per (before, after): the ports that change, by protocol.
_Shift = dict[tuple[Way, Way], dict[int, list[PortRange]]]


def diff(a: CompiledProfile, b: CompiledProfile) -> list[Change]:
    """Return the changes from `a` to `b`; none means that every flow goes the same way.

    A name is compared as a name: what the addresses behind it would change is listed with those addresses. The work
    is proportional to regions times port bounds in each.
    """
    changes = [*_channel_changes(a, b), *_demand_changes(a, b)]
    shifts: list[tuple[Region, _Shift]] = []
    for region in regions(a, b):
        shift = _shift(region.cells(a), region.cells(b))
        if not shift:
            continue
        if shifts and shifts[-1][1] == shift and shifts[-1][0].adjoins(region):
            shifts[-1] = (shifts[-1][0]._replace(end=region.end), shift)
        else:
            shifts.append((region, shift))
    for region, shift in shifts:
        changes += _changes(region, shift)
    return changes


def _shift(before: Sequence[Cell], after: Sequence[Cell]) -> _Shift:
    if not before and not after:
        return {}
    starts = port_starts([*before, *after])
    found: _Shift = {}
    for bit in (TCP_BIT, UDP_BIT):
        for first, end in zip(starts, [*starts[1:], MAX_PORT + 1], strict=True):
            ways = (_way(before, bit, first), _way(after, bit, first))
            if ways[0] != ways[1]:
                ports = found.setdefault(ways, {}).setdefault(bit, [])
                if ports and ports[-1].last == first - 1:
                    ports[-1] = PortRange(ports[-1].first, end - 1)
                else:
                    ports.append(PortRange(first, end - 1))
    return found


def _way(cells: Sequence[Cell], bit: int, port: int) -> Way:
    winner = winner_of(cells, bit, port)
    return way_of(NO_RULE if winner is None else winner.compiled.verdict)


def way_of(verdict: Verdict) -> Way:
    """Return what a flow with `verdict` meets. Going direct is the same for every rule and for none."""
    if verdict.channel is None or verdict.hardening is None:  # no rule, a bypass or a block
        return Way(verdict.outcome.value)
    return Way(verdict.outcome.value, verdict.channel.value, verdict.application, verdict.hardening.value)


def _changes(region: Region, shift: _Shift) -> Iterator[Change]:
    for (before, after), by_bit in shift.items():
        tcp, udp = by_bit.get(TCP_BIT, []), by_bit.get(UDP_BIT, [])
        if tcp == udp:
            yield Change(str(region), (), _shown(tcp), before, after)
            continue
        for name, ports in (("tcp", tcp), ("udp", udp)):
            if ports:
                yield Change(str(region), (name,), _shown(ports), before, after)


def _shown(ports: list[PortRange]) -> tuple[str, ...]:
    return () if ports == [PortRange(1, MAX_PORT)] else tuple(str(each) for each in ports)


def _channel_changes(a: CompiledProfile, b: CompiledProfile) -> Iterator[Change]:
    """A channel's edge is part of the way of all its flows: one change says so for all of them."""
    for channel in Channel:
        before, after = _edge_of(a, channel), _edge_of(b, channel)
        if before and after and before != after:
            everything = f"everything of channel {channel.value}"
            ways = [Way("tunnel", channel.value, edge=edge) for edge in (before, after)]
            yield Change(everything, (), (), ways[0], ways[1])


def _demand_changes(a: CompiledProfile, b: CompiledProfile) -> Iterator[Change]:
    """What an application's token must have satisfied is part of the way of all its flows, too."""
    after = {each.id: each.authentication_context for each in b.document.applications}
    for each in a.document.applications:
        if each.id in after and after[each.id] != each.authentication_context:
            ways = [
                Way("tunnel", Channel.PRIVATE.value, each.id, authentication_context=context)
                for context in (each.authentication_context, after[each.id])
            ]
            yield Change(f"everything of application {each.name}", (), (), ways[0], ways[1])


def _edge_of(profile: CompiledProfile, channel: Channel) -> str | None:
    settings = profile.document.channels.get(channel)
    if settings is None:
        return None
    return f"{settings.edge} at {settings.address}" if settings.address else settings.edge
