"""Blocking clients of the three tunnelling proxy protocols, with every refusal as its protocol says it."""

from __future__ import annotations

import re
import socket
import struct

KINDS = ("socks5", "socks4a", "http-connect")
TIMEOUT_S = 20.0


class Refused(Exception):  # noqa: N818 - a result that happens to travel as an exception
    """The proxy said no. `code` is the SOCKS reply or the HTTP status, `reason` what `proxy-status` names."""

    def __init__(self, code: int | None, reason: str | None) -> None:
        super().__init__(f"code {code}, reason {reason}")
        self.code = code
        self.reason = reason


def dial(proxy: str, host: str, port: int, kind: str = "socks5", *, early: bytes = b"") -> socket.socket:
    """Open a flow to `host` through `proxy`; `early` is sent with the request. Raises Refused."""
    address, _, proxy_port = proxy.rpartition(":")
    sock = socket.create_connection((address, int(proxy_port)), timeout=TIMEOUT_S)
    try:
        {"socks5": _socks5, "socks4a": _socks4a, "http-connect": _connect}[kind](sock, host.encode(), port, early)
    except BaseException:
        sock.close()
        raise
    return sock


def _socks5(sock: socket.socket, host: bytes, port: int, early: bytes) -> None:
    sock.sendall(b"\x05\x01\x00")
    if _exactly(sock, 2) != b"\x05\x00":
        raise Refused(None, "method")
    sock.sendall(b"\x05\x01\x00\x03" + bytes([len(host)]) + host + struct.pack("!H", port) + early)
    head = _exactly(sock, 4)
    if head[1] != 0:
        raise Refused(head[1], None)
    _exactly(sock, {1: 4, 4: 16}[head[3]] + 2)


def _socks4a(sock: socket.socket, host: bytes, port: int, early: bytes) -> None:
    sock.sendall(b"\x04\x01" + struct.pack("!H", port) + b"\0\0\0\1" + b"\0" + host + b"\0" + early)
    reply = _exactly(sock, 8)
    if reply[1] != 90:
        raise Refused(reply[1], None)


def _connect(sock: socket.socket, host: bytes, port: int, early: bytes) -> None:
    authority = host + b":" + str(port).encode()
    sock.sendall(b"CONNECT " + authority + b" HTTP/1.1\r\nHost: " + authority + b"\r\n\r\n" + early)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += _exactly(sock, 1)  # a byte at a time: what follows the head belongs to the flow
    status = int(head.split(b" ", 2)[1])
    if status != 200:
        named = re.search(rb'(?im)^proxy-status:.*details="?(\w+)', head)
        raise Refused(status, named[1].decode() if named else None)


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise Refused(None, f"closed after {data!r}")
        data += piece
    return data
