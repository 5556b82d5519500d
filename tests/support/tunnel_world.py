"""An edge, a daemon's data plane and two applications in one process: what the tests of the tunnel play with."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.certificates import Authority, Pair
from tests.support.edge_settings import settings
from tests.support.roads import Application, no_surprises, tcp_pair, until
from tests.support.tokens import AUDIENCE, BASE, CHANNEL, ISSUER, TENANT, USER, claims, key_set, sign
from tunneld.client.demands import Demands
from tunneld.client.flow import ClientFlow
from tunneld.client.live import LiveState, TenantSession
from tunneld.client.ports import Denied, EdgeAddress
from tunneld.client.router import Router
from tunneld.client.tunnel import ChannelTunnel
from tunneld.edge.server import EdgeServer
from tunneld.forwarding.classifier import Classifier
from tunneld.forwarding.compile import compile_profile
from tunneld.forwarding.document import load_profile
from tunneld.inbound.request import FlowRequest, OnEnd
from tunneld.journal.flows import CorrelationIds, FlowTable
from tunneld.journal.records import RecordWriter
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Channel
from tunneld.net.attach import attach
from tunneld.net.relay import FlowEnd, OriginEnd, SocketEnd
from tunneld.net.tls import client_context
from tunneld.net.vigil import keep_vigil
from tunneld.wire.x509 import read_client_identity

NAME = f"{TENANT}.private.edge.test"
OTHER_APPLICATION = "aaaaaaaa-0000-4000-8000-000000000002"

SETTINGS = f"""
[edge]
listen = "127.0.0.1:0"
interop = "127.0.0.1:0"
domain = "edge.test"

[[tenant]]
name = "contoso"
id = "{TENANT}"
issuer = "{ISSUER}"
jwks_url = "{BASE}/keys"
trust = "ours-ca.pem"
client_ca = "ours-ca.pem"
certificate = "ours-edge.pem"
key = "ours-edge.key"
profiles = ["profile.json"]

[tenant.channels]
private = "{CHANNEL}"

[connector.map]
"files.example:80" = "ORIGIN"
"keep.example:80" = "ORIGIN"
"drain.example:80" = "ORIGIN"
"bypass.example:80" = "ORIGIN"
"other.example:80" = "ORIGIN"
"closed.example:80" = "CLOSED"

[limits]
grace_s = 0
LIMITS
"""


def rule(name: str, application: str = AUDIENCE, **more: Any) -> dict[str, Any]:
    """Return a rule for `name`.example."""
    return {"id": name, "channel": "private", "application": application, "destinations": [f"{name}.example"], **more}


def profile(*rules: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the profile of the tests: five destinations, two applications."""
    document = {
        "schema": 1, "id": "everybody", "tenant": "contoso", "version": 1,
        "assignments": {"users": [USER]},
        "channels": {"private": {"edge": f"{NAME}:443", "audience": CHANNEL}},
        "applications": [{"id": AUDIENCE, "name": "Files"}, {"id": OTHER_APPLICATION, "name": "Other"}],
        "rules": list(rules) or [
            rule("files"), rule("closed"), rule("other", OTHER_APPLICATION), rule("keep", on_switch="keep"),
            rule("drain", on_switch="drain:1"), rule("bypass", hardening="bypass"),
        ],
    }  # fmt: skip
    return {**document, **changes}


class Origin:
    """A listener whose connections a test accepts by hand."""

    def __init__(self) -> None:
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(256)
        self.listener.setblocking(False)
        self.address = "{}:{}".format(*self.listener.getsockname())
        self.accepted: list[Application] = []

    async def accept(self) -> Application:
        taken: list[Application] = []

        def attempt() -> bool:
            try:
                taken.append(Application(self.listener.accept()[0]))
            except BlockingIOError:
                return False
            return True

        await until(attempt)
        self.accepted += taken
        return taken[0]

    def close(self) -> None:
        self.listener.close()
        for application in self.accepted:
            application.sock.close()


