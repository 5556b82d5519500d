"""The control socket: HTTP over a Unix socket, for the commands of this machine's user.

Questions are answered with JSON, long work with JSON lines. File permissions are the only gate: whoever may open the
socket may do what the user may do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Protocol

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tunneld.client.credentials import Ask, Interaction
from tunneld.client.ports import Denied
from tunneld.client.processes import name_processes
from tunneld.journal.flows import FlowRecord, FlowTable
from tunneld.model.errors import PeerProtocolError
from tunneld.model.reasons import Reason

log = structlog.get_logger("tunneld.control")

LINES = "application/x-ndjson"
FLOW_STATES = ("active", "closed", "terminated", "refused")
MAX_LIMIT = 1_000_000
MAX_BODY = 64 * 1024  # the largest honest body is a tenant's name
FOLLOWER_QUEUE = 10_000  # lines a slow reader may lag behind before the oldest are dropped; about 5 MB
LOOK_S = 0.5  # how late a quiet follower may notice that the daemon stops

Job = Callable[[Ask], Awaitable[dict[str, Any]]]


class ControlSurface(Protocol):
    """What the control socket needs of the daemon."""

    @property
    def flows(self) -> FlowTable: ...

    def status(self) -> dict[str, Any]: ...

    def tenants(self) -> dict[str, Any]: ...

    def health(self) -> dict[str, Any]: ...

    async def explain(
        self, *, destination: str | None, protocol: str | None, tenant: str | None, flow: str | None
    ) -> dict[str, Any]:
        """Raises Denied or PeerProtocolError."""

    async def login(self, ask: Ask, *, device: bool) -> dict[str, Any]:
        """Raises Denied."""

    async def step_up(self, word: str, ask: Ask) -> dict[str, Any]:
        """Sign in more strongly for the application of that name or id. Raises Denied."""

    async def logout(self) -> dict[str, Any]:
        """Raises Denied."""

    async def switch(self, tenant: str, ask: Ask) -> dict[str, Any]: ...

    def begin(self, job: Awaitable[None], name: str) -> asyncio.Task[None]:
        """Start work that may outlive the connection which asked for it; the daemon owns the task."""

    def abandon(self, task: asyncio.Task[None]) -> None:
        """Nobody waits for that work any more: undo it if that is still possible."""


class ControlServer(uvicorn.Server):
    """uvicorn without its signal handling: signals belong to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_control(surface: ControlSurface, sock: socket.socket, stop: asyncio.Event) -> None:
    """Answer commands on the listening `sock` until `stop` is set."""
    config = uvicorn.Config(
        control_app(surface, stop),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = ControlServer(config)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(sockets=[sock]), name="control")
        await stop.wait()
        server.should_exit = True
        await serving


