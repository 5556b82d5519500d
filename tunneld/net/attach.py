"""Put a protocol on a connected socket at once, without a task where the transport allows it.

asyncio offers this only as a coroutine, and a task costs 15 to 20 µs of the ~100 µs that a whole short flow may
cost. aiofastnet's stream transport can be constructed directly; on other loops an owned task does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Any, cast

import aiofastnet
from aiofastnet.selector_transport import SelectorSocketTransport

from tunneld.net.tasks import TaskOwner

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_FIN_ON_CLOSE = struct.pack("ii", 0, 0)


def is_fastnet(loop: asyncio.AbstractEventLoop) -> bool:
    """Say whether `loop` makes aiofastnet transports."""
    patched = getattr(loop.create_connection, "func", None)  # aiofastnet binds its functions with partial()
    return patched is aiofastnet.create_connection


def attach(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    protocol: asyncio.BaseProtocol,
    group: TaskOwner,
) -> None:
    """Make `protocol` the owner of the connected `sock`; `connection_made` follows soon.

    `group` owns the task on loops where a task is needed.
    """
    if is_fastnet(loop):
        transport = SelectorSocketTransport(loop, sock, protocol)
        loop.call_soon(_take_back_reader, loop, sock.fileno(), transport)
    else:
        sock.setblocking(False)  # aiofastnet does it itself
        group.create_task(_attach_later(loop, sock, protocol), name="attach")


def _take_back_reader(loop: asyncio.AbstractEventLoop, descriptor: int, transport: Any) -> None:
    """Undo what aiofastnet 1.2.0 does in the callback before this one: it adds a reader whatever `connection_made` did.

    Left behind by a transport that was closed there, it would swallow the events of the next socket that gets the
    same descriptor; of a paused one, it would spin.
    """
    if not transport.is_reading():
        loop.remove_reader(descriptor)


async def _attach_later(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: asyncio.BaseProtocol
) -> None:
    try:
        await loop.connect_accepted_socket(lambda: protocol, sock)
    except OSError:
        sock.close()


def keeps_no_reference(transport: asyncio.BaseTransport) -> bool:
    """Say whether `transport.write(view)` is done with `view` on return, so that its buffer may be reused.

    aiofastnet copies what it cannot send at once. uvloop keeps a reference, and so does asyncio from Python 3.12 on.
    """
    return type(transport).__module__.startswith("aiofastnet")


def expect_the_worst(transport: asyncio.BaseTransport) -> None:
    """Have the kernel send RST if this connection is closed by anything but `close_in_order`.

    A killed process closes its sockets with FIN, which would make what was under way look complete.
    """
    _linger(transport, _RESET_ON_CLOSE)


def close_in_order(transport: asyncio.BaseTransport) -> None:
    """Close with FIN. Everything written must have reached the kernel, which sends it even if we die now."""
    _linger(transport, _FIN_ON_CLOSE)
    cast("Any", transport).close()


def abort_with_reset(transport: asyncio.BaseTransport) -> None:
    """Close so that the peer sees RST: `transport.abort()` alone sends FIN, which would look like a clean end."""
    _linger(transport, _RESET_ON_CLOSE)
    cast("Any", transport).abort()


def _linger(transport: asyncio.BaseTransport, how: bytes) -> None:
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):  # already closed: there is nobody left to tell
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, how)
