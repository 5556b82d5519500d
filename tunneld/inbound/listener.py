"""The listening socket of the mixed port and its accept loop."""

from __future__ import annotations

import asyncio
import errno
import socket
from types import TracebackType

from tunneld.inbound.reception import Reception
from tunneld.inbound.stream import InboundConnection
from tunneld.net.attach import attach
from tunneld.net.inet import accept
from tunneld.net.tasks import TaskOwner

BACKLOG = 1024  # The kernel cuts it to net.core.somaxconn; Envoy and nginx ask for 511 and more.
ACCEPTS_PER_TURN = 64  # then the loop may look at other sockets; asyncio accepts up to its backlog in one turn
RETRY_S = 0.1  # trio's SLEEP_TIME after running out of descriptors

# accept(2): these are about us, not about the connection, and the socket stays readable meanwhile.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """Accepts connections until it is closed; use it as a context manager.

    `group` owns the tasks that some loops need to make a transport.
    """

    def __init__(self, sock: socket.socket, reception: Reception, group: TaskOwner) -> None:
        self._loop = reception.loop
        self._sock = sock
        self._reception = reception
        self._group = group
        self._retry: asyncio.TimerHandle | None = None
        self.accepted = 0
        self.address: tuple[str, int] = sock.getsockname()[:2]
        sock.listen(BACKLOG)
        self._loop.add_reader(sock, self._accept)

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop accepting and cut whatever is not a flow yet. Idempotent; accepted flows go on."""
        if self._sock.fileno() < 0:
            return
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        else:
            self._loop.remove_reader(self._sock)
        self._sock.close()
        self._reception.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, source = accept(self._sock)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._loop.remove_reader(self._sock)
                    self._retry = self._loop.call_later(RETRY_S, self._resume)
                    return
                continue  # accept(2): errors of the connection itself are treated like EAGAIN by retrying
            self.accepted += 1
            attach(self._loop, sock, InboundConnection(self._reception, source), self._group)

    def _resume(self) -> None:
        self._retry = None
        self._loop.add_reader(self._sock, self._accept)
