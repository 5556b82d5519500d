"""The data plane as the daemon starts it: one router, and a tunnel for whoever asks for one."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Any

from tunneld.client.flow import ClientFlow
from tunneld.client.live import LiveState
from tunneld.client.ports import Credentials, EdgeAddress
from tunneld.client.router import MappedHost, Router
from tunneld.client.settings import Settings
from tunneld.client.tunnel import ChannelTunnel
from tunneld.inbound.request import Opener
from tunneld.journal.flows import CorrelationIds, FlowRecord
from tunneld.model.address import parse_authority, parse_ip
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Channel
from tunneld.net.relay import SocketEnd
from tunneld.net.resolve import Resolve
from tunneld.net.tasks import ContainedTasks
from tunneld.net.vigil import keep_vigil
from tunneld.policy.destinations import Endpoint

HALF_CLOSE_S = 60.0  # Envoy's stream idle timeout is 5 minutes, Xray's after a FIN 1 s; ssh and nc -N need some


class TunnelledDataPlane:
    """Implements `ports.DataPlane` with the router and the tunnels."""

    def __init__(
        self, live: LiveState, settings: Settings, *, resolve: Resolve, group: asyncio.TaskGroup
    ) -> None:
        self._live = live
        self._group = ContainedTasks(group)
        self.on_profile_changed: Callable[[], None] = lambda: None
        """Called when an edge says that there is a new profile."""
        self.private_suffixes: Callable[[], Collection[str]] = frozenset
        """Suffixes below which no name is asked of a public resolver."""
        self.router = Router(
            live,
            group=self._group,
            resolve=private_names_stay(lambda: self.private_suffixes(), resolve),
            ids=CorrelationIds(secrets.token_bytes(8)),
            hosts={name: _mapped(target) for name, target in settings.hosts.items()},
            allowed=frozenset(map(_endpoint, settings.allow.destinations)),
            max_flows=settings.limits.flows,
        )
        group.create_task(keep_vigil(self._ends, half_close_s=HALF_CLOSE_S), name="vigil")

    @property
    def opener(self) -> Opener:
        return self.router

    def make_tunnel(
        self,
        *,
        tenant: str,
        channel: Channel,
        edge: EdgeAddress,
        audience: str,
        credentials: Credentials,
        epoch: int,
    ) -> ChannelTunnel:
        """Return a tunnel that is not started."""
        return ChannelTunnel(
            tenant=tenant,
            channel=channel,
            edge=edge,
            audience=audience,
            credentials=credentials,
            epoch=epoch,
            group=self._group,
            on_event=self._heard,
        )

    def cut(self, chosen: Callable[[FlowRecord], bool], reason: Reason) -> None:
        """End the live flows that `chosen` picks; their applications see a reset."""
        for record in list(self._live.flows.live.values()):
            # An open flow meters its own record, which is how one comes from the record back to the flow.
            if isinstance(record.meter, ClientFlow) and chosen(record):
                record.meter.terminate(reason)

    def _ends(self) -> list[SocketEnd]:
        meters = [record.meter for record in self._live.flows.live.values()]
        return [meter.near for meter in meters if isinstance(meter, ClientFlow) and isinstance(meter.near, SocketEnd)]

    def _heard(self, _: ChannelTunnel, message: dict[str, Any]) -> None:
        if message.get("type") == "profile-changed":
            self.on_profile_changed()


def private_names_stay(suffixes: Callable[[], Collection[str]], resolve: Resolve) -> Resolve:
    """Return `resolve` that knows no name below a private suffix of any tenant: they are nobody else's business.

    A name that reaches the resolver matched no rule of the active tenant, so asking a public server would only tell
    it what exists inside.
    """

    async def guarded(host: str) -> Sequence[str]:
        private = suffixes()
        labels = host.split(".")
        if any(".".join(labels[start:]) in private for start in range(len(labels))):
            return []
        return await resolve(host)

    return guarded


def _mapped(target: str) -> MappedHost:
    if parse_ip(target) is not None:
        return target, None
    return parse_authority(target)


def _endpoint(text: str) -> Endpoint:
    return parse_authority(text)
