"""The lab's web application: one HTTP/1.1 server that says whose it is, counts what it gets and can be slow."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from typing import NamedTuple, cast
from urllib.parse import parse_qsl, urlsplit

import h11

CHUNK = bytes(range(256)) * 256  # 64 KiB of a known pattern, sent again and again
MAX_BODY = 1 << 34  # 16 GiB: the largest answer of /bytes/N, far above any test and below an accident


class Site(NamedTuple):
    """Who answers: the names that go into every answer, and how long a plain page takes."""

    application: str
    tenant: str | None
    canary: str
    delay_s: float = 0.0


class WebConnection(asyncio.Protocol):
    """Serve requests on one connection: `/` tells who answers, `/bytes/N` sends N bytes, `/drip?seconds=N` trickles.

    Every answer carries the canary, in the JSON and in the `x-canary` header.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._parser = h11.Connection(h11.SERVER)
        self._digest = hashlib.sha256()
        self._received = 0
        self._request: h11.Request | None = None
        self._to_send = 0
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer and who asks."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not derive from it
        # A client that was gone before it was accepted has no address any more (getpeername says ENOTCONN).
        peer = transport.get_extra_info("peername")
        self._peer = f"{peer[0]}:{peer[1]}" if peer else "unknown"

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request and answer as soon as it is whole."""
        self._parser.receive_data(data)
        self._advance()

    def eof_received(self) -> bool:
        """Keep our half open until the answer is out (RFC 9112 §9.6)."""
        self._parser.receive_data(b"")
        self._advance()
        return self._request is not None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Stop a slow answer that nobody waits for."""
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        """Stop producing while the peer reads slower than we write."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on producing."""
        self._paused = False
        self._produce()

    def _advance(self) -> None:
        try:
            while True:
                event = self._parser.next_event()
                if isinstance(event, h11.Request):
                    self._request, self._received, self._digest = event, 0, hashlib.sha256()
                    if self._parser.they_are_waiting_for_100_continue:  # curl asks before a large upload
                        self._send(h11.InformationalResponse(status_code=100, headers=[]))
                elif isinstance(event, h11.Data):
                    self._received += len(event.data)
                    self._digest.update(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    self._answer()
                elif isinstance(event, h11.ConnectionClosed):
                    if self._request is None:  # else an answer is on its way, and `_finish` closes after it
                        self._transport.close()
                    return
                else:  # NEED_DATA or PAUSED
                    return
        except h11.RemoteProtocolError:
            self._transport.close()

    def _answer(self) -> None:
        assert self._request is not None
        target = urlsplit(self._request.target.decode("latin-1"))
        query = dict(parse_qsl(target.query))
        if target.path.startswith("/bytes/"):
            self._head(length=min(_number(target.path[len("/bytes/"):]), MAX_BODY))
            self._produce()
        elif target.path == "/drip":
            self._head(length=None)
            self._drip(_number(query.get("seconds", "5")))
        elif self._site.delay_s:
            self._later(self._site.delay_s, self._introduce)
        else:
            self._introduce()

    def _introduce(self) -> None:
        assert self._request is not None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self._request.headers}
        body = json.dumps({
            "canary": self._site.canary,
            "tenant": self._site.tenant,
            "application": self._site.application,
            "client": self._peer,
            "method": self._request.method.decode("ascii"),
            "target": self._request.target.decode("latin-1"),
            "host": headers.get("host"),
            "traceparent": headers.get("traceparent"),
            "body_bytes": self._received,
            "body_sha256": self._digest.hexdigest(),
        }).encode() + b"\n"
        self._head(length=len(body), kind="application/json")
        self._send(h11.Data(data=body))
        self._finish()

    def _drip(self, seconds: int) -> None:
        if not seconds:
            self._finish()
            return
        self._send(h11.Data(data=f"{self._site.canary} {seconds}\n".encode()))
        self._later(1.0, self._drip, seconds - 1)

    def _produce(self) -> None:
        while self._to_send and not self._paused:
            piece = CHUNK[: self._to_send]
            self._to_send -= len(piece)
            self._send(h11.Data(data=piece))
            if not self._to_send:
                self._finish()

    def _head(self, *, length: int | None, kind: str = "application/octet-stream") -> None:
        headers = [("content-type", kind), ("x-canary", self._site.canary), ("x-client", self._peer)]
        headers.append(("transfer-encoding", "chunked") if length is None else ("content-length", str(length)))
        self._send(h11.Response(status_code=200, reason="OK", headers=headers))
        self._to_send = length if length is not None and kind == "application/octet-stream" else 0
        if length == 0:
            self._finish()

    def _send(self, event: h11.Event) -> None:
        if isinstance(event, h11.Data) and self._request is not None and self._request.method == b"HEAD":
            return  # RFC 9110 §9.3.2: the headers of the answer, and no content
        data = self._parser.send(event)
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def _finish(self) -> None:
        self._send(h11.EndOfMessage())
        self._request = None
        if self._parser.our_state is h11.MUST_CLOSE:
            self._transport.close()
        else:
            self._parser.start_next_cycle()
            self._advance()  # a pipelined request may be waiting in the parser

    def _later(self, delay: float, callback: Callable[..., None], *args: int) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay, callback, *args)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else 0
