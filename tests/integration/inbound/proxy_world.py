"""A mixed port with a fake opener behind it, and origins that say what a test tells them to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from tunneld.inbound.listener import Listener
from tunneld.inbound.reception import Reception
from tunneld.inbound.request import FlowRequest
from tunneld.model.reasons import Reason
from tunneld.net.listen import bind
from tunneld.net.relay import NOBODY, FlowEnd, SocketEnd


class EchoEnd:
    """A far end that gives back what it gets, and remembers it."""

    def __init__(self) -> None:
        self.peer: FlowEnd = NOBODY
        self.received = b""
        self.eof = False
        self.reset_by: Reason | None = None
        self.bytes_read = self.bytes_written = 0
        self._space = memoryview(bytearray(65536))

    def borrow(self) -> memoryview:
        return self._space

    def commit(self, size: int) -> None:
        self.write(self._space[:size])

    def write(self, data: memoryview | bytes) -> None:
        self.received += data
        self.peer.write(bytes(data))

    def write_eof(self) -> None:
        self.eof = True
        self.peer.write_eof()

    def reset(self, reason: Reason) -> None:
        self.reset_by = reason

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class FakeOpener:
    """Refuses what `refusals` names, waits for what `held` names, dials everything else on this machine."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.group = group
        self.requests: list[FlowRequest] = []
        self.ends: list[tuple[str, Reason]] = []
        self.abandoned: list[str] = []
        self.refusals: dict[str, Reason] = {}
        self.held: dict[str, FlowRequest] = {}
        self.holding: set[str] = set()
        self.reuse = True
        self.nears: list[FlowEnd] = []
        self.fars: list[FlowEnd] = []

    def open(self, request: FlowRequest) -> None:
        self.requests.append(request)
        request.on_abandoned = lambda: self.abandoned.append(request.host)
        if request.host in self.refusals:
            request.refuse(self.refusals[request.host], "as the test wants")
        elif request.host in self.holding:
            self.held[request.host] = request
        else:
            self.group.create_task(self.dial(request))

    def may_reuse(self, request: FlowRequest) -> bool:
        return self.reuse

    async def dial(self, request: FlowRequest) -> None:
        far = SocketEnd(NOBODY, lost_reason=Reason.ORIGIN_RESET)
        try:
            await asyncio.get_running_loop().create_connection(lambda: far, "127.0.0.1", request.port)
        except OSError:
            request.refuse(Reason.ORIGIN_REFUSED)
            return
        self.fars.append(far)
        near = request.accept(far, lambda reason: self.ends.append((request.host, reason)))
        if near is not None:
            self.nears.append(near)


class World:
    """The proxy of one test."""

    def __init__(self, group: asyncio.TaskGroup, listener: Listener, reception: Reception, opener: FakeOpener) -> None:
        self.group = group
        self.listener = listener
        self.reception = reception
        self.opener = opener
        self.host, self.port = listener.address
        self.failures: list[tuple[Reason, str]] = []

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @asynccontextmanager
    async def client(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Connect to the proxy."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def say(self, *chunks: bytes, eof: bool = False) -> bytes:
        """Send `chunks`, a read apart, and return all that the proxy says until it closes."""
        async with self.client() as (reader, writer):
            for chunk in chunks:
                writer.write(chunk)
                await asyncio.sleep(0.01)
            if eof:
                writer.write_eof()
            return await reader.read()

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for `condition`, which the test expects to come true soon."""
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110  the condition is not ours to signal
                await asyncio.sleep(0.005)


@asynccontextmanager
async def proxy(**settings: Any) -> AsyncIterator[World]:
    """Run a mixed port on a free port of the loopback address."""
    async with asyncio.TaskGroup() as group:
        opener = FakeOpener(group)
        failures: list[tuple[Reason, str]] = []
        reception = Reception(
            opener, on_failure=lambda reason, detail, _: failures.append((reason, detail)), **settings
        )
        with Listener(bind("127.0.0.1", 0), reception, group) as listener:
            world = World(group, listener, reception, opener)
            world.failures = failures
            yield world
        for end in (*opener.nears, *opener.fars):
            end.reset(Reason.SHUTDOWN)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def origin(serve: Serve) -> AsyncIterator[int]:
    """Run an origin and yield its port."""
    writers: list[asyncio.StreamWriter] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Give back everything, then the end."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def pages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request with what was asked, in HTTP/1.1 with keep-alive."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        body = b""
        if fields.get(b"transfer-encoding") == b"chunked":
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        elif b"content-length" in fields:
            body = await reader.readexactly(int(fields[b"content-length"]))
        text = head.split(b"\r\n")[0] + b"\n" + body
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
        await writer.drain()
