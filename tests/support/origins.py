"""Origins that play whatever part the first line of a flow asks for, and write down what they saw.

The first line is `<flow> <part> <number>`; what the parts do is in `PARTS`. Everything runs in threads of the test's
own process, so that a test reads the history without asking anybody.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.support.history import FIN, ORIGIN, RESET, TIMEOUT, Seen, content
from tests.support.talk import reset, talk

WAIT_S = 60.0


class Piece(NamedTuple):
    """A stamped line that arrived: which flow, when it was sent, when it was read (both on the monotonic clock)."""

    flow: int
    sent: float
    read: float


class Origin:
    """A listener with a canary of its own."""

    def __init__(self, canary: str) -> None:
        self.canary = canary
        self.seen: list[Seen] = []
        self.flows: list[int] = []
        self.pieces: list[Piece] = []
        self.ends: dict[int, str] = {}
        self.moved = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(WAIT_S)
        line = b""
        with sock, contextlib.suppress(OSError):
            while not line.endswith(b"\n"):
                byte = sock.recv(1)
                if not byte:
                    return
                line += byte
            flow, part, number = line.split()
            self.flows.append(int(flow))
            PARTS[part.decode()](self, sock, int(flow), int(number))

    def _count(self, size: int) -> None:
        self.moved += size


def _exchange(origin: Origin, sock: socket.socket, flow: int, size: int) -> None:
    """Say `size` bytes of the flow's content at once, while reading."""
    _note(origin, sock, flow, size, after_fin=False)


def _answer(origin: Origin, sock: socket.socket, flow: int, size: int) -> None:
    """Read to the end, then say `size` bytes."""
    _note(origin, sock, flow, size, after_fin=True)


def _note(origin: Origin, sock: socket.socket, flow: int, size: int, *, after_fin: bool) -> None:
    said = content(flow, ORIGIN, size)
    done = talk(sock, said, after_fin=after_fin, seconds=WAIT_S, progress=origin._count)
    origin.seen.append(Seen(flow, ORIGIN, *done))


def _stamps(origin: Origin, sock: socket.socket, flow: int, _: int) -> None:
    """Give the canary, read stamped lines and echo each."""
    sock.sendall(origin.canary.encode() + b"\n")
    buffer = b""
    try:
        while data := sock.recv(65536):
            now = time.monotonic()
            *lines, buffer = (buffer + data).split(b"\n")
            origin.pieces += [Piece(flow, float(line), now) for line in lines]
            sock.sendall(b"".join(line + b"\n" for line in lines))
        origin.ends[flow] = FIN
    except TimeoutError:
        origin.ends[flow] = TIMEOUT
    except OSError:
        origin.ends[flow] = RESET


def _whoami(origin: Origin, sock: socket.socket, flow: int, _: int) -> None:
    """Give the canary and close first."""
    sock.sendall(origin.canary.encode() + b"\n")
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(65536):
        pass


def _reset(origin: Origin, sock: socket.socket, flow: int, size: int) -> None:
    """Say `size` bytes, give them time to leave, then reset."""
    sock.sendall(content(flow, ORIGIN, size))
    time.sleep(0.05)
    reset(sock)


def _silent(origin: Origin, sock: socket.socket, flow: int, _: int) -> None:
    """Say nothing, and note how the flow ended."""
    try:
        while sock.recv(65536):
            pass
        origin.ends[flow] = FIN
    except TimeoutError:
        origin.ends[flow] = TIMEOUT
    except OSError:
        origin.ends[flow] = RESET


PARTS: dict[str, Callable[[Origin, socket.socket, int, int], Any]] = {
    "exchange": _exchange, "answer": _answer, "stamps": _stamps, "whoami": _whoami, "reset": _reset, "silent": _silent,
}  # fmt: skip


@contextlib.contextmanager
def origins(**canaries: str) -> Iterator[dict[str, Origin]]:
    """Give one origin for each name, and close them."""
    made = {name: Origin(canary) for name, canary in canaries.items()}
    try:
        yield made
    finally:
        for each in made.values():
            each.close()


def describe(history: list[Seen]) -> str:
    """Return a history as JSON lines, for a failed test's output."""
    return "\n".join(json.dumps(seen._asdict()) for seen in history)
