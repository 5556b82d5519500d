"""A daemon's control plane against the real identity provider, in one process; only the tunnels are fakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from tests.integration.idp.factors import code_now, seed_of
from tests.integration.idp.world import BASE, PASSWORD, Clock, PageForm, World, directory, prepare
from tests.support.fake_tunnels import FakeDataPlane
from tunneld.client.credentials import Ask, Interaction
from tunneld.client.daemon import Daemon
from tunneld.client.identity import Identity
from tunneld.client.live import LiveState
from tunneld.client.oidc import Provider
from tunneld.client.settings import parse_settings
from tunneld.client.vault import open_vault
from tunneld.journal.flows import FlowTable

SETTINGS = """
[daemon]
home_tenant = "contoso"
state = "state"
guest_access_enabled = {guest}
{extra}
[idp]
url = "https://idp.test"
[limits]
prepare_s = 3
interaction_s = 10
"""


class Stopped(Exception):  # noqa: N818
    """Ends a daemon's task group in order."""


class CountingTransport(httpx.ASGITransport):
    """Counts requests by path, and can play an identity provider that is down.

    Each request is a task of its own, as on a real server: a client that gives up does not cancel the server's work.
    """

    def __init__(self, app: Any, group: asyncio.TaskGroup, *, down: bool) -> None:
        super().__init__(app)
        self.group = group
        self.paths: list[str] = []
        self.working: set[asyncio.Task[httpx.Response]] = set()
        self.down = down

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.paths.append(request.url.path)
        if self.down:
            raise httpx.ConnectError("connection refused")
        task = self.group.create_task(super().handle_async_request(request))
        self.working.add(task)
        task.add_done_callback(self.working.discard)
        return await asyncio.shield(task)


@dataclass
class Running:
    """One run of a daemon."""

    daemon: Daemon
    plane: FakeDataPlane
    transport: CountingTransport
    group: asyncio.TaskGroup


@dataclass
class Machine:
    """A user's machine: its state directory outlives its daemons."""

    root: Path
    world: World
    clock: Clock
    asked: list[Interaction] = field(default_factory=list)
    people: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, *, guest: bool = True, extra: str = "", plane: FakeDataPlane | None = None,
                  down: bool = False) -> Running:
        text = SETTINGS.format(guest=str(guest).lower(), extra=extra)
        settings = parse_settings(text, where="daemon.toml", base=self.root)
        settings.daemon.state.mkdir(mode=0o700, exist_ok=True)
        group = await asyncio.TaskGroup().__aenter__()
        transport = CountingTransport(self.world.app, group, down=down)
        provider = Provider(BASE, transport=transport)
        vault = open_vault(settings.daemon.state, {})
        identity = Identity(provider, vault, home_tenant="contoso", now=self.clock)
        plane = plane or FakeDataPlane()
        daemon = Daemon(settings, LiveState(FlowTable()), identity, plane, group, now=self.clock)
        self.running = Running(daemon, plane, transport, group)
        await daemon.start()
        return self.running

    async def stop(self) -> None:
        """Stop in order, as the program does."""
        running = self.running
        await running.daemon.stop()
        if running.transport.working:
            await asyncio.wait(set(running.transport.working))
        await running.daemon.identity.provider.close()
        try:
            raise Stopped
        except Stopped as error:
            try:
                await running.group.__aexit__(Stopped, error, error.__traceback__)
            except* Stopped:
                pass

    def person(self, *, answers: bool = True, user: str = "alex@contoso.example") -> Ask:
        """Return an `ask` behind which somebody opens the page and answers it."""

        async def ask(interaction: Interaction) -> None:
            self.asked.append(interaction)
            if answers:
                task = self.running.group.create_task(browse(self.world, interaction.url, user))
                self.people.add(task)

        return ask

    async def login(self) -> dict[str, Any]:
        return await self.running.daemon.login(self.person(), device=False)


async def browse(world: World, url: str, user: str) -> None:
    """Open the page, sign in and accept whatever is asked, and follow the redirect to loopback for real."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url=BASE) as http:
        page = await http.get(url)
        for _ in range(8):
            if page.is_redirect:
                target = urljoin(str(page.url), page.headers["location"])
                if target.startswith("http://127.0.0.1"):
                    async with httpx.AsyncClient(trust_env=False) as loopback:
                        done = await loopback.get(target)
                    assert done.status_code == 200, done.text
                    return
                page = await http.get(target)
                continue
            form = PageForm(page.text)
            action = next(name for name in ("sign_in", "consent", "register") if name in form.buttons)
            fields = form.fields | {"action": action}
            if action == "sign_in":
                fields |= {"username": user, "password": PASSWORD}
            elif action == "register":
                fields |= {"code": code_now(world, seed_of(page))}
            page = await http.post(form.action, data=fields)
    raise AssertionError(f"no way to the callback: {page.status_code} {page.text[:500]}")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("idp")
    prepare(root)
    return root


@pytest.fixture
async def machine(prepared: Path, tmp_path: Path) -> AsyncIterator[Machine]:
    clock = Clock()
    (tmp_path / "idp").mkdir()
    world = World.copy(prepared, tmp_path / "idp", clock)
    world.write_directory(directory())
    await world.open()
    root = tmp_path / "machine"
    root.mkdir()
    made = Machine(root, world, clock)
    try:
        yield made
    finally:
        await made.stop()
        await world.close()
