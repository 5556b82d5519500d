"""Two transports joined in memory, with the back-pressure of real ones, for protocols that own a connection."""

from __future__ import annotations

import asyncio
from typing import Any


class MemoryTransport(asyncio.Transport):
    """Carries bytes to `far` in pieces of at most `piece`, one a loop iteration; `stalled` holds them back."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: Any, piece: int) -> None:
        super().__init__()
        self.far: MemoryTransport
        self.stalled = False
        self._loop = loop
        self._protocol = protocol
        self._piece = piece
        self._buffer = bytearray()
        self._high = 64 * 1024
        self._pausing = False
        self._moving = False
        self._closing = False
        self._lost = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 64 * 1024 if high is None else high

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def write(self, data: Any) -> None:
        if self._closing:
            return
        self._buffer += data
        if len(self._buffer) > self._high and not self._pausing:
            self._pausing = True
            self._protocol.pause_writing()
        self._move_soon()

    def stall(self, stalled: bool) -> None:
        """Hold bytes back, or let them go on."""
        self.stalled = stalled
        self._move_soon()

    def _move_soon(self) -> None:
        if not self._moving and not self._lost:
            self._moving = True
            self._loop.call_soon(self._move)

    def _move(self) -> None:
        self._moving = False
        if self.stalled or self._lost:
            return
        piece, self._buffer = self._buffer[: self._piece], self._buffer[self._piece :]
        if piece:
            self.far._receive(bytes(piece))
        if self._pausing and len(self._buffer) <= self._high // 4 and not self._lost:
            self._pausing = False
            self._protocol.resume_writing()
        if self._buffer:
            self._move_soon()
        elif self._closing:
            self._lose()

    def _receive(self, piece: bytes) -> None:
        while piece and not self._lost:
            space = self._protocol.get_buffer(-1)
            size = min(len(space), len(piece))
            space[:size] = piece[:size]
            self._protocol.buffer_updated(size)
            piece = piece[size:]

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True
        self._move_soon()

    def abort(self) -> None:
        self._closing = True
        self._buffer.clear()
        self._loop.call_soon(self._lose)

    def _lose(self) -> None:
        if not self._lost:
            self._lost = self._closing = True
            self._protocol.connection_lost(None)
            self._loop.call_soon(self.far._lose)


def join(
    loop: asyncio.AbstractEventLoop, one: Any, other: Any, *, piece: int = 65_536
) -> tuple[MemoryTransport, MemoryTransport]:
    """Connect two protocols."""
    first, second = MemoryTransport(loop, one, piece), MemoryTransport(loop, other, piece)
    first.far, second.far = second, first
    one.connection_made(first)
    other.connection_made(second)
    return first, second
