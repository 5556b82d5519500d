"""TCP sockets that know their family and type without asking.

`socket.socket` turns both into enum members at every look, and a transport looks several times when it is made: 6 to
8 µs of a flow that may cost 100.
"""

from __future__ import annotations

import socket

_NON_BLOCKING = socket.SOCK_STREAM | socket.SOCK_NONBLOCK


class _TcpSocket4(socket.socket):
    family = socket.AF_INET
    type = socket.SOCK_STREAM


class _TcpSocket6(socket.socket):
    family = socket.AF_INET6
    type = socket.SOCK_STREAM


def tcp_socket(address: str) -> socket.socket:
    """Return a non-blocking socket that can connect to `address`."""
    if ":" in address:
        return _TcpSocket6(socket.AF_INET6, _NON_BLOCKING)
    return _TcpSocket4(socket.AF_INET, _NON_BLOCKING)


def accept(listener: socket.socket) -> tuple[socket.socket, tuple[str, int]]:
    """Accept a TCP connection like `listener.accept()`; the socket it returns inherits nothing. Raises OSError."""
    descriptor, source = listener._accept()  # type: ignore[attr-defined]  # what socket.accept itself is made of
    if len(source) > 2:
        return _TcpSocket6(socket.AF_INET6, socket.SOCK_STREAM, fileno=descriptor), source[:2]
    return _TcpSocket4(socket.AF_INET, socket.SOCK_STREAM, fileno=descriptor), source
