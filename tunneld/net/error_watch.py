"""Makes uvloop tell of resets that its poll handles lose.

When a socket that somebody watches with `loop.add_reader` is reset, libuv reports the error once and closes its poll
handle; uvloop runs the reader a last time and forgets it. A transport that found data in that last turn never learns
of the reset, and even loses what it had not read yet. So every watched descriptor is also a member of an epoll set of
ours that reports nothing but errors and hang-ups, and each of them once. Whoever is still reading when such a report
comes is called until it stops: it meets its error, or it pauses.

The other way, to watch everything in our own set, was measured and rejected (docs/decisions/0002-event-loop.md).
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

BATCH = 256  # reports taken in one turn; the rest is still there in the next
MAX_TURNS = 4096  # reads of a broken socket at a stretch: 1 GiB of what it had received, more than a kernel holds

Callback = Callable[[], object]


class ErrorWatch:
    """The set of descriptors with a reader, and what to call when one of them breaks."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._readers: dict[int, Callback] = {}
        self._add = loop.add_reader
        self._remove = loop.remove_reader
        self._add(self._epoll.fileno(), self._report)

    def close(self) -> None:
        """Let go of the set; call it before the loop closes. Idempotent."""
        if not self._epoll.closed:
            self._remove(self._epoll.fileno())
            self._epoll.close()

    def add_reader(self, source: Any, callback: Callable[..., object], *args: Any) -> None:
        """Watch `source` (a descriptor or a socket) as the loop does, and for errors as well."""
        self._add(source, callback, *args)
        descriptor = source if type(source) is int else int(source.fileno())
        known = descriptor in self._readers
        self._readers[descriptor] = partial(callback, *args) if args else callback
        if not known:
            try:
                # Edge-triggered and without interests of its own: only errors and hang-ups, which are always told.
                self._epoll.register(descriptor, select.EPOLLET)
            except PermissionError:
                del self._readers[descriptor]  # a regular file: it cannot break
            except FileExistsError:
                self._epoll.modify(descriptor, select.EPOLLET)  # closed and opened again under our feet

    def remove_reader(self, source: Any) -> bool:
        """Stop watching; tell whether anything was watched."""
        descriptor = source if type(source) is int else int(source.fileno())
        if self._readers.pop(descriptor, None) is not None:
            with suppress(OSError, ValueError):  # a descriptor that was closed first has left the set by itself
                self._epoll.unregister(descriptor)
        return self._remove(source)

    def _report(self) -> None:
        readers = self._readers
        for descriptor, _ in self._epoll.poll(0, BATCH):
            callback = readers.get(descriptor)
            try:
                for _ in range(MAX_TURNS):
                    if callback is None or readers.get(descriptor) is not callback:
                        break  # it stopped reading
                    callback()
            except Exception as error:  # noqa: BLE001 - as in every loop: one bad callback must not stop the others
                message = f"Exception in a reader of descriptor {descriptor}"
                self._loop.call_exception_handler({"message": message, "exception": error})


def install(loop: Any) -> Any:
    """Give a uvloop loop an error watch, and close that when the loop closes."""
    watch = ErrorWatch(loop)
    close = loop.close

    def close_both() -> None:
        watch.close()
        close()

    loop.add_reader, loop.remove_reader, loop.close = watch.add_reader, watch.remove_reader, close_both
    return loop
