"""A scripted flow, broken at each of its events in turn: whatever broke it, nothing of it is left anywhere.

An event is a read, an end or a write that drained, on any of the four connections of the script (two applications'
sockets at each side, the tunnel at both). The break happens in the middle of that event's callback or right after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.roads import Application, until
from tests.support.tunnel_world import Request, World, tunnel_world
from tunneld.client import tunnel as tunnel_module
from tunneld.model.reasons import Reason
from tunneld.net import vigil
from tunneld.net.mux import Mux
from tunneld.net.relay import OriginEnd, SocketEnd

SIZE = 400_000  # more than a window and the kernel's buffers, so that pauses are among the events
CALLBACKS = [(Mux, "buffer_updated"), (Mux, "resume_writing"), (SocketEnd, "buffer_updated"),
             (SocketEnd, "eof_received"), (SocketEnd, "resume_writing"), (OriginEnd, "connection_made")]  # fmt: skip

Break = Callable[[World, Request, Application], Any]


def by_the_application(world: World, request: Request, origin: Application | None) -> None:
    request.application.reset()
    if request.flow.near is None and request.on_abandoned is not None:
        request.on_abandoned()  # as an inbound does that waits for an answer


def by_the_origin(world: World, request: Request, origin: Application | None) -> None:
    for application in world.origin.accepted:
        application.reset()
    world.origin.listener.close()


def by_the_daemon_s_link(world: World, request: Request, origin: Application | None) -> None:
    for link in world.tunnels[0]._links:
        link.mux.fail(Reason.PING_TIMEOUT)


def by_the_edge_s_link(world: World, request: Request, origin: Application | None) -> None:
    for session in world.server.sessions:
        session.mux.fail(Reason.EDGE_LOST)


def by_the_edge_s_end(world: World, request: Request, origin: Application | None) -> None:
    for session in list(world.server.sessions):
        session.finish()


def by_the_daemon(world: World, request: Request, origin: Application | None) -> None:
    request.flow.terminate(Reason.RULE_REMOVED)


def by_a_switch(world: World, request: Request, origin: Application | None) -> None:
    tunnel = world.tunnels[0]
    tunnel.freeze(lambda record: False)
    world.group.create_task(tunnel.retire(lambda record: False))


def by_a_reload(world: World, request: Request, origin: Application | None) -> None:
    for session in list(world.server.sessions):
        for flow in list(session.flows):
            flow.terminate(Reason.RULE_REMOVED)


def by_closing_the_tunnel(world: World, request: Request, origin: Application | None) -> None:
    world.group.create_task(world.tunnels[0].close())


BREAKS: list[Break] = [
    by_the_application, by_the_origin, by_the_daemon_s_link, by_the_edge_s_link, by_the_edge_s_end, by_the_daemon,
    by_a_switch, by_a_reload, by_closing_the_tunnel,
]  # fmt: skip


class Events:
    """Counts events of all connections and does something at one of them."""

    def __init__(self) -> None:
        self.count = 0
        self.at = -1
        self.inside = False
        self.act: Callable[[], object] = lambda: None

    def wrap(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        original = getattr(owner, name)

        def counted(end: Any, *arguments: Any) -> Any:
            self.count += 1
            mine = self.count == self.at
            if mine and self.inside:
                asyncio.get_running_loop().call_soon(self.act)
            result = original(end, *arguments)
            if mine and not self.inside:
                self.act()
            return result

        monkeypatch.setattr(owner, name, counted)


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Events:
    counter = Events()
    for owner, name in CALLBACKS:
        counter.wrap(monkeypatch, owner, name)
    monkeypatch.setattr(vigil, "SWEEP_S", 0.05)
    monkeypatch.setattr(tunnel_module, "TICK_S", 0.05)
    return counter


async def script(world: World, events: Events, number: int, break_it: Break) -> bool:
    """Play one flow with a break at event `number`; say whether the script came to its end before."""
    request: Request | None = None

    def act() -> None:
        if request is not None:
            break_it(world, request, None)

    events.count, events.at, events.act = 0, number, act
    request = await world.request()
    payload = bytes(range(256)) * (SIZE // 256)

    async def upload() -> None:
        await request.application.send(payload)
        request.application.finish()

    async def serve() -> None:
        origin = await world.origin.accept()
        await asyncio.sleep(0.01)
        received = await origin.receive_all()
        assert received == payload, "a clean end with bytes missing"
        await origin.send(b"done")
        origin.finish()

    async def watch() -> None:
        answer = await request.application.receive_all()
        assert answer == b"done", "a clean end without the answer"

    tasks = [world.group.create_task(_expecting_breaks(part())) for part in (upload, serve, watch)]
    done = False
    for _ in range(4000):
        if all(task.done() for task in tasks):
            done = True
            break
        if request.flow.over and events.count >= number:
            break
        await asyncio.sleep(0.001)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
    return done and events.count < number


async def _expecting_breaks(part: Any) -> None:
    with suppress(OSError):
        await part


@pytest.mark.parametrize("break_it", BREAKS, ids=lambda each: each.__name__)
async def test_nothing_is_left(break_it: Break, events: Events, tmp_path: Path) -> None:
    """Records closed, caps and tables at zero, no stream in any codec; tasks and sockets are counted at the end."""
    number = 0
    finished = False
    while not finished:
        number += 1 if number < 12 else 3
        events.inside = number % 2 == 0
        async with tunnel_world(tmp_path) as world:
            events.at = -1
            await world.started()
            finished = await script(world, events, number, break_it)
            events.at = -1
            for request in world.requests:
                request.application.sock.close()
            for application in world.origin.accepted:
                application.sock.close()
            await until(world.quiet)
            assert world.live.flows.opened_total == 1
            assert all(end.flow.over for end in world.requests)
            assert world.server.group.defects == 0
    assert number > 12