class FakeCredentials:
    """Mints what a good identity provider would issue; `changed` spoils the claims for one audience."""

    def __init__(self, authority: Authority, pair: Pair) -> None:
        self.authority = authority
        self.pair = pair
        first = pair.certificate.read_text().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
        self.jkt = read_client_identity(ssl.PEM_cert_to_DER_cert(first)).jkt
        self.changed: dict[str, dict[str, Any]] = {}
        self.denied: dict[str, Reason] = {}
        self.gate: asyncio.Event | None = None
        self.restriction: str | None = None
        self.asked: list[str] = []
        self.challenges: list[str] = []
        self.demands = Demands(time.monotonic)
        self.stepped_up: dict[str, Any] = {"acrs": ["c1"]}

    def token(self, audience: str, **changes: Any) -> str:
        now = int(time.time())
        usual = {"aud": audience, "iat": now - 60, "nbf": now - 60, "exp": now + 3600, "cnf": {"jkt": self.jkt}}
        return sign(claims(**{**usual, **self.changed.get(audience, {}), **changes}))

    async def _token(self, audience: str) -> str:
        self.asked.append(audience)
        if self.gate is not None:
            await self.gate.wait()
        if audience in self.denied:
            raise Denied(self.denied[audience], "as the test wants")
        return self.token(audience)

    async def channel_token(self, audience: str) -> str:
        return await self._token(audience)

    async def app_token(self, application: str) -> str:
        return await self._token(application)

    async def answer_challenge(self, application: str, refused: str, challenge: str) -> str:
        self.challenges.append(challenge)
        self.demands.challenged(application, challenge)
        self.changed.setdefault(application, {}).update(self.stepped_up)
        return await self._token(application)

    def tls_context(self) -> ssl.SSLContext:
        return client_context(ca=self.authority.path, certificate=self.pair.certificate, key=self.pair.key)


class Request(FlowRequest):
    """What an inbound would hand over, with the application's socket beside it."""

    __slots__ = ("accepted", "application", "far", "near", "refused")

    def __init__(self, host: str, port: int, application: Application, near: SocketEnd) -> None:
        super().__init__(host, port, "test", ("127.0.0.1", 5))
        self.application = application
        self.near = near
        self.far: Any = None
        self.refused: Reason | None = None
        self.accepted = False

    def accept(self, far: Any, on_end: OnEnd | None = None, bound: tuple[str, int] | None = None) -> FlowEnd | None:
        assert not self.accepted, "accepted twice"
        assert self.refused is None, "accepted after a refusal"
        self.accepted = True
        self.far, far.peer = far, self.near
        self.near.peer = far
        self.near.on_end = on_end
        self.near.resume_reading()
        return self.near

    def refuse(self, reason: Reason, detail: str = "") -> None:
        assert not self.accepted, "refused after it was accepted"
        assert self.refused is None, "refused twice"
        self.refused = reason
        self.near.reset(reason)

    @property
    def flow(self) -> ClientFlow:
        assert isinstance(self.tag, ClientFlow)
        return self.tag


