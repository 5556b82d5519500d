"""The daemon put together: journal, identity, tunnels, inbound listener, control socket, and down again in reverse."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from tunneld.client.credentials import Ask
from tunneld.client.explain import (
    Surroundings,
    explain_flow,
    explanation,
    parse_destination,
    right_now,
    verdict_of,
)
from tunneld.client.identity import Identity
from tunneld.client.live import LiveState, nobody
from tunneld.client.oidc import Provider
from tunneld.client.ports import DataPlane, Denied
from tunneld.client.settings import Settings
from tunneld.client.status import application_named, health, status, tenants
from tunneld.client.switchboard import Canary, Switchboard
from tunneld.client.tenants import Discovery, Profiles, Tenant
from tunneld.client.upkeep import Upkeep
from tunneld.client.vault import Vault
from tunneld.forwarding.compile import CompiledProfile
from tunneld.journal.files import write_atomic
from tunneld.journal.flows import FlowTable
from tunneld.model.address import parse_authority
from tunneld.model.reasons import Reason

log = structlog.get_logger("tunneld.daemon")


class Ready(NamedTuple):
    """What whoever started the daemon wants to know, once it can be used."""

    proxy: str
    control: Path


class Selection:
    """The tenant that was chosen last, on disk, so that a restart comes back to it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Tenant | None:
        """Return it, or None where nothing readable was left."""
        try:
            return Tenant(**json.loads(self._path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    async def save(self, tenant: Tenant) -> None:
        content = json.dumps(tenant.to_json()).encode()
        await asyncio.to_thread(write_atomic, self._path, content, mode=0o600)

    def erase(self) -> None:
        self._path.unlink(missing_ok=True)


class Daemon:
    """The control plane of one running daemon. Implements `control.ControlSurface`."""

    def __init__(
        self,
        settings: Settings,
        live: LiveState,
        identity: Identity,
        data_plane: DataPlane,
        group: asyncio.TaskGroup,
        *,
        now: Callable[[], float] = time.time,
        canary: Canary | None = None,
    ) -> None:
        self.settings = settings
        self.live = live
        self.identity = identity
        self._group = group
        self._now = now
        section, limits = settings.daemon, settings.limits
        self.selection = Selection(section.state / "selection.json")
        self.discovery = Discovery(
            identity, home_name=section.home_tenant, guest_access=section.guest_access_enabled, now=now
        )
        self.profiles = Profiles(identity, section.state / "profiles", now=now)
        self.upkeep = Upkeep(
            live, identity, self.profiles, data_plane.make_tunnel,
            all_channels=self._all_channels, cut=data_plane.cut, group=group,
        )  # fmt: skip
        self.switchboard = Switchboard(
            live, identity, self.discovery, self.profiles, data_plane.make_tunnel,
            remember=self.selection.save, all_channels=self._all_channels, mode=section.mode,
            prepare_s=limits.prepare_s, interaction_s=limits.interaction_s, canary=canary,
        )  # fmt: skip

    @property
    def flows(self) -> FlowTable:
        return self.live.flows

    async def start(self) -> None:
        """Take up where the last run ended: the account, the tenant that was chosen, its channels."""
        refresh = self.settings.refresh
        self._group.create_task(self.identity.run(), name="identity")
        self._group.create_task(self.discovery.run(refresh.discovery_s), name="discovery")
        self._group.create_task(self.upkeep.run(refresh.profile_s), name="upkeep")
        if self.identity.restore():
            await self.upkeep.activate(await self._first_tenant())
        else:
            log.info("nobody_signed_in", mend="run `tunneld login`")

    async def stop(self) -> None:
        """Let go of the tunnels and write what must not be lost."""
        await self.switchboard.retire(self.live.current)
        await self.switchboard.close()
        await self.identity.save()

    def status(self) -> dict[str, Any]:
        return status(self.live, self.identity, self.discovery, self.profiles)

    def tenants(self) -> dict[str, Any]:
        return tenants(self.live, self.discovery, self._now())

    def health(self) -> dict[str, Any]:
        return health(self.live, self.identity, self._now())

    async def login(self, ask: Ask, *, device: bool) -> dict[str, Any]:
        self._claim()
        try:
            before = self.identity.account
            account = await self.identity.login(ask, device=device, seconds=self.settings.limits.interaction_s)
            if before is not None and before != account:
                self.discovery.forget()
                self.selection.erase()
            if before != account or self.live.current.tenant_id is None:
                await self._leave()
                await self.upkeep.activate(await self._first_tenant())
            self.discovery.poke()
            return {"type": "result", "signed_in": True, "reason": None, **asdict(account),
                    "tenant": self.live.current.tenant}
        finally:
            self.switchboard.busy = False

    async def step_up(self, word: str, ask: Ask) -> dict[str, Any]:
        session = self.live.current
        self.identity.require_account()
        application = application_named(session.profile, word)
        if application is None or session.tenant_id is None:
            detail = f"{word!r} is no application of the active tenant's profile"
            raise Denied(Reason.APPLICATION_NOT_ASSIGNED, detail)
        account = await self.identity.step_up(
            session.tenant_id, application.id, application.authentication_context, ask,
            seconds=self.settings.limits.interaction_s,
        )  # fmt: skip
        return {"type": "result", "signed_in": True, "reason": None, **asdict(account), "tenant": session.tenant,
                "application": application.name}

    async def logout(self) -> dict[str, Any]:
        self._claim()
        try:
            account = self.identity.account
            await self._leave()
            await self.identity.logout()
            self.discovery.forget()
            self.profiles.forget()
            self.selection.erase()
            return {"signed_in": False, "username": account.username if account else None}
        finally:
            self.switchboard.busy = False

    async def switch(self, tenant: str, ask: Ask) -> dict[str, Any]:
        receipt = await self.switchboard.switch(tenant, ask)
        return {"type": "receipt", **receipt.to_json()}

    async def explain(
        self, *, destination: str | None, protocol: str | None, tenant: str | None, flow: str | None
    ) -> dict[str, Any]:
        session = self.live.current
        verdict = None
        if flow is not None:
            record = self.flows.find(flow)
            if record is None:
                raise Denied(Reason.FLOW_UNKNOWN, f"{flow!r} is not an id that `tunneld flows` lists")
            answer = explain_flow(record, session.profile if record.epoch == session.epoch else None)
        else:
            asked = parse_destination(destination or "", protocol)
            profile, name, epoch = await self._profile_of(tenant)
            answer = explanation(profile, asked) | {"tenant": name, "epoch": epoch}
            verdict = verdict_of(profile, asked)
        live = answer["epoch"] == session.epoch
        tunnel = next((t for c, t in session.channels.items() if c.value == answer["channel"]), None)
        answer["channel_state"] = tunnel.state if live and tunnel is not None else None
        answer["token_state"] = self._token_state(answer) if live else None
        around = Surroundings(
            self.settings.hosts.keys(), frozenset(map(parse_authority, self.settings.allow.destinations)),
            self.profiles.private_suffixes(), answer["channel_state"], tunnel.reason if live and tunnel else None,
            answer["token_state"],
        )  # fmt: skip
        answer["now"] = None if verdict is None else right_now(verdict, asked, around)  # a flow had its own moment
        answer["name_source"] = "request"  # the name came with the question or the flow; nothing was resolved for it
        return answer

    def begin(self, job: Awaitable[None], name: str) -> asyncio.Task[None]:
        async def work() -> None:
            await job

        return self._group.create_task(work(), name=name)

    def abandon(self, task: asyncio.Task[None]) -> None:
        # After the commit the rest must happen: the old tenant's flows are still to be ended and counted.
        if task.get_name() != "switch" or not self.switchboard.committed:
            task.cancel()

    def _claim(self) -> None:
        if self.switchboard.busy:
            raise Denied(Reason.SWITCH_IN_PROGRESS, "try again when it is done")
        self.switchboard.busy, self.switchboard.committed = True, False

    async def _leave(self) -> None:
        """Leave the active tenant for none: new flows go direct, its tunnels go."""
        old = self.live.current
        if old.tenant_id is None:
            return
        self.live.current = nobody(self.live.next_epoch())
        self.switchboard.freeze(old)
        await self.switchboard.retire(old)
        await self.switchboard.close()

    async def _first_tenant(self) -> Tenant:
        """Return the machine's own tenant, else the one that was chosen last, else home."""
        bound = self.settings.daemon.bound_tenant
        if bound is not None:
            return await self._bound_tenant(bound)
        chosen = self.selection.load()
        if chosen is not None and (chosen.home or self.discovery.guest_access):
            return chosen
        if chosen is not None:
            log.warning("selection_ignored", tenant=chosen.name, reason=Reason.GUEST_ACCESS_DISABLED.value)
        return self.discovery.home()

    async def _bound_tenant(self, name: str) -> Tenant:
        """Return the machine's own tenant: as the provider knows it, else as it was at the last start, else home."""
        account, last = self.identity.require_account(), self.selection.load()
        try:
            metadata = await self.identity.provider.metadata(name)
        except Denied as denied:
            log.error("bound_tenant_not_found", tenant=name, reason=denied.reason.value)
            return last if last is not None and last.name == name else self.discovery.home()
        tenant = Tenant(metadata.tenant_id, name, name, "Guest", home=metadata.tenant_id == account.tenant_id)
        await self.selection.save(tenant)
        return tenant

    def _all_channels(self, tenant: Tenant) -> bool:
        bound = self.settings.daemon.bound_tenant
        return tenant.home or (bound is not None and bound.lower() in (tenant.name.lower(), tenant.id))

    async def _profile_of(self, tenant: str | None) -> tuple[CompiledProfile | None, str | None, int | None]:
        """Return the profile, name and epoch of the active tenant, or of another one without switching to it."""
        session = self.live.current
        if tenant is None:
            return session.profile, session.tenant, session.epoch
        other = await self.discovery.find(tenant)
        if other.id == session.tenant_id:
            return session.profile, session.tenant, session.epoch
        await self.identity.credentials(other.id).sign_in(None, seconds=0)
        profile = await self.profiles.fetch(other, all_channels=self._all_channels(other))
        return profile.compiled if profile else None, other.name, None

    def _token_state(self, answer: dict[str, Any]) -> str | None:
        rule, tenant_id = answer["rule"], self.live.current.tenant_id
        if rule is None or rule["application"] is None or tenant_id is None:
            return None
        return self.identity.credentials(tenant_id).token_state(rule["application"])


def stop_on_signals(stop: asyncio.Event) -> None:
    """Have SIGTERM and SIGINT ask for an orderly end."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


def make_identity(settings: Settings, provider: Provider, vault: Vault) -> Identity:
    """Return the identity that these settings ask for."""
    return Identity(
        provider, vault, home_tenant=settings.daemon.home_tenant, now=time.time, pins=settings.trust.ca
    )


def proxy_address(sock: socket.socket) -> str:
    """Return what to write into a proxy setting."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
