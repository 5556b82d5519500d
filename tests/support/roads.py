"""Flows from one application's socket to another's, over each kind of end, for the contract of streams.

An application here is a plain TCP socket that is polled: a loop that loses a reset must not also hide that it did.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from tests.support.certificates import Authority
from tests.support.memory_transport import join
from tunneld.model.reasons import Reason
from tunneld.net.attach import attach
from tunneld.net.loops import HANDSHAKE_FAILED
from tunneld.net.mux import Mux
from tunneld.net.relay import OriginEnd, SocketEnd
from tunneld.net.stream_end import StreamEnd
from tunneld.net.tls import client_context, server_context
from tunneld.net.vigil import keep_vigil
from tunneld.wire.h2.connection import Limits
from tunneld.wire.h2.header_block import STATUS_200, Field, encode
from tunneld.wire.h2.stream import Stream

EDGE = "edge.test"
WINDOW = 64 * 1024
# Four windows: without credit on receipt four stalled streams would stop every other one.
LIMITS = Limits(stream_window=WINDOW, connection_window=4 * WINDOW, streams=100)
KERNEL_BUFFER = 64 * 1024  # asked for; Linux takes twice that
CONNECT = encode([(b":method", b"CONNECT"), (b":authority", b"files.example:443")])
PATIENCE_S = 10.0


class Application:
    """A socket at one end of a flow, driven by polling."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.broken = False
        sock.setblocking(False)

    async def _poll(self, attempt: Callable[[], Any]) -> Any:
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                return attempt()
            except BlockingIOError:
                assert asyncio.get_running_loop().time() < deadline, "nothing moves"
                await asyncio.sleep(0.001)
            except OSError:
                self.broken = True
                raise

    async def send(self, data: bytes) -> None:
        """Send everything."""
        view = memoryview(data)
        while view:
            view = view[await self._poll(lambda: self.sock.send(view)) :]  # noqa: B023 - called at once

    async def send_until_full(self, limit: int) -> int:
        """Send zeros until nobody takes any for a while, or `limit`; return how many were taken."""
        taken = idle = 0
        while taken < limit and idle < 150:
            try:
                taken += self.sock.send(bytes(min(65_536, limit - taken)))
                idle = 0
            except BlockingIOError:
                idle += 1
                await asyncio.sleep(0.002)
        return taken

    async def receive(self, size: int = 65_536) -> bytes:
        """Return some bytes, or b"" at a clean end. Raises ConnectionResetError."""
        data: bytes = await self._poll(lambda: self.sock.recv(size))
        if not data and self.broken:  # the kernel tells of a reset once, and this time it told the writer
            raise ConnectionResetError
        return data

    async def receive_exactly(self, size: int) -> bytes:
        """Return that many bytes."""
        data = bytearray()
        while len(data) < size:
            piece = await self.receive(size - len(data))
            assert piece, f"ended after {len(data)} of {size} bytes"
            data += piece
        return bytes(data)

    async def receive_all(self) -> bytes:
        """Return everything up to the clean end. Raises ConnectionResetError."""
        data = bytearray()
        while piece := await self.receive():
            data += piece
        return bytes(data)

    async def receive_until_reset(self) -> int:
        """Return how many bytes came before the reset; a clean end is a failure."""
        received = 0
        try:
            while piece := await self.receive():
                received += len(piece)
        except ConnectionResetError:
            return received
        raise AssertionError(f"a break looks like a clean end, after {received} bytes")

    async def error(self) -> int:
        """Wait until the kernel knows of an error on the socket; for one that has read its clean end already."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while not (code := self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
            assert asyncio.get_running_loop().time() < deadline, "no error"
            await asyncio.sleep(0.005)
        return code

    def finish(self) -> None:
        """Send FIN."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Send RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


async def until(condition: Callable[[], object]) -> None:
    """Return when `condition` holds; fail when that takes too long."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        if condition():
            return
        assert asyncio.get_running_loop().time() < deadline, "it never came to be"
        await asyncio.sleep(0.002)


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected TCP sockets with small kernel buffers."""
    with socket.socket() as listener:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            listener.setsockopt(socket.SOL_SOCKET, option, KERNEL_BUFFER)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        near = socket.socket()
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            near.setsockopt(socket.SOL_SOCKET, option, KERNEL_BUFFER)
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        near.connect(listener.getsockname())
        far, _ = listener.accept()
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return near, far


