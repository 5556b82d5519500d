"""Carries out what `session/switching.py` plans: prepare beside the old tenant, commit by one assignment, retire.

Until the commit nothing of the old tenant is touched, so undoing is closing what was built. After it nothing is
undone: the new tenant is active whatever happens to the remains of the old one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import structlog

from tunneld.client.credentials import Ask, Interaction
from tunneld.client.identity import Identity
from tunneld.client.live import LiveState, TenantSession
from tunneld.client.ports import Denied, RetireReport, Tunnel, TunnelFactory
from tunneld.client.tenants import Discovery, Profile, Profiles, Tenant
from tunneld.client.tunnels import build, classifier_of
from tunneld.journal.flows import FlowRecord
from tunneld.model.errors import StreamError
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Channel
from tunneld.session.switching import (
    OPENING,
    FlowCounts,
    Mode,
    Receipt,
    Standing,
    Step,
    StepKind,
    on_switch_of,
    plan,
    total_bytes_after,
)

log = structlog.get_logger("tunneld.switch")

PROBE_S = 3.0  # as long as the tunnel itself waits for an answer to a PING before it calls the edge dead

UNDO_S = 2.0

Canary = Callable[[TenantSession], Awaitable[None]]
"""Proves the prepared tenant further, for example by a request to one of its applications. Raises StreamError."""


@dataclass(slots=True)
class Preparation:
    """What has been made for the target so far. Closing its tunnels undoes all of it."""

    tenant: Tenant
    epoch: int
    profile: Profile | None = None
    channels: dict[Channel, Tunnel] = field(default_factory=dict)

    def session(self) -> TenantSession:
        return session_of(self.tenant, self.epoch, self.profile, self.channels)


def session_of(
    tenant: Tenant, epoch: int, profile: Profile | None, channels: Mapping[Channel, Tunnel]
) -> TenantSession:
    """Return the snapshot that the data plane will read."""
    return TenantSession(
        tenant=tenant.name,
        tenant_id=tenant.id,
        epoch=epoch,
        classifier=classifier_of(profile),
        profile=profile.compiled if profile else None,
        channels=MappingProxyType(dict(channels)),
        organization=tenant.display_name,
        home=tenant.home,
        policies=profile.policies if profile else MappingProxyType({}),
    )


class Switchboard:
    """The one place that changes which tenant is active. One switch at a time."""

    def __init__(
        self,
        live: LiveState,
        identity: Identity,
        discovery: Discovery,
        profiles: Profiles,
        make_tunnel: TunnelFactory,
        *,
        remember: Callable[[Tenant], Awaitable[None]],
        all_channels: Callable[[Tenant], bool],
        mode: Mode = Mode.EXCLUSIVE,
        prepare_s: float = 20.0,
        interaction_s: float = 600.0,
        canary: Canary | None = None,
    ) -> None:
        self._live = live
        self._identity = identity
        self._discovery = discovery
        self._profiles = profiles
        self._make_tunnel = make_tunnel
        self._remember = remember
        self._all_channels = all_channels
        self._mode = mode
        self._prepare_s = prepare_s
        self._interaction_s = interaction_s
        self._canary = canary
        self.busy = False
        """Whether the active tenant is being changed; whoever else wants to change it is refused meanwhile."""
        self.committed = False
        """Whether the switch that is going on can no longer be undone."""
        self._lingering: set[Tunnel] = set()

    async def switch(self, word: str, ask: Ask | None = None) -> Receipt:
        """Make the tenant called `word` the active one, or change nothing and say why. Never raises a denial.

        Cancelled before the commit it undoes what it did; `committed` says whether that is still possible.
        """
        if self.busy:
            return self._refused(word, Reason.SWITCH_IN_PROGRESS, "", None)
        self.busy, self.committed = True, False
        started = time.perf_counter()
        try:
            tenant = await self._discovery.find(word)
            if tenant.id == self._live.current.tenant_id and self._healthy():
                current = self._live.current
                return Receipt(current.tenant, tenant.name, current.epoch, None, "already active", 0.0, 0.0, 0.0,
                               old_epoch_bytes_after_commit=0)
            prepared = await self._prepare(tenant, ask)
            return await self._commit_and_retire(prepared, _ms_since(started))
        except (Denied, StreamError) as error:
            log.warning("switch_failed", to=word, reason=error.reason.value, detail=error.detail)
            return self._refused(word, error.reason, error.detail, _ms_since(started))
        finally:
            self.busy = False

    async def close(self) -> None:
        """Close what earlier switches left behind for kept and draining flows."""
        for tunnel in tuple(self._lingering):
            await tunnel.close()
        self._lingering.clear()

    def freeze(self, old: TenantSession) -> None:
        """Stop every flow of the old session that is not to be kept, at once: after this none of its bytes moves."""
        keep = _keep(old)
        for tunnel in old.channels.values():
            tunnel.freeze(keep)

    async def retire(self, old: TenantSession) -> tuple[FlowCounts, int | None]:
        """End the old session's tunnels, each flow by its rule's `on_switch`; return our and the edges' counts."""
        keep = _keep(old)
        reports: list[RetireReport] = []

        async def retire_one(tunnel: Tunnel) -> None:
            report = await tunnel.retire(keep)
            reports.append(report)
            if report.kept or report.drained:
                self._lingering.add(tunnel)
            else:
                await tunnel.close()

        self._lingering = {tunnel for tunnel in self._lingering if tunnel.state != "closed"}
        async with asyncio.TaskGroup() as group:  # together: a silent edge may cost a second each
            for tunnel in old.channels.values():
                group.create_task(retire_one(tunnel), name="retire")
        counts = FlowCounts(
            sum(r.terminated for r in reports), sum(r.drained for r in reports), sum(r.kept for r in reports)
        )
        return counts, total_bytes_after(r.bytes_after for r in reports)

    async def _prepare(self, tenant: Tenant, ask: Ask | None) -> Preparation:
        """Build everything the target needs, or undo it and raise Denied or StreamError."""
        prepared = Preparation(tenant, self._live.next_epoch())
        try:
            async with asyncio.timeout(self._prepare_s) as deadline:
                for step in OPENING:
                    await self._take(step, prepared, self._patiently(ask, deadline))
                    self._hurry(deadline)
                current = self._live.current
                steps = plan(_standing(current), self._target(prepared), mode=self._mode)
                for step in steps[: steps.index(Step(StepKind.ASSIGN))]:
                    await self._take(step, prepared, None)
                if self._canary is not None:
                    await self._canary(prepared.session())
        except TimeoutError:
            await _undo(prepared)
            raise StreamError(Reason.PREPARE_TIMEOUT, f"{self._prepare_s:g} s") from None
        except BaseException:
            await _undo(prepared)
            raise
        return prepared

    async def _take(self, step: Step, prepared: Preparation, ask: Ask | None) -> None:
        tenant = prepared.tenant
        credentials = self._identity.credentials(tenant.id)
        if step.kind is StepKind.SIGN_IN:
            await credentials.sign_in(ask, seconds=self._interaction_s, fresh=True)
        elif step.kind is StepKind.FETCH_PROFILE:
            prepared.profile = await self._profiles.fetch(tenant, all_channels=self._all_channels(tenant))
        elif step.kind is StepKind.ENROL:
            await credentials.enrol()
        elif step.kind is StepKind.BUILD and step.channel and prepared.profile:
            tunnel = build(
                self._make_tunnel, tenant, step.channel,
                profile=prepared.profile, credentials=credentials, epoch=prepared.epoch,
            )  # fmt: skip
            prepared.channels[step.channel] = tunnel
            await tunnel.start(self._prepare_s)
        elif step.kind is StepKind.PROBE and step.channel:
            try:
                await prepared.channels[step.channel].probe(PROBE_S)
            except (StreamError, TimeoutError) as error:
                raise StreamError(Reason.PROBE_FAILED, str(error) or f"no answer in {PROBE_S:g} s") from None

    async def _commit_and_retire(self, prepared: Preparation, prepare_ms: float) -> Receipt:
        session = prepared.session()
        started = time.perf_counter()
        old = self._live.current
        self._live.current = session  # the commit: the next flow belongs to the new tenant
        self.freeze(old)  # in the same turn of the loop, so that no byte of the old epoch slips in between
        self.committed = True
        commit_ms = _ms_since(started)
        self._identity.credentials(prepared.tenant.id).keep_enrolled = bool(session.channels)
        if old.tenant_id is not None and old.tenant_id != session.tenant_id:
            self._identity.credentials(old.tenant_id).keep_enrolled = False
        started = time.perf_counter()
        flows, bytes_after = await self.retire(old)
        retire_ms = _ms_since(started)
        await self._remember(prepared.tenant)
        receipt = Receipt(
            old.tenant, prepared.tenant.name, session.epoch, None,
            prepare_ms=prepare_ms, commit_ms=commit_ms, retire_ms=retire_ms,
            flows=flows, old_epoch_bytes_after_commit=bytes_after,
        )  # fmt: skip
        log.info("switched", **receipt.to_json())
        return receipt

    def _patiently(self, ask: Ask | None, deadline: asyncio.Timeout) -> Ask | None:
        """Return an `ask` that stops the clock of the preparation: a person is not measured in seconds."""
        if ask is None:
            return None

        async def asked(interaction: Interaction) -> None:
            loop = asyncio.get_running_loop()
            deadline.reschedule(loop.time() + self._interaction_s + self._prepare_s)
            await ask(interaction)

        return asked

    def _hurry(self, deadline: asyncio.Timeout) -> None:
        """Let the clock go on when the person has answered."""
        latest = asyncio.get_running_loop().time() + self._prepare_s
        when = deadline.when()
        if when is not None and when > latest:
            deadline.reschedule(latest)

    def _target(self, prepared: Preparation) -> Standing:
        named = prepared.profile.document.channels if prepared.profile else {}
        return Standing(prepared.tenant.id, frozenset(named))

    def _healthy(self) -> bool:
        return all(tunnel.state == "connected" for tunnel in self._live.current.channels.values())

    def _refused(self, word: str, reason: Reason, detail: str, prepare_ms: float | None) -> Receipt:
        current = self._live.current
        return Receipt(current.tenant, word, current.epoch, reason, detail, prepare_ms)


def swapped(session: TenantSession, profile: Profile | None, channels: Mapping[Channel, Tunnel]) -> TenantSession:
    """Return `session` under another profile: the same tenant, the same epoch."""
    return replace(
        session,
        classifier=classifier_of(profile),
        profile=profile.compiled if profile else None,
        channels=MappingProxyType(dict(channels)),
        policies=profile.policies if profile else MappingProxyType({}),
    )


def _keep(old: TenantSession) -> Callable[[FlowRecord], bool]:
    return lambda record: on_switch_of(record.rule_id, old.policies).kind != "terminate"


def _standing(session: TenantSession) -> Standing | None:
    return None if session.tenant_id is None else Standing(session.tenant_id, frozenset(session.channels))


async def _undo(prepared: Preparation) -> None:
    async with asyncio.timeout(UNDO_S):  # it runs while a cancellation is on its way, which must not wait long
        for tunnel in prepared.channels.values():
            await tunnel.close()


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000.0
