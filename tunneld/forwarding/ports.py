"""Ports of a rule: parsed, merged, and turned into the container that answers `port in ports` fastest."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container, Iterable
from typing import NamedTuple

from tunneld.forwarding.destinations import UnusableError

MAX_PORT = 65535
ALL_PORTS = range(MAX_PORT + 1)
_SMALL = 64  # up to here a frozenset of single ports is both small and the fastest to ask
_EXAMPLES = 'write a port such as 443 or a range such as "8000-8100"'


class PortRange(NamedTuple):
    """Ports from `first` to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def to_document(self) -> int | str:
        """Return it as a document spells it."""
        return self.first if self.first == self.last else str(self)


class PortRanges:
    """Many ports in few ranges: `port in ranges` is one bisection over the bounds."""

    __slots__ = ("_bounds",)

    def __init__(self, merged: Iterable[PortRange]) -> None:
        self._bounds = tuple(bound for first, last in merged for bound in (first, last + 1))

    def __contains__(self, port: object) -> bool:
        return isinstance(port, int) and bool(bisect_right(self._bounds, port) & 1)


def parse_ports(value: object) -> PortRange:
    """Return the range that a port number, ``"443"`` or ``"8000-8100"`` spells. Raises UnusableError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _checked(value, value, value)
    if isinstance(value, str):
        first, dash, last = value.partition("-")
        bounds = [part.strip() for part in ((first, last) if dash else (first, first))]
        if all(part.isascii() and part.isdigit() and len(part) <= 5 for part in bounds):
            return _checked(value, int(bounds[0]), int(bounds[1]))
    raise UnusableError(f"{str(value)[:40]!r} is not a port", _EXAMPLES)


def _checked(value: object, first: int, last: int) -> PortRange:
    if not (1 <= first <= MAX_PORT and 1 <= last <= MAX_PORT):
        raise UnusableError(f"{str(value)[:40]} is not a port", f"ports go from 1 to {MAX_PORT}")
    if first > last:
        raise UnusableError(f"{value!r} ends before it starts", f'write "{last}-{first}"')
    return PortRange(first, last)


def merge_ports(ranges: Iterable[PortRange]) -> tuple[PortRange, ...]:
    """Return the same ports as sorted ranges that neither overlap nor touch."""
    merged: list[PortRange] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1].last + 1:
            merged[-1] = PortRange(merged[-1].first, max(last, merged[-1].last))
        else:
            merged.append(PortRange(first, last))
    return tuple(merged)


def port_count(merged: Iterable[PortRange]) -> int:
    """How many ports the merged ranges cover; all of them when there is none."""
    return sum(last - first + 1 for first, last in merged) or MAX_PORT


def port_container(merged: tuple[PortRange, ...]) -> Container[int]:
    """Return what answers `port in …` for these merged ranges. None at all means every port."""
    if not merged:
        return ALL_PORTS
    if len(merged) == 1:
        return range(merged[0].first, merged[0].last + 1)
    if port_count(merged) <= _SMALL:
        return frozenset(port for first, last in merged for port in range(first, last + 1))
    return PortRanges(merged)
