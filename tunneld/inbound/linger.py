"""The last words on a connection: write, send FIN, read and drop until the client closes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from tunneld.inbound.deadlines import Deadlines

_DROPPED = memoryview(bytearray(16 * 1024))


class Lingering(asyncio.BufferedProtocol):
    """Owns a transport on which everything is said.

    Closing at once with unread bytes in the kernel would send RST, and RST destroys a reply that the client has not
    read yet (RFC 9112 §9.6).
    """

    __slots__ = ("_deadlines", "_transport")

    def __init__(self, transport: Any, deadlines: Deadlines) -> None:
        self._transport = transport
        self._deadlines = deadlines

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend space that nobody will look at."""
        return _DROPPED

    def buffer_updated(self, nbytes: int) -> None:
        """Drop the bytes."""

    def eof_received(self) -> bool:
        """Close: the client has nothing more to say either."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._deadlines.discard(self)

    def expire(self) -> None:
        """Close on a client that does not."""
        self._transport.abort()


def linger(transport: Any, deadlines: Deadlines, out: bytes, *, eof: bool) -> None:
    """Write `out` and close `transport` so that the client can read it; `eof` says that the client sent its FIN."""
    if out:
        transport.write(out)
    if eof:
        transport.close()
        return
    lingering = Lingering(transport, deadlines)
    transport.set_protocol(lingering)
    with suppress(OSError):  # the client is gone already: connection_lost follows
        transport.write_eof()
    transport.resume_reading()
    deadlines.add(lingering)
