"""What each side of many flows saw, and a judge of it that knows nothing of how it came about.

Clients and origins only write down what happened to them: how much they read, its digest, and how the end looked.
The judge compares that with what was meant to be said. The contents of all flows are windows of one random block at
places of their own, so bytes of a flow that turn up in another are as visible as bytes that are missing.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping
from typing import NamedTuple

CLIENT, ORIGIN = "client", "origin"
FIN, RESET, TIMEOUT, REFUSED = "fin", "reset", "timeout", "refused"

_BLOCK = memoryview(random.Random(7001).randbytes(16 * 1024 * 1024))
_STRIDE = 4099  # a prime, so that no two flows' windows begin at the same place for the first thousands of flows
MAX_SIZE = 8 * 1024 * 1024


def content(flow: int, writer: str, size: int) -> memoryview:
    """Return the `size` bytes that `writer` is to say in `flow`."""
    assert size <= MAX_SIZE
    start = ((2 * flow + (writer == ORIGIN)) * _STRIDE) % MAX_SIZE
    return _BLOCK[start : start + size]


class Plan(NamedTuple):
    """What is meant to happen in a flow. `spared` says that no fault of the test may touch it."""

    flow: int
    upload: int
    download: int
    spared: bool = False


class Seen(NamedTuple):
    """What one side of a flow saw: how much it sent, what it read, how the end of its reading looked."""

    flow: int
    side: str
    sent: int
    said_all: bool
    received: int
    sha256: str
    end: str


class Violation(NamedTuple):
    """Something that must never happen."""

    flow: int
    side: str
    what: str


def judge(plans: Mapping[int, Plan], history: Iterable[Seen]) -> list[Violation]:
    """Return everything in `history` that no honest transport does."""
    records = list(history)
    found = []
    sides = {(seen.flow, seen.side): seen for seen in records}
    if len(sides) != len(records):
        found.append(Violation(-1, "", "a side wrote two records"))
    for (flow, side), seen in sides.items():
        plan = plans[flow]
        what = _fault(plan, seen, sides.get((flow, ORIGIN if side == CLIENT else CLIENT)))
        if what:
            found.append(Violation(flow, side, what))
    found += [Violation(flow, CLIENT, "left no record") for flow in plans if (flow, CLIENT) not in sides]
    return found


def _fault(plan: Plan, seen: Seen, other: Seen | None) -> str | None:
    writer, planned = (ORIGIN, plan.download) if seen.side == CLIENT else (CLIENT, plan.upload)
    if seen.received > planned:
        return f"read {seen.received} bytes of {planned}"
    if hashlib.sha256(content(seen.flow, writer, seen.received)).hexdigest() != seen.sha256:
        return f"read {seen.received} bytes that nobody said"
    if seen.end == TIMEOUT:
        return f"hangs after {seen.received} of {planned} bytes"
    if seen.end == FIN and seen.received < planned:
        return f"a clean end after {seen.received} of {planned} bytes"
    if seen.end == FIN and other is not None and not other.said_all:
        return "a clean end that the other side never said"
    if plan.spared and (seen.end != FIN or not seen.said_all):
        return f"{seen.end} without a fault, after {seen.received} of {planned} bytes"
    return None


def complete(plans: Mapping[int, Plan], history: Iterable[Seen]) -> int:
    """Return how many flows both sides saw to a clean end: a history without them would prove nothing."""
    ends: dict[int, list[str]] = {}
    for seen in history:
        ends.setdefault(seen.flow, []).append(seen.end)
    return sum(ends.get(flow) == [FIN, FIN] for flow in plans)
