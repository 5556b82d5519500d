"""Looks after ends that the loop cannot watch: half-closed ones, and those that nobody reads from.

A transport that has seen FIN, or that is paused, waits for no event, so a reset of its far side stays unseen until
somebody writes. Once a second the kernel is asked about exactly these sockets; a half-closed flow in which nothing
moves any more ends after a while, an idle flow that is open in both directions never does.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable

from tunneld.model.reasons import Reason
from tunneld.net.relay import SocketEnd

SWEEP_S = 1.0
SLICE = 256  # ends looked at before other events get their turn
_TCP_CLOSE = 7  # `TCP_CLOSE` of <linux/tcp.h>, in the first byte of TCP_INFO


async def keep_vigil(ends: Callable[[], Iterable[SocketEnd]], *, half_close_s: float) -> None:
    """Sweep for ever. The caller's task group owns this task.

    `half_close_s` is how long a half-closed flow may stay silent: Envoy and HAProxy have such a timeout, since a peer
    that vanished after its FIN would otherwise hold its flow for ever.
    """
    loop = asyncio.get_running_loop()
    silent: dict[SocketEnd, tuple[int, float]] = {}
    while True:
        await asyncio.sleep(SWEEP_S)
        seen: dict[SocketEnd, tuple[int, float]] = {}
        for number, end in enumerate(list(ends())):
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            if not end.unwatched:
                continue
            if _is_dead(end):
                end.break_off(end.lost_reason)
            elif end.eof_in or end.eof_out:
                now, moved = loop.time(), end.bytes_read + end.bytes_written - end.unsent
                since = silent.get(end, (-1, now))
                seen[end] = since = since if since[0] == moved else (moved, now)
                if now - since[1] >= half_close_s:
                    end.break_off(Reason.HALF_CLOSE_TIMEOUT)
        silent = seen


def _is_dead(end: SocketEnd) -> bool:
    """Say whether the kernel has given the connection up.

    After an orderly end of both sides the state is the same, and our own socket may still hold bytes that nobody has
    read: only an error tells that it broke.
    """
    sock = end.transport.get_extra_info("socket") if end.transport is not None else None
    if sock is None or sock.fileno() < 0:
        return False
    state: int = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state == _TCP_CLOSE and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
