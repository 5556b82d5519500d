"""The lab's applications: real listeners on loopback that stand behind the edges, in a process of their own.

Web pages and the sink tag what they answer with the tenant's canary. The echoes give back exactly what they get,
except that a first message of `whoami` is answered with the canary.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from tunneld.lab.web_application import Site, WebConnection
from tunneld.model.errors import DocumentError

WHOAMI = b"whoami\n"
SLOW_DELAY_S = 2.0


class Listener(BaseModel):
    """One application of the settings document: who it is and where it listens."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    tenant: str | None
    canary: str
    kind: str
    host: str = "127.0.0.1"
    port: int
    certificate: str | None = None
    key: str | None = None


class Settings(BaseModel):
    """The settings document of `tunneld lab applications`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    listeners: list[Listener]


class Echo(asyncio.Protocol):
    """Send back what comes in, half-close included (RFC 862)."""

    def __init__(self, canary: str) -> None:
        self._canary = canary
        self._first = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to echo."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not derive from it

    def data_received(self, data: bytes) -> None:
        """Echo, or introduce ourselves when the first message asks."""
        if self._first and data == WHOAMI:
            data = f"{self._canary}\n".encode()
        self._first = False
        self._transport.write(data)

    def pause_writing(self) -> None:
        """Take no more than the peer reads back."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._transport.resume_reading()


class Sink(asyncio.Protocol):
    """Swallow everything; at end of input answer one JSON line: canary, byte count, SHA-256 (RFC 863, plus proof)."""

    def __init__(self, name: str, canary: str) -> None:
        self._name = name
        self._canary = canary
        self._digest = hashlib.sha256()
        self._received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where the receipt goes."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not derive from it

    def data_received(self, data: bytes) -> None:
        """Count."""
        self._received += len(data)
        self._digest.update(data)

    def eof_received(self) -> None:
        """Write the receipt; the transport closes once it is out."""
        receipt = {
            "canary": self._canary, "application": self._name,
            "bytes": self._received, "sha256": self._digest.hexdigest(),
        }
        self._transport.write(json.dumps(receipt).encode() + b"\n")


class DatagramEcho(asyncio.DatagramProtocol):
    """Send every datagram back to where it came from."""

    def __init__(self, canary: str) -> None:
        self._canary = canary

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to echo."""
        self._transport = cast(asyncio.DatagramTransport, transport)  # uvloop's do not derive from it

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Echo, or introduce ourselves."""
        self._transport.sendto(f"{self._canary}\n".encode() if data == WHOAMI else data, addr)


class StreamKind(NamedTuple):
    """How a kind of stream application is made, and whether it speaks TLS."""

    make: Callable[[Listener], asyncio.Protocol]
    tls: bool = False


def _web(listener: Listener, delay_s: float = 0.0) -> WebConnection:
    return WebConnection(Site(listener.name, listener.tenant, listener.canary, delay_s))


STREAM_KINDS: dict[str, StreamKind] = {
    "http": StreamKind(_web),
    "tls": StreamKind(_web, tls=True),
    "slow": StreamKind(lambda listener: _web(listener, SLOW_DELAY_S)),
    "echo": StreamKind(lambda listener: Echo(listener.canary)),
    "sink": StreamKind(lambda listener: Sink(listener.name, listener.canary)),
}


def load_settings(path: Path) -> Settings:
    """Read the settings document. Raises DocumentError with the place of the fault."""
    try:
        return Settings.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DocumentError(str(path), "", error.strerror or "cannot be read") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise DocumentError(str(path), ".".join(map(str, first["loc"])), first["msg"]) from None


async def serve(settings: Settings, ready: Callable[[], None], stop: asyncio.Event) -> None:
    """Open every listener, call `ready`, and answer until `stop` is set."""
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as listeners:
        for listener in settings.listeners:
            listeners.callback(await _open(loop, listener))
        ready()
        await stop.wait()


async def _open(loop: asyncio.AbstractEventLoop, listener: Listener) -> Callable[[], None]:
    if listener.kind == "refuse":
        # Bound and not listening: the kernel answers a SYN with a reset, and nobody else can take the port.
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((listener.host, listener.port))
        return held.close
    if listener.kind == "udp-echo":
        transport, _ = await loop.create_datagram_endpoint(
            lambda: DatagramEcho(listener.canary), local_addr=(listener.host, listener.port),
        )
        return transport.close
    kind = STREAM_KINDS[listener.kind]
    context = _tls(listener) if kind.tls else None
    server = await loop.create_server(
        lambda: kind.make(listener), listener.host, listener.port, ssl=context, backlog=1024,
    )
    return server.close


def _tls(listener: Listener) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert listener.certificate is not None
    context.load_cert_chain(listener.certificate, listener.key)
    return context
