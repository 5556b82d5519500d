"""One side of a flow on a blocking socket: says its part, reads the other's, and notes how the end looked."""

from __future__ import annotations

import hashlib
import selectors
import socket
import struct
import time
from collections.abc import Callable
from typing import NamedTuple

from tests.support.history import FIN, RESET, TIMEOUT

PIECE = 64 * 1024


class Talk(NamedTuple):
    """What came of it."""

    sent: int
    said_all: bool
    received: int
    sha256: str
    end: str


def talk(
    sock: socket.socket, says: bytes | memoryview, *, after_fin: bool = False, pause_s: float = 0.0,
    seconds: float = 30.0, progress: Callable[[int], None] = lambda _: None,
) -> Talk:  # fmt: skip
    """Send `says` and FIN, read to the end, close. `after_fin`: speak only when the other side has finished.

    After a failed `send` the kernel has spent the socket's error, and a read would look like a clean end: whoever
    sees the one may not trust the other.
    """
    rest, digest = memoryview(says), hashlib.sha256()
    sent = received = 0
    said_all = broken = False
    end: str | None = None
    deadline = time.monotonic() + seconds
    sock.setblocking(False)
    with sock, selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        while end is None or not (said_all or broken):
            wants = (selectors.EVENT_READ if end is None else 0) | (
                selectors.EVENT_WRITE if not said_all and not broken and (end == FIN or not after_fin) else 0
            )
            left = deadline - time.monotonic()
            if left <= 0 or not wants:
                end = end if end == RESET else TIMEOUT
                break
            selector.modify(sock, wants)
            events = selector.select(left)
            ready = events[0][1] if events else 0
            if ready & selectors.EVENT_WRITE:
                try:
                    if rest:
                        count = sock.send(rest[:PIECE])
                        sent, rest = sent + count, rest[count:]
                        if pause_s:
                            time.sleep(pause_s)
                    else:
                        sock.shutdown(socket.SHUT_WR)
                        said_all = True
                except BlockingIOError:
                    pass
                except OSError:
                    broken, end = True, end or RESET  # a clean end that was read before stays what it was
            if ready & selectors.EVENT_READ and end is None:
                try:
                    data = sock.recv(PIECE)
                except BlockingIOError:
                    continue
                except OSError:
                    broken, end = True, RESET
                    continue
                received += len(data)
                digest.update(data)
                progress(len(data))
                end = None if data else FIN
    return Talk(sent, said_all, received, digest.hexdigest(), end or RESET)


def reset(sock: socket.socket) -> None:
    """Close with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