class World:
    """Everything of one test."""

    def __init__(self, directory: Path, group: asyncio.TaskGroup, *, limits: str = "") -> None:
        self.directory = directory
        self.group = group
        self.loop = asyncio.get_running_loop()
        self.origin = Origin()
        self.authority = Authority(directory, "ours")
        self.authority.server(NAME)
        self.credentials = FakeCredentials(self.authority, self.authority.client())
        self.write_profile(profile())
        with socket.create_server(("127.0.0.1", 0)) as unused:
            closed = "{}:{}".format(*unused.getsockname())
        text = SETTINGS.replace("ORIGIN", self.origin.address).replace("CLOSED", closed).replace("LIMITS", limits)
        self.lines: list[dict[str, Any]] = []
        self.server = EdgeServer(settings(text, base=directory), RecordWriter(self._record), group)
        self.tenant = self.server.tenants[0]
        self.tenant.keys.fetch_with(self._fetch)
        self.address, self.interop = self.server.start()
        self.live = LiveState(FlowTable())
        self.router = Router(
            self.live, group=group, resolve=self._resolve, ids=CorrelationIds(b"tunneld!"),
            hosts={"bypass.example": ("127.0.0.1", int(self.origin.address.rpartition(":")[2]))},
        )
        self.events: list[dict[str, Any]] = []
        self.tunnels: list[ChannelTunnel] = []
        self.requests: list[Request] = []
        self._vigil = group.create_task(keep_vigil(self._ends, half_close_s=60))
        self.use(profile())

    async def _fetch(self) -> bytes:
        return key_set()

    async def _resolve(self, name: str) -> list[str]:
        raise OSError(f"no public resolver must hear of {name}")

    def _record(self, data: bytes) -> None:
        self.lines += [json.loads(line) for line in data.splitlines()]

    def _ends(self) -> list[SocketEnd]:
        return [request.near for request in self.requests if request.near.transport is not None]

    def write_profile(self, document: dict[str, Any]) -> None:
        """Replace the profile that the edge reads."""
        fresh = self.directory / "profile.new"
        fresh.write_text(json.dumps(document))
        fresh.replace(self.directory / "profile.json")

    def use(self, document: dict[str, Any]) -> None:
        """Have the daemon classify by `document`."""
        self.compiled = compile_profile(load_profile(json.dumps(document).encode(), where="test.json"))

    # The daemon

    def tunnel(self, *, address: str | None = None, credentials: Any = None, sni: str = NAME) -> ChannelTunnel:
        """Make the private channel's tunnel, and the tenant's session around it. Not started."""
        host, _, port = (address or self.address).rpartition(":")
        tunnel = ChannelTunnel(
            tenant="contoso", channel=Channel.PRIVATE, edge=EdgeAddress(host, int(port), sni), audience=CHANNEL,
            credentials=credentials or self.credentials, epoch=self.live.next_epoch(), group=self.group,
            on_event=lambda tunnel, message: self.events.append(message),
        )
        self.tunnels.append(tunnel)
        self.live.current = TenantSession(
            "contoso", TENANT, tunnel.epoch, Classifier(self.compiled), self.compiled, {Channel.PRIVATE: tunnel}
        )
        return tunnel

    async def started(self) -> ChannelTunnel:
        """Return a tunnel that is ready."""
        tunnel = self.tunnel()
        await tunnel.start(5)
        return tunnel

    async def request(self, host: str = "files.example", port: int = 80) -> Request:
        """Ask for a flow; the answer may come later."""
        application, ours = tcp_pair()
        ready: asyncio.Future[OriginEnd] = self.loop.create_future()
        attach(self.loop, ours, OriginEnd(ready.set_result, lost_reason=Reason.CLIENT_RESET), self.group)
        near = await ready
        near.pause_reading()
        request = Request(host, port, Application(application), near)
        self.requests.append(request)
        self.router.open(request)
        return request

    async def open(self, host: str = "files.example") -> tuple[Request, Application]:
        """Open a flow; return its request and the origin's side."""
        request = await self.request(host)
        await until(lambda: request.accepted or request.refused)
        assert request.refused is None, request.refused
        return request, await self.origin.accept()

    async def refusal(self, host: str = "files.example") -> Reason:
        """Ask for a flow and return why it was refused."""
        request = await self.request(host)
        await until(lambda: request.accepted or request.refused)
        assert request.refused is not None, "it was accepted"
        return request.refused

    # Rest

    def quiet(self) -> bool:
        """Say whether nothing of any flow is left on either side."""
        edge = self.server
        idle = not edge.flows.live and not self.live.flows.live and edge.caps.open == 0
        clients = [link for tunnel in self.tunnels for link in tunnel._links]
        streams = [len(session.mux.codec.streams) <= 1 and not session.flows for session in edge.sessions]
        streams += [len(link.mux.codec.streams) <= 1 and not link.flows for link in clients]
        codecs = [session.mux.codec for session in edge.sessions] + [link.mux.codec for link in clients]
        return idle and all(streams) and all(codec.owed == 0 for codec in codecs) and not edge.caps._of_user

    async def close(self) -> None:
        for tunnel in self.tunnels:
            await tunnel.close()
        await self.server.stop()
        self._vigil.cancel()
        self.origin.close()
        for request in self.requests:
            request.application.sock.close()
            request.near.reset(Reason.SHUTDOWN)


@asynccontextmanager
async def tunnel_world(
    directory: Path, *, limits: str = "", prepare: Callable[[World], None] | None = None
) -> AsyncIterator[World]:
    """Give a world whose edge serves."""
    with no_surprises():
        async with asyncio.TaskGroup() as group:
            made = World(directory, group, limits=limits)
            if prepare is not None:
                prepare(made)
            try:
                yield made
            finally:
                await made.close()
