"""How the two halves of a flow meet: each end reads from its own side and calls the other end. No tasks, no queues.

A source asks its peer for space (`borrow`), reads straight into it and says how much it read (`commit`), so that the
tunnel can leave room for a frame header in front of the bytes and nobody copies them. Bytes that already lie in
somebody else's buffer are handed on with `write`.

Back-pressure is one bit in each direction. A socket end runs with a high-water mark of 0, so `pause_reading` reaches
the peer as soon as one byte waits in user space and `resume_reading` only when all of them are in the kernel. The
tunnel's stream turns exactly that into credit.
"""

from __future__ import annotations

import asyncio
import errno
import mmap
from collections.abc import Callable
from typing import Any, Protocol

from tunneld.model.reasons import Reason
from tunneld.net.attach import abort_with_reset, close_in_order, expect_the_worst, keeps_no_reference

# One read: large enough that Python's cost per call vanishes against the copy, and no larger than what aiofastnet
# reads in one loop iteration.
READ_SIZE = 256 * 1024

_SHARED = memoryview(mmap.mmap(-1, READ_SIZE))  # whole pages: see `mux.py`


class FlowEnd(Protocol):
    """One end of a flow, as the other end sees it."""

    def borrow(self) -> memoryview:
        """Return writable space, at least one byte, valid until the next call into this end."""

    def commit(self, size: int) -> None:
        """Send on the first `size` bytes of the space borrowed last."""

    def write(self, data: memoryview | bytes) -> None:
        """Send on `data`, which is valid only during the call."""

    def write_eof(self) -> None:
        """Carry the source's orderly end (FIN, END_STREAM); the other direction goes on."""

    def reset(self, reason: Reason) -> None:
        """Break this end so that its far side sees a reset, never a clean end. Idempotent."""

    def pause_reading(self) -> None:
        """Stop taking bytes from this end's far side."""

    def resume_reading(self) -> None:
        """Go on after `pause_reading`."""


class NullEnd:
    """A peer for an end whose flow is over: swallows calls that arrive late."""

    def borrow(self) -> memoryview:
        """Give space that nobody will read."""
        return _SHARED

    def commit(self, size: int) -> None:
        """Drop the bytes."""

    def write(self, data: memoryview | bytes) -> None:
        """Drop the bytes."""

    def write_eof(self) -> None:
        """Ignore."""

    def reset(self, reason: Reason) -> None:
        """Ignore."""

    def pause_reading(self) -> None:
        """Ignore."""

    def resume_reading(self) -> None:
        """Ignore."""


NOBODY: FlowEnd = NullEnd()


class HoldingEnd(NullEnd):
    """A peer for an end whose far side is not there yet: keeps what comes, and hands it over with `release`."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._eof = False

    def write(self, data: memoryview | bytes) -> None:
        """Keep the bytes; the sender's window bounds them."""
        self._held += data

    def write_eof(self) -> None:
        """Keep the end."""
        self._eof = True

    def release(self, end: FlowEnd) -> None:
        """Give `end` what was kept."""
        if self._held:
            end.write(bytes(self._held))
        if self._eof:
            end.write_eof()