class MuxSide:
    """Owns one mux of a road; at the far side each new stream gets a socket of its own."""

    def __init__(self, on_request: Callable[[Stream], None] | None = None) -> None:
        self.lost: Reason | None = None
        self._on_request = on_request

    def on_connected(self, transport: asyncio.BaseTransport) -> None: ...

    def on_settings(self) -> None: ...

    def on_request(self, stream: Stream, fields: list[Field], ended: bool) -> None:
        assert self._on_request is not None
        self._on_request(stream)

    def on_goaway(self, code: int, debug: bytes) -> None: ...

    def on_lost(self, reason: Reason, detail: str) -> None:
        self.lost = reason


class Road:
    """Opens flows. `ends` are the socket ends of all of them; `ended` says how each was over."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.group = group
        self.loop = asyncio.get_running_loop()
        self.ends: list[SocketEnd] = []
        self.ended: list[Reason] = []
        self.applications: list[Application] = []
        self.muxes: list[Mux] = []

    async def attach(self) -> tuple[Application, SocketEnd]:
        """Return an application's socket, and our end of the same connection."""
        application, ours = tcp_pair()
        ready: asyncio.Future[OriginEnd] = self.loop.create_future()
        attach(self.loop, ours, OriginEnd(ready.set_result), self.group)
        end = await ready
        end.on_end = self.ended.append
        self.ends.append(end)
        self.applications.append(Application(application))
        return self.applications[-1], end

    async def open(self) -> tuple[Application, Application]:
        """Open one flow; return the applications at its two ends."""
        near, near_end = await self.attach()
        far, far_end = await self.attach()
        near_end.peer, far_end.peer = far_end, near_end
        return near, far

    def close(self) -> None:
        for application in self.applications:
            application.sock.close()


class MuxRoad(Road):
    """Flows as streams of one HTTP/2 connection."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        super().__init__(group)
        self._wanted: SocketEnd | None = None
        self.streams: list[StreamEnd] = []
        self.client = Mux(MuxSide(), client=True, loop=self.loop, limits=LIMITS)
        self.server = Mux(MuxSide(self._accept), client=False, loop=self.loop, limits=LIMITS)
        self.muxes = [self.client, self.server]

    def _accept(self, stream: Stream) -> None:
        end = self._wanted
        assert end is not None
        self._wanted = None
        far = StreamEnd(self.server, stream, end)
        self.streams.append(far)
        self.server.codec.send_headers(stream, STATUS_200)
        end.peer = far

    async def open(self) -> tuple[Application, Application]:
        near, near_end = await self.attach()
        far, self._wanted = await self.attach()
        stream = self.client.codec.open_stream(CONNECT)
        end = StreamEnd(self.client, stream, near_end)
        self.streams.append(end)
        near_end.peer = end
        self.client.flush()
        await until(lambda: self._wanted is None and stream.answered)
        return near, far

    async def connect(self, authority: Authority) -> None:
        """Join the two muxes over TLS."""
        pair, user = authority.server(EDGE), authority.client()
        near, far = tcp_pair()
        server = server_context(certificate=pair.certificate, key=pair.key, client_ca=authority.path)
        client = client_context(ca=authority.path, certificate=user.certificate, key=user.key)
        near.setblocking(False)
        far.setblocking(False)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.loop.connect_accepted_socket(lambda: self.server, far, ssl=server))
            group.create_task(self.loop.create_connection(
                lambda: self.client, sock=near, ssl=client, server_hostname=EDGE
            ))

    def close(self) -> None:
        super().close()
        for mux in self.muxes:
            if mux.transport is not None:
                mux.transport.abort()


@contextmanager
def no_surprises() -> Iterator[None]:
    """Fail if the loop has to catch an exception that a callback let go."""
    caught: list[Any] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda loop, context: caught.append(context))
    try:
        yield
    finally:
        loop.set_exception_handler(before)
    caught = [context for context in caught if context.get("message") != HANDSHAKE_FAILED]  # a stranger's doing
    assert not caught, caught


@asynccontextmanager
async def road(kind: str, authority: Authority) -> AsyncIterator[Any]:
    """Give a road: `tcp` for two sockets, `memory` and `tunnel` for streams without and with TLS."""
    with no_surprises():
        async with asyncio.TaskGroup() as group:
            made = Road(group) if kind == "tcp" else MuxRoad(group)
            if kind == "memory":
                assert isinstance(made, MuxRoad)
                join(made.loop, made.client, made.server)
            elif kind == "tunnel":
                assert isinstance(made, MuxRoad)
                await made.connect(authority)
            vigil = group.create_task(keep_vigil(lambda: made.ends, half_close_s=PATIENCE_S))
            try:
                yield made
            finally:
                made.close()
                for end in made.ends:
                    with suppress(OSError):
                        end.reset(Reason.SHUTDOWN)
                vigil.cancel()
