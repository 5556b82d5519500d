"""The loopback address that a browser is sent back to after a sign-in (RFC 8252 §7.3)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, urlsplit

import h11

PATH = "/callback"
MAX_CONNECTIONS = 16  # a browser opens a handful; anything more is not a browser
REQUEST_TIMEOUT_S = 10.0

_DONE = b"<!doctype html><title>tunneld</title><p>Done. You can close this window and go back to tunneld.</p>"
_SORRY = b"<!doctype html><title>tunneld</title><p>This answer belongs to no sign-in that is going on here.</p>"


class Redirect:
    """One expected answer. `state` must come back with it, so that nobody else's answer is taken for it."""

    def __init__(self, state: str) -> None:
        self.state = state
        self.uri = ""
        self._answer: asyncio.Future[Mapping[str, str]] = asyncio.get_running_loop().create_future()

    async def answer(self) -> Mapping[str, str]:
        """Wait for the browser and return the query that it brought."""
        return await self._answer

    def offer(self, method: str, target: str) -> tuple[int, bytes]:
        """Judge one request: take the expected answer, and let nothing else end the wait."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if method != "GET" or parts.path != PATH:
            return 404, _SORRY
        if not secrets.compare_digest(query.get("state", "").encode(), self.state.encode()):
            return 400, _SORRY
        if not self._answer.done():
            self._answer.set_result(query)
        return 200, _DONE


@asynccontextmanager
async def listen_for_redirect(state: str) -> AsyncIterator[Redirect]:
    """Listen on a free loopback port while the block lasts; its `uri` is what the provider redirects to."""
    redirect = Redirect(state)
    connections: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as group:

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if len(connections) >= MAX_CONNECTIONS:
                writer.transport.abort()
                return
            task = group.create_task(_serve(reader, writer, redirect), name="redirect")
            connections.add(task)
            task.add_done_callback(connections.discard)

        # The address, not the name `localhost`, which may resolve to another interface (RFC 8252 §8.3).
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        redirect.uri = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{PATH}"
        try:
            yield redirect
            await _last_words(connections)
        finally:
            server.close()
            for task in connections:
                task.cancel()


async def _last_words(connections: set[asyncio.Task[None]]) -> None:
    """Let the page that says "done" reach the browser."""
    if connections:
        await asyncio.wait(set(connections), timeout=1.0)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, redirect: Redirect) -> None:
    connection = h11.Connection(h11.SERVER)
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            request = await _request(connection, reader)
            if request is None:
                return
            status, page = redirect.offer(request.method.decode("ascii"), request.target.decode("ascii", "replace"))
            headers = [("content-type", "text/html"), ("content-length", str(len(page))), ("connection", "close")]
            response = h11.Response(status_code=status, headers=headers)
            for event in (response, h11.Data(data=page), h11.EndOfMessage()):
                writer.write(connection.send(event) or b"")
            await writer.drain()
    except (OSError, TimeoutError, h11.ProtocolError):
        return  # a browser that goes away, or something that is not one: the wait goes on
    finally:
        writer.close()


async def _request(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(4096))
        elif isinstance(event, h11.Request):
            return event
        else:
            return None
