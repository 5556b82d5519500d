"""Keeps the active tenant as it should be: its channels at the start, its profile while it runs.

A start is not a switch: there is no old tenant to fall back to, so what works is used at once and the rest is tried
again until it works. Meanwhile the last known profile classifies, so that `hardening` decides and nothing leaks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from tunneld.client.endless import keep_at
from tunneld.client.identity import Identity
from tunneld.client.live import LiveState, TenantSession
from tunneld.client.ports import Denied, Tunnel, TunnelFactory
from tunneld.client.switchboard import session_of, swapped
from tunneld.client.tenants import Profile, Profiles, Tenant
from tunneld.client.tunnels import build, edge_address
from tunneld.forwarding.compile import changed_rules
from tunneld.journal.flows import FlowRecord
from tunneld.model.errors import StreamError
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Channel
from tunneld.net.tasks import ContainedTasks

log = structlog.get_logger("tunneld.upkeep")

ATTEMPT_S = 10.0  # TCP, TLS and the session together; a healthy edge takes milliseconds
# After an edge spoke of a new profile. It and the provider read the file when each pleases, a second apart or more.
AGAIN_S = (0.25, 0.5, 1.0, 2.0, 4.0)
PATIENCE_S = 5.0  # how long a start waits for the channels before it says that it is ready

CutFlows = Callable[[Callable[[FlowRecord], bool], Reason], None]
"""Ends the live flows that the function picks, with a reason. The data plane provides it."""


class Upkeep:
    """Brings the chosen tenant up, and swaps its profile whole when it changes."""

    def __init__(
        self,
        live: LiveState,
        identity: Identity,
        profiles: Profiles,
        make_tunnel: TunnelFactory,
        *,
        all_channels: Callable[[Tenant], bool],
        cut: CutFlows,
        group: asyncio.TaskGroup,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._live = live
        self._identity = identity
        self._profiles = profiles
        self._make_tunnel = make_tunnel
        self._all_channels = all_channels
        self._cut = cut
        self._tasks = ContainedTasks(group)  # a defect in bringing up one tunnel must not end the daemon
        self._patience_s = patience_s
        self._wake = asyncio.Event()
        self._soon: list[float] = []

    async def activate(self, tenant: Tenant) -> None:
        """Make `tenant` the active one with whatever of it works, and keep trying for the rest.

        Returns when its channels are up, or after a moment of patience. Old tunnels are the caller's to retire.
        """
        profile = await self._first_profile(tenant)
        credentials = self._identity.credentials(tenant.id)
        epoch = self._live.next_epoch()
        channels: dict[Channel, Tunnel] = {}
        try:
            if profile is not None:
                for channel in profile.document.channels:
                    channels[channel] = build(
                        self._make_tunnel, tenant, channel, profile=profile, credentials=credentials, epoch=epoch
                    )
        except Denied as denied:
            log.error("channels_unusable", tenant=tenant.name, cause=denied.detail)
        credentials.keep_enrolled = bool(channels)
        self._live.current = session_of(tenant, epoch, profile, channels)
        ready = [self._start(tunnel, tenant) for tunnel in channels.values()]
        try:
            async with asyncio.timeout(self._patience_s):
                for event in ready:
                    await event.wait()
        except TimeoutError:
            log.warning("channels_not_up_yet", tenant=tenant.name)

    async def refresh(self) -> bool:
        """Ask for the profile again; swap it whole and return True if it changed. Raises Denied: the old one stays."""
        session = self._live.current
        if session.tenant is None or session.tenant_id is None:
            return False
        tenant = Tenant(session.tenant_id, session.tenant, session.organization or "", "", session.home)
        profile = await self._profiles.fetch(tenant, all_channels=self._all_channels(tenant))
        compiled = profile.compiled if profile else None
        if compiled is session.profile:
            return False
        channels, fresh = self._channels(session, tenant, profile)
        if self._live.current is not session:  # a switch went by while we asked: this answer is of no use any more
            for tunnel in fresh:
                await tunnel.close()
            return False
        changed = changed_rules(session.profile, compiled) if session.profile and compiled else None
        self._live.current = swapped(session, profile, channels)
        self._identity.credentials(tenant.id).keep_enrolled = bool(channels)
        self._identity.credentials(tenant.id).demands.settle(compiled.demands if compiled else {})
        self._cut(lambda r: r.epoch == session.epoch and _lost_its_rule(r, changed), Reason.RULE_REMOVED)
        log.info("profile_swapped", tenant=tenant.name, version=compiled.version if compiled else None)
        for tunnel in fresh:
            self._start(tunnel, tenant)
        for channel, tunnel in session.channels.items():
            if channels.get(channel) is not tunnel:
                await tunnel.retire(_nothing_is_kept)
                await tunnel.close()
        return True

    def poke(self) -> None:
        """Look for a new profile now: an edge says that there is one."""
        self._wake.set()

    async def run(self, interval: float) -> None:
        """Refresh every `interval` seconds, at once when poked, then a few times more until it changes."""
        await keep_at(lambda: self._look(interval), name="upkeep")

    async def _look(self, interval: float) -> None:
        try:
            async with asyncio.timeout(self._soon.pop(0) if self._soon else interval):
                await self._wake.wait()
            self._soon = list(AGAIN_S)
        except TimeoutError:
            pass  # the interval is over, which is the usual case
        self._wake.clear()
        try:
            if await self.refresh():
                self._soon.clear()
        except (Denied, StreamError) as error:
            log.warning("profile_not_refreshed", tenant=self._live.current.tenant, reason=error.reason.value)

    async def _first_profile(self, tenant: Tenant) -> Profile | None:
        all_channels = self._all_channels(tenant)
        try:
            return await self._profiles.fetch(tenant, all_channels=all_channels)
        except Denied as denied:
            log.warning("profile_not_fetched", tenant=tenant.name, reason=denied.reason.value, detail=denied.detail)
            return await self._profiles.last_known(tenant, all_channels=all_channels)

    def _channels(
        self, session: TenantSession, tenant: Tenant, profile: Profile | None
    ) -> tuple[Mapping[Channel, Tunnel], list[Tunnel]]:
        """Return the channels of the new profile, keeping each tunnel whose edge and audience stay, and the new."""
        old = session.profile.document.channels if session.profile else {}
        credentials = self._identity.credentials(tenant.id)
        channels: dict[Channel, Tunnel] = {}
        fresh: list[Tunnel] = []
        if profile is None:
            return channels, fresh
        for channel, settings in profile.document.channels.items():
            kept = session.channels.get(channel)
            if kept is not None and settings == old.get(channel):
                channels[channel] = kept
                continue
            tunnel = build(
                self._make_tunnel, tenant, channel, profile=profile, credentials=credentials, epoch=session.epoch
            )
            log.info("channel_changed", channel=channel.value, edge=edge_address(settings).sni)
            channels[channel] = tunnel
            fresh.append(tunnel)
        return channels, fresh

    def _start(self, tunnel: Tunnel, tenant: Tenant) -> asyncio.Event:
        ready = asyncio.Event()
        self._tasks.create_task(self._bring_up(tunnel, tenant, ready), name="bring-up")
        return ready

    async def _bring_up(self, tunnel: Tunnel, tenant: Tenant, ready: asyncio.Event) -> None:
        """Connect. What fails is in the tunnel's state, and it tries again by itself until it is closed."""
        try:
            await tunnel.start(ATTEMPT_S)
        except (Denied, StreamError) as error:
            log.warning("channel_not_up", tenant=tenant.name, edge=tunnel.edge.sni, reason=error.reason.value)
        finally:
            ready.set()


def _nothing_is_kept(_: FlowRecord) -> bool:
    return False


def _lost_its_rule(record: FlowRecord, changed: frozenset[str] | None) -> bool:
    """Tell whether the flow's rule is gone or says something else now. Flows without a rule keep going."""
    return record.rule_id is not None and (changed is None or record.rule_id in changed)
