"""Opening a flow through a proxy: the client's side of SOCKS5, HTTP CONNECT and no proxy at all."""

from __future__ import annotations

import socket
from collections.abc import Generator
from typing import NamedTuple

SOCKS5, HTTP, NONE = "socks5", "http", "none"
MAX_REPLY = 4096


class Endpoint(NamedTuple):
    """Where the load generator connects, what it speaks there, and the destination that it asks for."""

    protocol: str
    proxy_port: int
    host: str
    port: int


class FlowError(RuntimeError):
    """The proxy refused a flow, or broke it."""


Exchange = Generator[bytes, bytes, None]
"""Yields what to send (may be empty), is sent what was received; ends when the flow is open."""


def exchange(endpoint: Endpoint) -> Exchange:
    """Return the opening of one flow as a generator, one step a round trip."""
    return {SOCKS5: _socks5, HTTP: _connect, NONE: _nothing}[endpoint.protocol](endpoint)


def _nothing(endpoint: Endpoint) -> Exchange:  # noqa: ARG001 - the table's signature
    """No proxy, nothing to say."""
    return
    yield


def _socks5(endpoint: Endpoint) -> Exchange:
    """RFC 1928: no authentication, CONNECT to a name (or to an address where the host is one)."""
    reply = b""
    asked = b"\x05\x01\x00"
    while len(reply) < 2:
        reply += yield asked
        asked = b""
    if reply != b"\x05\x00":
        raise FlowError(f"SOCKS method reply {reply!r}")
    asked = b"\x05\x01\x00" + _socks5_host(endpoint.host) + endpoint.port.to_bytes(2, "big")
    reply = b""
    while len(reply) < 10:
        reply += yield asked
        asked = b""
    if reply[1] != 0 or len(reply) != {1: 10, 4: 22}.get(reply[3]):
        raise FlowError(f"SOCKS reply {reply!r}")


def _socks5_host(host: str) -> bytes:
    try:
        return b"\x01" + socket.inet_aton(host) if host.count(".") == 3 else _socks5_name(host)
    except OSError:
        return _socks5_name(host)


def _socks5_name(host: str) -> bytes:
    return bytes([3, len(host)]) + host.encode()


def _connect(endpoint: Endpoint) -> Exchange:
    """RFC 9110 §9.3.6."""
    authority = f"{endpoint.host}:{endpoint.port}"
    asked = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()
    reply = b""
    while not reply.endswith(b"\r\n\r\n"):
        reply += yield asked
        asked = b""
        if len(reply) > MAX_REPLY:
            raise FlowError("CONNECT reply without end")
    if reply.split(b" ", 2)[1] != b"200":
        raise FlowError(f"CONNECT reply {reply[:80]!r}")


def connect(endpoint: Endpoint) -> socket.socket:
    """Return a TCP connection to the proxy (or to the destination, where there is none), nothing said yet."""
    sock = socket.socket()
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(("127.0.0.1", endpoint.proxy_port))
    except OSError:
        sock.close()
        raise
    return sock


def open_flow(endpoint: Endpoint) -> socket.socket:
    """Return a blocking socket on which the flow is open."""
    sock = connect(endpoint)
    try:
        steps = exchange(endpoint)
        out = next(steps, None)
        while out is not None:
            if out:
                sock.sendall(out)
            received = sock.recv(MAX_REPLY)
            if not received:
                raise FlowError("proxy closed during the handshake")
            try:
                out = steps.send(received)
            except StopIteration:
                out = None
    except BaseException:
        sock.close()
        raise
    return sock
