"""Readiness for uvloop without its poll handles, which lose resets.

When a watched socket is reset, libuv reports the error once and closes its poll handle; uvloop runs the reader a last
time and forgets it. A transport that found data in that last turn never learns of the reset, and even loses what it
had not read yet. So on uvloop the four methods of the loop that watch descriptors are replaced by one epoll set of our
own, which libuv in turn watches as a single descriptor. An error then stays readable until somebody reads it, as on
asyncio's own loops, and watching a socket costs one system call instead of a handle.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

_READ = select.EPOLLIN
_WRITE = select.EPOLLOUT
_READABLE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR | select.EPOLLPRI
_WRITABLE = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR
BATCH = 256  # events taken in one turn; the rest is still there in the next

Callback = Callable[[], object]


class Poller:
    """Callbacks of watched descriptors, and the epoll set behind them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._readers: dict[int, Callback] = {}
        self._writers: dict[int, Callback] = {}
        self._watch = loop.add_reader
        self._unwatch = loop.remove_reader
        self._watch(self._epoll.fileno(), self._ready)

    def close(self) -> None:
        """Let go of the set; call it before the loop closes. Idempotent."""
        if not self._epoll.closed:
            self._unwatch(self._epoll.fileno())
            self._epoll.close()

    def add_reader(self, source: Any, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback` whenever `source` (a descriptor or a socket) is readable or broken."""
        descriptor = source if type(source) is int else _descriptor(source)
        known = descriptor in self._readers
        self._readers[descriptor] = partial(callback, *args) if args else callback
        if not known:
            self._interest(descriptor, first=descriptor not in self._writers)

    def remove_reader(self, source: Any) -> bool:
        """Stop; tell whether anything was watched."""
        descriptor = source if type(source) is int else _descriptor(source)
        if self._readers.pop(descriptor, None) is None:
            return False
        self._lose_interest(descriptor, self._writers)
        return True

    def add_writer(self, source: Any, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback` whenever `source` is writable or broken."""
        descriptor = source if type(source) is int else _descriptor(source)
        known = descriptor in self._writers
        self._writers[descriptor] = partial(callback, *args) if args else callback
        if not known:
            self._interest(descriptor, first=descriptor not in self._readers)

    def remove_writer(self, source: Any) -> bool:
        """Stop; tell whether anything was watched."""
        descriptor = source if type(source) is int else _descriptor(source)
        if self._writers.pop(descriptor, None) is None:
            return False
        self._lose_interest(descriptor, self._readers)
        return True

    def _interest(self, descriptor: int, *, first: bool) -> None:
        mask = (_READ if descriptor in self._readers else 0) | (_WRITE if descriptor in self._writers else 0)
        if first:
            try:
                self._epoll.register(descriptor, mask)
            except FileExistsError:  # closed and opened again under our feet, with a copy still open elsewhere
                self._epoll.modify(descriptor, mask)
        else:
            self._epoll.modify(descriptor, mask)

    def _lose_interest(self, descriptor: int, other: dict[int, Callback]) -> None:
        with suppress(OSError, ValueError):  # a descriptor that was closed first has left the set by itself
            if descriptor in other:
                self._epoll.modify(descriptor, _READ if other is self._readers else _WRITE)
            else:
                self._epoll.unregister(descriptor)

    def _ready(self) -> None:
        readers, writers = self._readers, self._writers
        for descriptor, events in self._epoll.poll(0, BATCH):
            try:
                # Looked up at the last moment: an earlier callback of this batch may have removed a later one.
                if events & _READABLE and (callback := readers.get(descriptor)) is not None:
                    callback()
                if events & _WRITABLE and (callback := writers.get(descriptor)) is not None:
                    callback()
            except Exception as error:  # noqa: BLE001 - as in every loop: one bad callback must not stop the others
                message = f"Exception in a callback of descriptor {descriptor}"
                self._loop.call_exception_handler({"message": message, "exception": error})


def _descriptor(source: Any) -> int:
    number = source if isinstance(source, int) else source.fileno()
    if number < 0:
        raise ValueError("the socket is closed")
    return int(number)


def install(loop: Any) -> Any:
    """Replace the loop's watching methods with a poller's, and close that when the loop closes."""
    poller = Poller(loop)
    close = loop.close

    def close_both() -> None:
        poller.close()
        close()

    loop.add_reader, loop.remove_reader = poller.add_reader, poller.remove_reader
    loop.add_writer, loop.remove_writer = poller.add_writer, poller.remove_writer
    loop.close = close_both
    return loop
