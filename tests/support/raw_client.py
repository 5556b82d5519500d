"""A tunnel client that does as a test says, and writes down what it is told: our mux without the daemon's manners."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from tests.support.roads import until
from tunneld.model.reasons import Reason
from tunneld.net.mux import Mux
from tunneld.wire.h2.connection import Limits
from tunneld.wire.h2.header_block import Field, encode
from tunneld.wire.h2.stream import Stream
from tunneld.wire.proxy_status import decode_proxy_status

SESSION = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"edge"), (b":path", b"/tunnel/v1/session")]


def connect_to(authority: bytes, *more: Field) -> list[Field]:
    """Return the fields of a CONNECT."""
    return [(b":method", b"CONNECT"), (b":authority", authority), *more]


class Exchange:
    """One stream's story."""

    def __init__(self, client: RawClient, stream: Stream) -> None:
        self._client = client
        self.stream = stream
        self.status: int | None = None
        self.fields: dict[bytes, bytes] = {}
        self.received = bytearray()
        self.ended = False
        self.reset_by: Reason | None = None

    @property
    def over(self) -> bool:
        return self.ended or self.reset_by is not None

    @property
    def reason(self) -> str | None:
        """The reason that the answer gives for a refusal."""
        return decode_proxy_status(self.fields.get(b"proxy-status", b"").decode())[1]

    def send(self, data: bytes, *, end: bool = False) -> None:
        """Send a little; more than a window is the test's mistake."""
        mux = self._client.mux
        if data:
            assert mux.codec.sendable(self.stream) >= len(data)
            frame = bytearray(9) + data
            mux.flush()
            mux.codec.pack_data(frame, 0, self.stream, len(data))
            mux.transport.write(bytes(frame))
        if end:
            mux.codec.end_stream(self.stream)
            mux.flush()

    def on_response(self, status: int, fields: list[Field], ended: bool) -> None:
        self.status, self.fields, self.ended = status, dict(fields), ended

    def on_data(self, data: memoryview) -> None:
        self.received += data
        self._client.mux.codec.consume(self.stream, len(data))

    def on_stream_end(self) -> None:
        self.ended = True

    def on_reset(self, reason: Reason) -> None:
        self.reset_by = reason

    def retry(self) -> None: ...


class RawClient:
    """One connection."""

    def __init__(self) -> None:
        self.mux = Mux(self, client=True, loop=asyncio.get_running_loop(), limits=Limits(streams=0))
        self.settings_seen = False
        self.goaways: list[tuple[int, int | None]] = []
        self.lost: Reason | None = None

    def request(self, fields: list[Field], *, end: bool = False) -> Exchange:
        """Open a stream."""
        stream = self.mux.codec.open_stream(encode(fields), end_stream=end)
        exchange = stream.owner = Exchange(self, stream)
        self.mux.flush()
        return exchange

    async def session(self, token: str) -> Exchange:
        """Open the session and return when it is ready."""
        exchange = self.request([*SESSION, (b"authorization", b"Bearer " + token.encode())])
        await until(lambda: b'"ready"' in exchange.received or exchange.over)
        return exchange

    def on_connected(self, transport: Any) -> None: ...

    def on_settings(self) -> None:
        self.settings_seen = True

    def on_request(self, stream: Stream, fields: list[Field], ended: bool) -> None: ...

    def on_goaway(self, code: int, debug: bytes) -> None:
        self.goaways.append((code, self.mux.codec.peer_goaway))

    def on_lost(self, reason: Reason, detail: str) -> None:
        self.lost = reason


@asynccontextmanager
async def raw_client(address: str, context: ssl.SSLContext, sni: str) -> AsyncIterator[RawClient]:
    """Connect, give the client when HTTP/2 is up, and abort the connection at the end."""
    client = RawClient()
    host, _, port = address.rpartition(":")
    await asyncio.get_running_loop().create_connection(
        lambda: client.mux, host, int(port), ssl=context, server_hostname=sni
    )
    try:
        await until(lambda: client.settings_seen or client.lost)
        yield client
    finally:
        client.mux.transport.abort()
        await until(lambda: client.lost)


class BlackHole:
    """A relay in threads that can stop carrying bytes without closing anything."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.address = "{}:{}".format(*self._listener.getsockname())
        self.open = threading.Event()
        self.open.set()
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            far = socket.create_connection(self._target)
            self._sockets += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self.open.wait()
                target.sendall(data)
        for sock in (source, target):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close everything."""
        self.open.set()
        for sock in (self._listener, *self._sockets):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
