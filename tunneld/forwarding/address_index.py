"""Which candidates cover an address: disjoint segments of the address space, found by one bisection.

A segment where at most `MAX_SCAN` blocks overlap holds its candidates itself. Deeper segments share the cells of a
segment tree (each block stands at O(log n) of its nodes), so that n nested blocks take O(n log n) memory and a
decision visits O(log n) cells, instead of n² and n.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import MutableSequence, Sequence
from itertools import pairwise

from tunneld.forwarding.candidates import Candidate
from tunneld.forwarding.cells import MAX_SCAN, Cell, make_cell

Cells = tuple[Cell, ...]


class AddressIndex:
    """The blocks of one address family."""

    __slots__ = ("_cells", "starts")

    def __init__(self, candidates: Sequence[Candidate], bits: int) -> None:
        bounds = {0}
        for candidate in candidates:
            bounds.add(candidate.destination.start)
            bounds.add(candidate.destination.end + 1)
        bounds.discard(1 << bits)
        starts = sorted(bounds)
        cells = _cells_of_segments(candidates, starts)
        # Neighbours that hold the same (an address space's empty stretches, adjoining blocks of a rule) become one.
        kept = [0, *(at for at, (left, right) in enumerate(pairwise(cells), 1) if left is not right)]
        self.starts: MutableSequence[int] | Sequence[int] = [starts[at] for at in kept]
        if bits == 32:
            self.starts = array("I", self.starts)
        self._cells = [cells[at] for at in kept]

    def find(self, address: int) -> Cells:
        """Return the cells whose candidates cover `address`."""
        return self._cells[bisect_right(self.starts, address) - 1]

    def starts_within(self, first: int, last: int) -> Sequence[int]:
        """Return where the segments begin that hold `first` to `last`: `first` itself, then each bound after it."""
        return [first, *self.starts[bisect_right(self.starts, first) : bisect_right(self.starts, last)]]


def _cells_of_segments(candidates: Sequence[Candidate], starts: Sequence[int]) -> list[Cells]:
    """Return the cells of each segment; equal ones are one object."""
    count = len(starts)
    nodes = _segment_tree(candidates, starts)
    # From the root down: what lies on the way to a node, as candidates while they are few, as shared cells beyond.
    few: list[tuple[Candidate, ...] | None] = [()] * (2 * count)
    deep: list[Cells] = [()] * (2 * count)
    for node in range(1, 2 * count):
        above, here = few[node >> 1], nodes.get(node)
        deep[node] = deep[node >> 1]
        if here is None:
            few[node] = above
        elif above is None:
            few[node] = None
            deep[node] = (*deep[node], make_cell(here))
        elif len(above) + len(here) <= MAX_SCAN:
            few[node] = (*above, *here)
        else:
            few[node] = None
            deep[node] = (make_cell(sorted(above)), make_cell(here)) if above else (make_cell(here),)
    shared: dict[tuple[int, ...], Cells] = {(): ()}
    return [
        deep[node] if (found := few[node]) is None else _shared_cells(found, shared) for node in range(count, 2 * count)
    ]


def _shared_cells(candidates: tuple[Candidate, ...], shared: dict[tuple[int, ...], Cells]) -> Cells:
    """Return the one Cells object for these candidates."""
    ranked = tuple(sorted(candidates)) if len(candidates) > 1 else candidates
    key = tuple([candidate.rank for candidate in ranked])
    cells = shared.get(key)
    if cells is None:
        cells = shared[key] = (ranked,)
    return cells


def _segment_tree(candidates: Sequence[Candidate], starts: Sequence[int]) -> dict[int, list[Candidate]]:
    """Return node → candidates, where each block stands at the O(log n) nodes that make it up.

    Node 1 is the root, node n's children are 2n and 2n+1, the segments are the leaves from `len(starts)` on.
    """
    count = len(starts)
    place = {start: position for position, start in enumerate(starts)}
    nodes: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        low = place[candidate.destination.start] + count
        high = place.get(candidate.destination.end + 1, count) + count
        while low < high:
            if low & 1:
                nodes.setdefault(low, []).append(candidate)
                low += 1
            if high & 1:
                high -= 1
                nodes.setdefault(high, []).append(candidate)
            low >>= 1
            high >>= 1
    return nodes
