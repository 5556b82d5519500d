"""One timer for many deadlines of the same length."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Expiring(Protocol):
    """Something that runs out of time."""

    def expire(self) -> None:
        """Take notice: the deadline has passed."""


class Deadlines:
    """Calls `expire` on whatever was added more than `seconds` ago.

    All deadlines are equally long, so a dict in order of insertion is sorted by deadline already: adding and
    discarding cost one dict operation and no timer of the loop. A `limit` keeps the number of entries bounded: one
    more expires the oldest, who has had the most time to finish.
    """

    __slots__ = ("_entries", "_limit", "_loop", "_timer", "seconds")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, limit: int | None = None) -> None:
        self.seconds = seconds
        self._loop = loop
        self._limit = limit
        self._entries: dict[Expiring, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Expiring) -> None:
        """Start the clock for `entry`."""
        entries = self._entries
        entries[entry] = deadline = self._loop.time() + self.seconds
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._sweep)
        if self._limit is not None and len(entries) > self._limit:
            self._expire_oldest()

    def add_once(self, entry: Expiring) -> None:
        """Start the clock for `entry` unless it runs already."""
        if entry not in self._entries:
            self.add(entry)

    def discard(self, entry: Expiring) -> None:
        """Stop the clock for `entry`, if it runs."""
        self._entries.pop(entry, None)

    def close(self) -> None:
        """Expire everything now and stop the timer."""
        while self._entries:
            self._expire_oldest()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire_oldest(self) -> None:
        oldest = next(iter(self._entries))
        del self._entries[oldest]
        oldest.expire()

    def _sweep(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._entries and next(iter(self._entries.values())) <= now:
            self._expire_oldest()
        if self._entries and self._timer is None:
            self._timer = self._loop.call_at(next(iter(self._entries.values())), self._sweep)
