"""The listening socket of the mixed port and its accept loop."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from types import TracebackType

from tunneld.inbound.reception import Reception
from tunneld.inbound.stream import InboundConnection
from tunneld.model.address import format_authority
from tunneld.model.errors import DocumentError
from tunneld.net.attach import attach

BACKLOG = 1024  # The kernel cuts it to net.core.somaxconn; Envoy and nginx ask for 511 and more.
ACCEPTS_PER_TURN = 64  # then the loop may look at other sockets; asyncio accepts up to its backlog in one turn
RETRY_S = 0.1  # trio's SLEEP_TIME after running out of descriptors

# accept(2): these are about us, not about the connection, and the socket stays readable meanwhile.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def bind(host: str, port: int, *, where: str = "", path: str = "proxy") -> socket.socket:
    """Return a bound socket for `host`:`port` (0 takes a free port).

    Raises DocumentError naming the setting (`where`, `path`) if the address is taken or is not ours. SO_REUSEPORT
    is never set, since it would hide that another program already listens there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ports of closed connections stay in TIME_WAIT
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        mends = {
            errno.EADDRINUSE: "stop the program that listens there, or choose another port; 0 takes a free one",
            errno.EACCES: "choose a port above 1023",
            errno.EADDRNOTAVAIL: "choose an address of this machine, such as 127.0.0.1",
        }
        text = os.strerror(error.errno) if error.errno else str(error)
        message = f"cannot listen on {format_authority(host, port)}: {text}"
        raise DocumentError(where, path, message, mends.get(error.errno or 0, "")) from None
    return sock


class Listener:
    """Accepts connections until it is closed; use it as a context manager.

    `group` owns the tasks that some loops need to make a transport.
    """

    def __init__(self, sock: socket.socket, reception: Reception, group: asyncio.TaskGroup) -> None:
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
                sock, source = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._loop.remove_reader(self._sock)
                    self._retry = self._loop.call_later(RETRY_S, self._resume)
                    return
                continue  # accept(2): errors of the connection itself are treated like EAGAIN by retrying
            sock.setblocking(False)
            self.accepted += 1
            attach(self._loop, sock, InboundConnection(self._reception, source[:2]), self._group)

    def _resume(self) -> None:
        self._retry = None
        self._loop.add_reader(self._sock, self._accept)
