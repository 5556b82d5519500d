"""A data plane without bytes: tunnels that do as they are told and write down what was asked of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from tunneld.client.ports import Credentials, Denied, EdgeAddress, RetireReport
from tunneld.inbound.request import FlowRequest
from tunneld.journal.flows import FlowRecord
from tunneld.model.errors import TunneldError
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Channel


class FakeTunnel:
    """Implements `client.ports.Tunnel`."""

    def __init__(
        self, plane: FakeDataPlane, tenant: str, channel: Channel, edge: EdgeAddress, epoch: int,
        *, audience: str, credentials: Credentials,
    ) -> None:
        self.plane = plane
        self.audience = audience
        self.credentials = credentials
        self.tenant = tenant
        self.channel = channel
        self.edge = edge
        self.epoch = epoch
        self.state = "connecting"
        self.since = 1_000_000.0
        self.reason: Reason | None = None
        self.calls: list[str] = []
        self.flows: list[FlowRecord] = []
        self.kept = 0

    async def start(self, timeout: float) -> None:  # noqa: ASYNC109
        await self._step("start")
        try:
            await self.credentials.channel_token(self.audience)
        except Denied as denied:
            self.state, self.reason = "unreachable", denied.reason
            raise
        self.credentials.tls_context()
        self.state = "connected"

    async def probe(self, timeout: float) -> None:  # noqa: ASYNC109
        await self._step("probe")

    def freeze(self, keep: Callable[[FlowRecord], bool]) -> None:
        self.calls.append("freeze")
        self.kept = sum(keep(record) for record in self.flows)

    async def retire(self, keep: Callable[[FlowRecord], bool]) -> RetireReport:
        await self._step("retire")
        return RetireReport(len(self.flows) - self.kept, 0, self.kept, self.plane.bytes_after)

    async def close(self) -> None:
        self.calls.append("close")
        self.state = "closed"

    async def _step(self, name: str) -> None:
        self.calls.append(name)
        await asyncio.sleep(0)
        if name in self.plane.gates:
            self.plane.arrived.set()
            await self.plane.gates[name].wait()
        error = self.plane.failures.get((self.tenant, name))
        if error is not None:
            self.state, self.reason = "unreachable", Reason.EDGE_UNREACHABLE
            raise error


@dataclass
class FakeDataPlane:
    """Implements `client.ports.DataPlane`; `failures` and `gates` say where tunnels fail or wait."""

    failures: dict[tuple[str, str], TunneldError] = field(default_factory=dict)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    made: list[FakeTunnel] = field(default_factory=list)
    cuts: list[tuple[Callable[[FlowRecord], bool], Reason]] = field(default_factory=list)
    bytes_after: int | None = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def reached(self, step: str) -> None:
        """Wait until a tunnel stands at the gate of `step`."""
        assert step in self.gates
        await self.arrived.wait()

    @property
    def opener(self) -> FakeDataPlane:
        return self

    def open(self, request: FlowRequest) -> None:
        request.refuse(Reason.NO_SESSION)

    def may_reuse(self, request: FlowRequest) -> bool:
        return False

    def make_tunnel(
        self, *, tenant: str, channel: Channel, edge: EdgeAddress, audience: str, credentials: Credentials, epoch: int
    ) -> FakeTunnel:
        tunnel = FakeTunnel(
            self, tenant, channel, edge, epoch, audience=audience, credentials=credentials
        )
        self.made.append(tunnel)
        return tunnel

    def cut(self, chosen: Callable[[FlowRecord], bool], reason: Reason) -> None:
        self.cuts.append((chosen, reason))

    def alive(self) -> list[FakeTunnel]:
        return [tunnel for tunnel in self.made if tunnel.state != "closed"]
