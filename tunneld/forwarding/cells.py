"""Cells: the candidates that stand at one place of an index, and the one function that picks the winner from several.

`classify`, `explain`, `lint` and `diff` all decide through `winner_of`, so that none can disagree with another.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from tunneld.forwarding.candidates import TCP_BIT, UDP_BIT, Candidate
from tunneld.forwarding.ports import MAX_PORT

# Above this a scan costs more than a table's two bisections, and a profile's author could make it cost anything.
MAX_SCAN = 16


class PortTable:
    """Many candidates for the same destinations, resolved in advance: one bisection finds the winner for a port.

    Takes memory in proportion to the port ranges given, however they overlap.
    """

    __slots__ = ("_tables", "candidates")

    def __init__(self, candidates: tuple[Candidate, ...]) -> None:
        self.candidates = candidates
        self._tables = {
            bit: _paint([each for each in candidates if each.compiled.mask & bit]) for bit in (TCP_BIT, UDP_BIT)
        }

    def at(self, bit: int, port: int) -> tuple[Candidate, ...]:
        """Return the winner for protocol and port, alone in a tuple, or an empty one."""
        starts, winners = self._tables[bit]
        return winners[bisect_right(starts, port) - 1]

    def starts(self) -> list[int]:
        """Return the ports where the answer for either protocol can change."""
        return sorted({start for starts, _ in self._tables.values() for start in starts})


Cell = tuple[Candidate, ...] | PortTable


def make_cell(candidates: Iterable[Candidate]) -> Cell:
    """Return the cell for the candidates of one place, which are sorted by rank."""
    found = tuple(candidates)
    return found if len(found) <= MAX_SCAN else PortTable(found)


def winner_of(cells: Iterable[Cell], bit: int, port: int) -> Candidate | None:
    """Return the candidate with the smallest rank that admits protocol and port, or None."""
    best: Candidate | None = None
    for cell in cells:
        for candidate in cell if type(cell) is tuple else cell.at(bit, port):  # type: ignore[union-attr]
            if candidate[1] & bit and port in candidate[2]:  # mask, ports: by number, which is faster than by name
                if best is None or candidate[0] < best[0]:
                    best = candidate
                break
    return best


def candidates_in(cells: Iterable[Cell]) -> list[Candidate]:
    """Return every candidate of the cells, whatever its ports, the best first."""
    found: list[Candidate] = []
    for cell in cells:
        found.extend(cell.candidates if isinstance(cell, PortTable) else cell)
    found.sort(key=lambda candidate: candidate.rank)
    return found


def _paint(candidates: Sequence[Candidate]) -> tuple[list[int], list[tuple[Candidate, ...]]]:
    """Return where segments of ports begin, and who wins in each.

    The best candidate paints its ports first; later ones paint only what is left. `after` leads from a painted
    segment to the next bare one (a disjoint-set forest), so each segment is painted once.
    """
    starts = sorted({0, *(bound for each in candidates for bounds in port_bounds(each) for bound in bounds)})
    place = {start: position for position, start in enumerate(starts)}
    after = list(range(len(starts) + 1))
    winners: list[tuple[Candidate, ...]] = [()] * len(starts)
    for candidate in candidates:
        alone = (candidate,)
        for first, end in port_bounds(candidate):
            at, stop = _bare(after, place[first]), place[end]
            while at < stop:
                winners[at] = alone
                after[at] = at + 1
                at = _bare(after, at)
    return starts, winners


def port_bounds(candidate: Candidate) -> list[tuple[int, int]]:
    """Return the candidate's ports as half-open ranges."""
    return [(first, last + 1) for first, last in candidate.compiled.merged] or [(0, MAX_PORT + 1)]


def _bare(after: list[int], at: int) -> int:
    """Return the first bare segment from `at` on, and shorten the way there for the next search."""
    while after[at] != at:
        after[at] = at = after[after[at]]
    return at
