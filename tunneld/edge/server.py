"""The edge: listeners, the choice of a tenant by server name before TLS starts, sessions, and an orderly end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from tunneld.edge.caps import Caps
from tunneld.edge.session import EdgeSession
from tunneld.edge.settings import Settings, load_settings
from tunneld.edge.tenant import TenantEdge, find_tenant
from tunneld.journal import log as journal
from tunneld.journal.flows import CorrelationIds, FlowRecord, FlowTable
from tunneld.journal.records import LineFile, RecordWriter
from tunneld.model.address import format_authority
from tunneld.model.errors import DocumentError, PeerProtocolError
from tunneld.model.reasons import Reason
from tunneld.net.ciphers import prefer_aes_128
from tunneld.net.listen import bind, notice_death
from tunneld.net.loops import run as run_loop
from tunneld.net.loops import settle
from tunneld.net.relay import SocketEnd
from tunneld.net.tasks import ContainedTasks
from tunneld.net.vigil import keep_vigil
from tunneld.net.watch import watch
from tunneld.wire.client_hello import Hello, NotTls, read_client_hello
from tunneld.wire.h2.frames import ErrorCode

log = structlog.get_logger("tunneld.edge")

BACKLOG = 1024
MAX_STRANGERS = 1024  # handshakes under way; the places of `limits.connections` are for those who got through
MAX_OF_USER = 128  # connections of one user: a daemon opens at most 16 for each of 4 channels
# A fatal unrecognized_name alert (RFC 6066 §3, RFC 8446 §6) in a plaintext record: nothing of ours answers that name.
_UNRECOGNIZED_NAME = b"\x15\x03\x03\x00\x02\x02\x70"
_PEEK = 16 * 1024
_PEEK_AGAIN_S = 0.01
_TCP_CLOSED = (7, 8)  # TCP_CLOSE and TCP_CLOSE_WAIT of <linux/tcp.h>, in the first byte of TCP_INFO


class EdgeServer:
    """One edge process."""

    def __init__(self, settings: Settings, records: RecordWriter, group: asyncio.TaskGroup) -> None:
        self.settings = settings
        self.records = records
        self.group = ContainedTasks(group)  # for whatever a stranger can start
        self._group = group  # for what the edge cannot be without
        self.tenants = [TenantEdge(section, settings) for section in settings.tenant]
        self.flows = FlowTable()
        self.caps = Caps(settings.limits)
        self.new_id: Callable[[], str] = CorrelationIds(os.urandom(8))
        self.sessions: set[EdgeSession] = set()
        self._sockets: list[socket.socket] = []
        self._strangers: dict[asyncio.Task[None], None] = {}  # connections that TLS has not let in yet, oldest first
        self._tasks: list[asyncio.Task[None]] = []
        for tenant in self.tenants:
            tenant.on_profiles(lambda old, new, tenant=tenant: self._refresh(tenant, old, new))  # type: ignore[misc]

    def start(self) -> list[str]:
        """Bind, watch the files, serve. Returns the addresses. Raises DocumentError."""
        edge = self.settings.edge
        for number, text in enumerate((*edge.listen, *([edge.interop] if edge.interop else []))):
            host, _, port = text.rpartition(":")
            sock = bind(host.strip("[]"), int(port), where="edge settings", path="edge.listen")
            sock.listen(BACKLOG)
            self._sockets.append(sock)
            interop = number >= len(edge.listen)
            self._spawn(self._accept(sock, interop), "accept")
        addresses = [sock.getsockname()[:2] for sock in self._sockets]
        for tenant in self.tenants:
            tenant.connector.forbid(addresses)
            self._spawn(tenant.keys.keep_fresh(), f"keys of {tenant.name}")
            self._spawn(watch(tenant.watches(refused=_refused, changed=_changed(tenant.name))), "watch files")
        self._spawn(self.records.run(), "records")
        self._spawn(keep_vigil(self._ends, half_close_s=self.settings.limits.half_close_s), "vigil")
        return [format_authority(host, port) for host, port in addresses]

    async def stop(self) -> None:
        """Stop accepting, let flows end within the grace time, then reset what is left."""
        for sock in self._sockets:
            sock.close()
        grace = self.settings.limits.grace_s
        for session in self.sessions:
            session.drain(grace)
        await self._flows_over(grace)
        for session in list(self.sessions):
            session.finish()
        await asyncio.sleep(0.05)  # let the resets and GOAWAYs leave
        for task in self._tasks:
            task.cancel()

    # -- connections ---------------------------------------------------------------------------------------------

    async def _accept(self, sock: socket.socket, interop: bool) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, source = await loop.sock_accept(sock)
            except OSError as error:
                if sock.fileno() < 0:
                    return
                log.warning("accept_failed", error=error.strerror)
                await asyncio.sleep(0.1)  # out of descriptors: accepting again at once would spin
                continue
            if len(self._strangers) >= MAX_STRANGERS:
                next(iter(self._strangers)).cancel()  # the oldest: an honest one is through in milliseconds
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            notice_death(connection)
            task = self.group.create_task(self._serve(connection, source[:2], interop), name="connection")
            self._strangers[task] = None
            task.add_done_callback(lambda done: self._strangers.pop(done, None))
            self._own(task)

    async def _serve(self, sock: socket.socket, source: tuple[str, int], interop: bool) -> None:
        """Serve one connection to its end. Whatever goes wrong in it stays in it."""
        limit = self.settings.limits.handshake_s
        try:
            async with asyncio.timeout(limit):
                session = await self._handshake(sock, interop)
        except (TimeoutError, OSError, PeerProtocolError) as error:
            sock.close()
            log.warning("handshake_failed", source=format_authority(*source), error=_describe(error))
            return
        except asyncio.CancelledError:
            sock.close()
            raise
        finally:
            task = asyncio.current_task()
            if task is not None:
                self._strangers.pop(task, None)
        if session is None:
            sock.close()
            return
        if self._is_full(session):
            session.mux.close(Reason.TOO_MANY_FLOWS, ErrorCode.ENHANCE_YOUR_CALM)
        self.sessions.add(session)
        timer = asyncio.get_running_loop().call_later(limit, session.expire)
        try:
            await session.closed
        finally:
            timer.cancel()
            self.sessions.discard(session)

    def _is_full(self, session: EdgeSession) -> bool:
        """Say whether this connection would be one too many, in all or of its user."""
        if len(self.sessions) >= self.settings.limits.connections:
            return True
        user = session.user
        return bool(user) and sum(other.user == user for other in self.sessions) >= MAX_OF_USER

    async def _handshake(self, sock: socket.socket, interop: bool) -> EdgeSession | None:
        hello = await _peek_hello(sock)
        found = find_tenant(self.tenants, hello.server_name or "") if isinstance(hello, Hello) else None
        if found is None:
            detail = hello.detail if isinstance(hello, NotTls) else f"no edge is called {hello.server_name}"
            log.warning("unknown_server_name", detail=detail)
            if isinstance(hello, Hello):
                with suppress(OSError):
                    sock.send(_UNRECOGNIZED_NAME)
            return None
        tenant, channel = found
        context = tenant.interop_context if interop else tenant.context
        session = EdgeSession(self, tenant, tenant.tunnel(channel, None), self.group, interop=interop)
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: session.mux, sock, ssl=context, ssl_handshake_timeout=self.settings.limits.handshake_s
        )
        return session

    async def _flows_over(self, seconds: float) -> None:
        """Return when no flow is left, or after `seconds`."""
        over = asyncio.Event()

        def look(_: FlowRecord) -> None:
            if not self.flows.live:
                over.set()

        unsubscribe = self.flows.subscribe(look)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if self.flows.live:
                    await over.wait()
        unsubscribe()

    def _refresh(self, tenant: TenantEdge, old: object, new: object) -> None:
        for session in list(self.sessions):
            if session.tenant is tenant:
                session.refresh(tenant.profiles.number)

    def _ends(self) -> Iterator[SocketEnd]:
        for session in self.sessions:
            for flow in session.flows:
                if flow.origin is not None:
                    yield flow.origin

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._own(self._group.create_task(work, name=name))

    def _own(self, task: asyncio.Task[None]) -> None:
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)


def _has_closed(sock: socket.socket) -> bool:
    """Say whether the other side has sent FIN or RST."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in _TCP_CLOSED


