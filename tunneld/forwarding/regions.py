"""The places where a profile can decide differently: each name, each wildcard, each segment of addresses.

Within one region and between two port bounds every flow gets the same verdict, so that `lint` and `diff` look at
each combination once instead of at each destination.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from tunneld.forwarding.cells import Cell, PortTable, port_bounds
from tunneld.forwarding.compile import CompiledProfile
from tunneld.forwarding.destinations import Form
from tunneld.forwarding.ports import MAX_PORT

_BITS = {4: 32, 6: 128}


class Region(NamedTuple):
    """A name, all names below a suffix that have no rule of their own, or the addresses from `start` to `end`."""

    form: Form
    text: str = ""
    version: int = 0
    start: int = 0
    end: int = 0

    def cells(self, profile: CompiledProfile) -> Sequence[Cell]:
        """Return the cells of `profile` that hold in this region."""
        match self.version:
            case 4:
                return profile.v4.find(self.start)
            case 6:
                return profile.v6.find(self.start)
        return profile.cells(str(self))

    def adjoins(self, after: Region) -> bool:
        """Whether `after` holds the addresses that follow this region's."""
        return self.version == after.version != 0 and self.end + 1 == after.start

    def __str__(self) -> str:
        if self.form is Form.NAME:
            return self.text
        if self.form is Form.WILDCARD:
            return f"*.{self.text}" if self.text else "*"
        address, bits = (IPv4Address, 32) if self.version == 4 else (IPv6Address, 128)
        size = self.end - self.start + 1
        if size == 1:
            return str(address(self.start))
        if size & (size - 1) == 0 and self.start % size == 0:
            return f"{address(self.start)}/{bits - size.bit_length() + 1}"
        return f"{address(self.start)}-{address(self.end)}"


def regions(*profiles: CompiledProfile) -> Iterator[Region]:
    """Yield the regions of all the profiles together, names first, then addresses in ascending order."""
    for name in sorted({name for profile in profiles for name in profile.exact}):
        yield Region(Form.NAME, name)
    for suffix in sorted({suffix for profile in profiles for suffix in profile.wildcards}):
        yield Region(Form.WILDCARD, suffix)
    for version, indexes in ((4, [each.v4 for each in profiles]), (6, [each.v6 for each in profiles])):
        starts = sorted({start for index in indexes for start in index.starts})
        for start, after in zip(starts, [*starts[1:], 1 << _BITS[version]], strict=True):
            yield Region(Form.ADDRESSES, "", version, start, after - 1)


def port_starts(cells: Iterable[Cell]) -> list[int]:
    """Return the ports, from 1, where the answer of these cells can change."""
    starts = {1}
    for cell in cells:
        if isinstance(cell, PortTable):
            starts.update(cell.starts())
        else:
            for candidate in cell:
                for first, end in port_bounds(candidate):
                    starts.update((first, end))
    return sorted(start for start in starts if 1 <= start <= MAX_PORT)
