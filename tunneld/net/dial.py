"""Connect to an origin without a task: one non-blocking connect, a callback, and one timer for all that are pending.

The addresses are already resolved, checked and pinned. With several of them, attempts start 250 ms apart in the order
given, the first to connect wins, and an attempt that fails starts the next one at once (RFC 8305 §5).
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

from tunneld.model.reasons import Reason
from tunneld.net.inet import tcp_socket

ATTEMPT_DELAY_S = 0.25  # RFC 8305 §5: "Connection Attempt Delay", recommended 250 ms
TIMEOUT_S = 10.0  # for all addresses together; Envoy's connect_timeout is 5 s for one

OnConnected = Callable[[socket.socket, str], None]
OnFailed = Callable[[Reason], None]

_REASONS = {
    errno.ECONNREFUSED: Reason.ORIGIN_REFUSED,
    errno.ECONNRESET: Reason.ORIGIN_REFUSED,
    errno.ETIMEDOUT: Reason.ORIGIN_TIMEOUT,
    errno.EMFILE: Reason.TOO_MANY_FLOWS,
    errno.ENFILE: Reason.TOO_MANY_FLOWS,
}


class Dial:
    """One connection being made. `cancel` it if nobody wants it any more; then no callback follows."""

    __slots__ = ("_attempts", "_failed", "_loop", "_on_connected", "_on_failed", "_port", "_rest", "_timers", "over")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        addresses: Sequence[str],
        port: int,
        on_connected: OnConnected,
        on_failed: OnFailed,
    ) -> None:
        self._loop = loop
        self._rest = list(addresses)
        self._port = port
        self._on_connected = on_connected
        self._on_failed = on_failed
        self._attempts: list[tuple[socket.socket, str]] = []
        self._timers: list[asyncio.TimerHandle] = []
        self._failed = Reason.ORIGIN_UNREACHABLE
        self.over = False

    def start(self) -> None:
        """Begin; a callback may run before this returns."""
        self._next()
        if not self.over:
            self._timers.append(self._loop.call_later(TIMEOUT_S, self._expire))
            if self._rest:
                self._timers.append(self._loop.call_later(ATTEMPT_DELAY_S, self._stagger))

    def cancel(self) -> None:
        """Stop all attempts; nobody is called back."""
        self._finish(None)

    def _next(self) -> None:
        while self._rest and not self.over:
            address = self._rest.pop(0)
            try:
                sock = tcp_socket(address)
            except OSError as error:
                self._failed = _reason(error.errno)
                continue
            code = sock.connect_ex((address, self._port))
            if code == errno.EINPROGRESS:
                # On the same machine or a fast network the handshake is already done: asking once more costs one
                # call, waiting for the loop costs a turn and four.
                code = sock.connect_ex((address, self._port))
            if code in (0, errno.EISCONN):
                self._win(sock, address)
            elif code in (errno.EALREADY, errno.EINPROGRESS):
                self._attempts.append((sock, address))
                self._loop.add_writer(sock, self._writable, sock, address)
                return
            else:
                self._failed = _reason(code)
                sock.close()
        if not self._attempts and not self.over:
            self._finish(None)
            self._on_failed(self._failed)

    def _writable(self, sock: socket.socket, address: str) -> None:
        self._loop.remove_writer(sock)
        self._attempts.remove((sock, address))
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            self._win(sock, address)
        else:
            self._failed = _reason(code)
            sock.close()
            self._next()

    def _stagger(self) -> None:
        if not self.over and self._rest:
            self._next()
            if not self.over and self._rest:
                self._timers.append(self._loop.call_later(ATTEMPT_DELAY_S, self._stagger))

    def _expire(self) -> None:
        if not self.over:
            self._finish(None)
            self._on_failed(Reason.ORIGIN_TIMEOUT)

    def _win(self, sock: socket.socket, address: str) -> None:
        self._finish(sock)
        self._on_connected(sock, address)

    def _finish(self, winner: socket.socket | None) -> None:
        self.over = True
        for timer in self._timers:
            timer.cancel()
        for sock, _ in self._attempts:
            if sock is not winner:
                with suppress(OSError, ValueError):  # closed already
                    self._loop.remove_writer(sock)
                sock.close()
        self._attempts.clear()


def _reason(code: int | None) -> Reason:
    return _REASONS.get(code or 0, Reason.ORIGIN_UNREACHABLE)