async def _peek_hello(sock: socket.socket) -> Hello | NotTls:
    """Return the ClientHello that waits in `sock`, left there for TLS to read again.

    An SNI callback would choose too late: a resumed session would already have passed another tenant's checks.
    """
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(sock, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sock)
    size = -1
    while True:
        try:
            data = sock.recv(_PEEK, socket.MSG_PEEK)
        except BlockingIOError:
            data = b""
        if len(data) == size or not data:
            await asyncio.sleep(_PEEK_AGAIN_S)  # the socket stays readable, so waiting for it would spin
            # Peeking sees no end behind data: without the second question half a hello would hold its place.
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 and (not data or _has_closed(sock)):
                return NotTls("closed before the ClientHello was complete")
        size = len(data)
        result = read_client_hello(data)
        if result is not None:
            return result


def _describe(error: Exception) -> str:
    return str(error) or type(error).__name__


def _discard(data: bytes) -> None:
    """Stand in for the file of an edge that keeps no records."""


def _refused(message: str) -> None:
    log.error("reload_refused", message=message)


def _changed(tenant: str) -> Callable[[str], None]:
    return lambda what: log.info("reloaded", tenant=tenant, what=what)


async def serve(settings: Settings, *, ready: Callable[[list[str]], None], stop: asyncio.Event) -> None:
    """Serve until `stop` is set; `ready` gets the addresses. Raises DocumentError before anything was started."""
    if settings.edge.prefer_aes_128:
        prefer_aes_128()
    file = LineFile(settings.edge.records) if settings.edge.records is not None else None
    try:
        async with asyncio.TaskGroup() as group:
            server = EdgeServer(settings, RecordWriter(file.write if file else _discard), group)
            ready(server.start())
            settle()
            await stop.wait()
            await server.stop()
    finally:
        if file is not None:
            file.close()


def run(config: Path) -> int:
    """Run `tunneld edge --config FILE` until SIGTERM or SIGINT and return the exit status."""
    journal.configure("edge")
    status = 0
    try:
        run_loop(_run(load_settings(config)))
    except* DocumentError as errors:
        sys.stderr.write(f"tunneld edge: {errors.exceptions[0]}\n")
        status = 2
    return status


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def announce(addresses: list[str]) -> None:
        line = {"ready": True, "address": addresses[0], "addresses": addresses, "pid": os.getpid()}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    await serve(settings, ready=announce, stop=stop)