def control_app(surface: ControlSurface, stop: asyncio.Event) -> Starlette:
    """Return the application behind the socket."""
    asked = _Endpoints(surface, stop)
    routes = [
        Route("/v1/status", asked.status),
        Route("/v1/tenants", asked.tenants),
        Route("/v1/health", asked.health),
        Route("/v1/flows", asked.flows),
        Route("/v1/explain", asked.explain),
        Route("/v1/login", asked.login, methods=["POST"]),
        Route("/v1/logout", asked.logout, methods=["POST"]),
        Route("/v1/switch", asked.switch, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={404: _no_such_path, 405: _wrong_method, Exception: _defect})


class _Endpoints:
    """One method a path."""

    def __init__(self, surface: ControlSurface, stop: asyncio.Event) -> None:
        self._surface = surface
        self._stop = stop

    async def status(self, _: Request) -> Response:
        return JSONResponse(self._surface.status())

    async def tenants(self, _: Request) -> Response:
        return JSONResponse(self._surface.tenants())

    async def health(self, _: Request) -> Response:
        return JSONResponse(self._surface.health())

    async def flows(self, request: Request) -> Response:
        query = request.query_params
        state = query.get("state")
        if state is not None and state not in FLOW_STATES:
            return refusal(Reason.MALFORMED_REQUEST, f"state is one of {', '.join(FLOW_STATES)}", 400)
        limit = query.get("limit")
        if limit is not None and not _is_limit(limit):
            return refusal(Reason.MALFORMED_REQUEST, f"limit is not a number up to {MAX_LIMIT}", 400)
        count = None if limit is None else int(limit)
        if query.get("follow", "") in ("1", "true"):
            return StreamingResponse(follow(self._surface.flows, state, count, self._stop), media_type=LINES)
        chosen = self._surface.flows.newest(state=state, limit=count)
        await asyncio.to_thread(name_processes, chosen)
        return Response("".join(map(_line, (record.to_json() for record in chosen))), media_type=LINES)

    async def explain(self, request: Request) -> Response:
        asked = {name: request.query_params.get(name) for name in ("destination", "protocol", "tenant", "flow")}
        if (asked["destination"] is None) == (asked["flow"] is None):
            return refusal(Reason.MALFORMED_REQUEST, "ask for a destination or for a flow", 400)
        try:
            return JSONResponse(await self._surface.explain(**asked))
        except PeerProtocolError as error:
            return refusal(error.reason, error.detail, 400)
        except Denied as denied:
            return refusal(denied.reason, denied.detail, 404)

    async def login(self, request: Request) -> Response:
        body = await _body(request)
        if body is None or not isinstance(body.get("device", False), bool):
            return refusal(Reason.MALFORMED_REQUEST, 'the body is {"device": true or false}', 400)
        device, application = body.get("device", False), body.get("application")
        if application is not None:
            if not isinstance(application, str) or not application or device:
                return refusal(Reason.MALFORMED_REQUEST, 'the body is {"application": a name or an id}', 400)
            return lines(self._surface, lambda ask: self._surface.step_up(application, ask), "login")
        return lines(self._surface, lambda ask: self._surface.login(ask, device=device), "login")

    async def logout(self, _: Request) -> Response:
        try:
            return JSONResponse(await self._surface.logout())
        except Denied as denied:
            return refusal(denied.reason, denied.detail, 409)

    async def switch(self, request: Request) -> Response:
        body = await _body(request)
        if body is None or not isinstance(body.get("tenant"), str) or not body["tenant"]:
            return refusal(Reason.MALFORMED_REQUEST, 'the body is {"tenant": a name or an id}', 400)
        return lines(self._surface, lambda ask: self._surface.switch(body["tenant"], ask), "switch")


def lines(surface: ControlSurface, work: Job, name: str) -> StreamingResponse:
    """Run `work`, and send its interactions and then its result as they come."""
    queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(16)

    async def ask(interaction: Interaction) -> None:
        await queue.put({"type": "interaction", "url": interaction.url, "user_code": interaction.user_code})

    async def job() -> None:
        try:
            result = await work(ask)
        except Denied as denied:
            result = {"type": "result", "committed": False, "reason": denied.reason.value, "detail": denied.detail}
        except Exception:  # the boundary of one command: a defect in it must not stop the daemon
            log.exception("internal_error", command=name)
            result = {"type": "result", "committed": False, "reason": Reason.INTERNAL_ERROR.value, "detail": None}
        await queue.put(result)
        await queue.put(None)

    async def stream() -> AsyncIterator[str]:
        task = surface.begin(job(), name)
        try:
            while (line := await queue.get()) is not None:
                yield _line(line)
        finally:
            surface.abandon(task)

    return StreamingResponse(stream(), media_type=LINES)


async def follow(table: FlowTable, state: str | None, limit: int | None, stop: asyncio.Event) -> AsyncIterator[str]:
    """Yield what there is, then a line whenever a flow opens or ends, until the daemon stops."""
    waiting: asyncio.Queue[str] = asyncio.Queue(FOLLOWER_QUEUE)
    dropped = 0

    def watch(record: FlowRecord) -> None:
        nonlocal dropped
        if state is not None and record.state != state:
            return
        if waiting.full():  # a reader that stopped reading must not hold the flows' memory
            waiting.get_nowait()
            dropped += 1
        waiting.put_nowait(_line(record.to_json()))

    unsubscribe = table.subscribe(watch)
    try:
        for record in table.newest(state=state, limit=limit):
            yield _line(record.to_json())
        while not stop.is_set():
            try:
                async with asyncio.timeout(LOOK_S):
                    line = await waiting.get()
            except TimeoutError:
                continue
            yield line
            if dropped:
                log.warning("follower_too_slow", dropped=dropped)
                dropped = 0
    finally:
        unsubscribe()


def refusal(reason: Reason, message: str, status: int) -> JSONResponse:
    """Return the error form that every endpoint shares."""
    return JSONResponse({"error": {"reason": reason.value, "message": message or reason.sentence}}, status)


async def _body(request: Request) -> dict[str, Any] | None:
    """Return the JSON object that the request carries, an empty one for none, None for anything else."""
    received = bytearray()
    try:
        async for chunk in request.stream():
            received += chunk
            if len(received) > MAX_BODY:
                return None
    except ClientDisconnect:  # nobody will read the answer
        return None
    try:
        body = json.loads(received) if received else {}
    except (ValueError, RecursionError):  # not JSON, or nested until the parser's stack ends
        return None
    return body if isinstance(body, dict) else None


def _is_limit(text: str) -> bool:
    # The length first: `int` refuses numbers of more than 4,300 digits with an exception.
    return text.isascii() and text.isdigit() and len(text) <= len(str(MAX_LIMIT)) and int(text) <= MAX_LIMIT


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":")) + "\n"


async def _no_such_path(_: Request, __: Exception) -> Response:
    return refusal(Reason.MALFORMED_REQUEST, "no such path", 404)


async def _wrong_method(_: Request, __: Exception) -> Response:
    return refusal(Reason.MALFORMED_REQUEST, "wrong method", 405)


async def _defect(_: Request, __: Exception) -> Response:
    return refusal(Reason.INTERNAL_ERROR, "", 500)