class SocketEnd(asyncio.BufferedProtocol):
    """A plain TCP socket as an end of a flow.

    `on_end(reason)` is called exactly once, when both directions are over or the flow broke. `bytes_read` and
    `bytes_written` count what came from and went to this socket.
    """

    __slots__ = (
        "_clogged", "_copies", "_ended", "_paused",
        "bytes_read", "bytes_written", "eof_in", "eof_out", "lost_reason", "on_end", "peer", "transport",
    )

    def __init__(self, peer: FlowEnd, *, lost_reason: Reason, on_end: Callable[[Reason], None] | None = None) -> None:
        self.peer = peer
        self.transport: Any = None
        self.bytes_read = 0
        self.bytes_written = 0
        self.eof_in = False  # our far side sent FIN
        self.eof_out = False  # we sent FIN to our far side
        self.lost_reason = lost_reason
        self.on_end = on_end
        self._ended = False
        self._paused = False
        self._clogged = False  # bytes for our far side wait in the transport
        self._copies = False

    # -- what asyncio calls --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport over. Also called by hand when a handshake hands its transport on."""
        self.transport = transport
        self._copies = keeps_no_reference(transport)
        expect_the_worst(transport)
        self.transport.set_write_buffer_limits(high=0)
        if self._paused:
            self.transport.pause_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Read straight into the peer's space."""
        return self.peer.borrow()

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what was read."""
        self.bytes_read += nbytes
        self.peer.commit(nbytes)

    def eof_received(self) -> bool:
        """Carry FIN as FIN: the transport stays open for the other direction."""
        self.eof_in = True
        self.peer.write_eof()
        self._finish_if_done()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """End the flow; anything but two orderly ends is a reset for the peer."""
        if not self._ended:
            self._end(self.lost_reason)

    def pause_writing(self) -> None:
        """Bytes wait for our far side: the peer must stop."""
        self._clogged = True
        self.peer.pause_reading()

    def resume_writing(self) -> None:
        """All bytes are in the kernel: the peer may go on."""
        self._clogged = False
        self.peer.resume_reading()
        if self.eof_out:
            # Not now: asyncio's transport ends itself a second time when it is closed inside this callback.
            asyncio.get_running_loop().call_soon(self._finish_if_done)

    # -- what the peer calls -------------------------------------------------------------------------------------

    def borrow(self) -> memoryview:
        """Lend the shared read buffer: the transport copies what it cannot send at once."""
        return _SHARED

    def commit(self, size: int) -> None:
        """Write from the shared buffer."""
        self.write(_SHARED[:size])

    def write(self, data: memoryview | bytes) -> None:
        """Write to the socket."""
        if self._ended:
            return
        self.bytes_written += len(data)
        self.transport.write(data if self._copies else bytes(data))

    def write_eof(self) -> None:
        """Send FIN once everything before it is out."""
        if self.eof_out or self._ended:
            return
        self.eof_out = True
        if self.eof_in:
            self._finish_if_done()  # closing sends FIN too, with one call less
            return
        try:
            self.transport.write_eof()
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # the far side reset first; connection_lost will say so
                raise

    def reset(self, reason: Reason) -> None:
        """Abort with RST."""
        if self._ended:
            return
        self._ended = True
        self.peer = NOBODY
        if self.transport is not None:
            abort_with_reset(self.transport)
        if self.on_end is not None:
            self.on_end(reason)

    def pause_reading(self) -> None:
        """Stop reading; idempotent, and remembered if the transport is not there yet."""
        self._paused = True
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._paused = False
        if self.transport is not None and not self.eof_in:
            self.transport.resume_reading()

    @property
    def unwatched(self) -> bool:
        """Say whether the loop would not notice a reset of our far side (see `vigil.py`)."""
        return not self._ended and (self._paused or self.eof_in or self.eof_out)

    @property
    def unsent(self) -> int:
        """Return how many written bytes still wait in the transport."""
        return self.transport.get_write_buffer_size() if self._clogged else 0

    def break_off(self, reason: Reason) -> None:
        """End the flow from here: both far sides see a reset."""
        peer = self.peer
        self.reset(reason)
        peer.reset(reason)

    # -- ends ----------------------------------------------------------------------------------------------------

    def _finish_if_done(self) -> None:
        if self.eof_in and self.eof_out and not self._clogged and not self._ended:
            self._ended = True
            close_in_order(self.transport)
            self.peer = NOBODY
            if self.on_end is not None:
                self.on_end(Reason.COMPLETED)

    def _end(self, reason: Reason) -> None:
        self._ended = True
        peer, self.peer = self.peer, NOBODY
        peer.reset(reason)
        if self.on_end is not None:
            self.on_end(reason)


class OriginEnd(SocketEnd):
    """The end towards a destination we dialled; `on_ready(end)` is called when its transport is there."""

    __slots__ = ("_on_ready",)

    def __init__(self, on_ready: Callable[[OriginEnd], None], *, lost_reason: Reason = Reason.ORIGIN_RESET) -> None:
        super().__init__(NOBODY, lost_reason=lost_reason)
        self._on_ready = on_ready

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport over and say so."""
        super().connection_made(transport)
        self._on_ready(self)
