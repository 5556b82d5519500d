"""Bind a listening socket, and say in one line why it cannot be bound."""

from __future__ import annotations

import errno
import os
import socket

from tunneld.model.address import format_authority
from tunneld.model.errors import DocumentError

_KEEP_ALIVE = {
    socket.TCP_KEEPIDLE: 30,  # seconds of silence before the first probe
    socket.TCP_KEEPINTVL: 10,
    socket.TCP_KEEPCNT: 3,
    socket.TCP_USER_TIMEOUT: 30_000,  # ms; without it unacknowledged data is sent again for up to 20 minutes
}


def notice_death(sock: socket.socket) -> None:
    """Have the kernel end the connection a minute after its far machine vanished without a word."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEP_ALIVE.items():
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


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
