"""One channel's tunnel: a small pool of connections to the edge, kept alive, grown when full, retired at a switch."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from tunneld.client.flow import ClientFlow
from tunneld.client.link import EdgeLink
from tunneld.client.ports import Credentials, Denied, EdgeAddress, RetireReport
from tunneld.journal.flows import FlowRecord
from tunneld.model.errors import StreamError
from tunneld.model.reasons import Kind, Reason
from tunneld.model.verdict import Channel
from tunneld.net.tasks import TaskOwner
from tunneld.session.backoff import Backoff
from tunneld.session.lifecycle import ChannelEvent, ChannelState, next_state

log = structlog.get_logger("tunneld.tunnel")

TICK_S = 1.0
MAX_LINKS = 16  # 16,000 flows: more than the usual limit of 20,000 file descriptors lets a daemon have
GROW_AT = 800  # open the next connection before the last one's 1,000 streams are taken
RESETS_PER_TURN = 64  # resets between two looks at the loop, so that a switch never stalls other flows for long
# While flows ask for an edge that is down, the long delays of the back-off are cut to this: an edge that came back is
# noticed within about a second of somebody wanting it, and a crowd of daemons still does not march in step.
DEMAND_LOW_S, DEMAND_HIGH_S = 0.25, 1.0
QUEUE_LIMIT = 1024  # flows that wait for a first connection: Tailscale keeps 8,192 opens in flight on large machines

TunnelEvent = Callable[["ChannelTunnel", dict[str, Any]], None]
_REFUSALS = frozenset((Kind.UNAUTHENTICATED, Kind.DENIED, Kind.STEP_UP))


class ChannelTunnel:
    """The tunnel of one (tenant, user, channel, epoch). Implements `client.ports.Tunnel`."""

    def __init__(
        self, *, tenant: str, channel: Channel, edge: EdgeAddress, audience: str, credentials: Credentials,
        epoch: int, group: TaskOwner, on_event: TunnelEvent | None = None,
    ) -> None:
        self.tenant = tenant
        self.channel = channel
        self.edge = edge
        self.audience = audience
        self.epoch = epoch
        self.state: str = ChannelState.CONNECTING
        self.since = time.time()
        self.reason: Reason | None = None
        self._credentials = credentials
        self._group = group
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._links: list[EdgeLink] = []
        self._queue: list[ClientFlow] = []
        self._connecting = False
        self._frozen = False
        self._backoff = Backoff()
        self._connected_at = 0.0
        self._retry_at = 0.0
        self._demand_at = 0.0  # when to try again if somebody wants it before that
        self._wake = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._doomed: list[ClientFlow] = []
        self._counts = RetireReport(0, 0, 0, 0)
        self._timers: list[asyncio.TimerHandle] = []

    # -- control plane -------------------------------------------------------------------------------------------

    async def start(self, timeout: float) -> None:  # noqa: ASYNC109 - the timeout becomes a reason
        """Return when the session is ready. Raises StreamError or Denied; attempts go on until `close`."""
        try:
            async with asyncio.timeout(timeout):
                await self._connect()
        except TimeoutError:
            self._note_failure(Reason.EDGE_UNREACHABLE)
            raise StreamError(Reason.EDGE_UNREACHABLE, f"no session within {timeout:g} s") from None
        finally:
            if self.state != ChannelState.CLOSED and self._keeper is None:
                self._keeper = self._group.create_task(self._keep(), name=f"tunnel {self.tenant}/{self.channel}")

    async def probe(self, timeout: float) -> None:  # noqa: ASYNC109
        """Make one PING round trip. Raises StreamError."""
        link = self._usable()
        if link is None:
            raise StreamError(self.reason or Reason.EDGE_UNREACHABLE)
        waiter = self._loop.create_future()
        link.mux.pong_waiters.append(waiter)
        link.mux.ping()
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            raise StreamError(Reason.PROBE_FAILED, f"no answer in {timeout:g} s") from None

    def freeze(self, keep: Callable[[FlowRecord], bool]) -> None:
        """Cut every flow that `keep` does not want, and tell the edge, all before this returns.

        From here on no byte of a cut flow is read or written on either side of us; `retire` does the rest.
        """
        if self._frozen:
            return
        self._frozen = True
        terminated = drained = kept = 0
        for link in self._links:
            staying: list[int] = []
            for end in list(link.flows):
                flow = end.flow
                if flow.over:  # its application has left, and the edge has not answered yet
                    continue
                if not keep(flow.record):
                    self._doomed.append(flow)
                    terminated += 1
                    continue
                staying.append(end.stream.id)
                if flow.verdict.on_switch.kind == "drain":
                    drained += 1
                    timer = self._loop.call_later(
                        flow.verdict.on_switch.drain_s, flow.terminate, Reason.TENANT_SWITCHED
                    )
                    self._timers.append(timer)
                else:
                    kept += 1
            link.retire(staying)
            self._doomed += [flow for grant in link.grants.values() for flow in grant.waiting]
        for flow in self._doomed:
            flow.cut()
        self._doomed += self._queue
        self._queue = []
        self._counts = RetireReport(terminated, drained, kept, None)

    async def retire(self, keep: Callable[[FlowRecord], bool]) -> RetireReport:
        """Freeze, reset the cut flows towards their applications, and wait for the edges' own counts."""
        self.freeze(keep)
        links = list(self._links)
        doomed, self._doomed = self._doomed, []
        for number, flow in enumerate(doomed):
            flow.terminate(Reason.TENANT_SWITCHED)
            if number % RESETS_PER_TURN == RESETS_PER_TURN - 1:
                await asyncio.sleep(0)
        answers = [await link.retire_answer() for link in links]
        known = [answer for answer in answers if answer is not None]
        return self._counts._replace(bytes_after=sum(known) if len(known) == len(answers) else None)

    async def close(self) -> None:
        """End everything that is left, in order. Idempotent."""
        if self.state == ChannelState.CLOSED:
            return
        self._enter(ChannelEvent.RETIRED, None)
        for timer in self._timers:
            timer.cancel()
        if self._keeper is not None:
            self._keeper.cancel()
        for link in list(self._links):
            for end in list(link.flows):
                end.flow.terminate(Reason.SHUTDOWN)
            link.close()
        self._fail_queue(Reason.SHUTDOWN)

    # -- data plane ----------------------------------------------------------------------------------------------

    def open(self, flow: ClientFlow) -> None:
        """Open `flow` now, or as soon as a connection and a token are there; else it is refused with a reason."""
        link = self._usable()
        if link is not None:
            self._open_on(link, flow)
        elif self._frozen:
            flow.refuse(Reason.TENANT_SWITCHED)
        elif self._connecting and len(self._queue) < QUEUE_LIMIT:
            self._queue.append(flow)
        elif self._links and len(self._queue) < QUEUE_LIMIT:  # all full or draining: one more connection
            self._queue.append(flow)
            self._grow()
        else:
            self._hurry()
            flow.router.edge_unreachable(flow, self.reason or Reason.EDGE_UNREACHABLE)

    def forget_token(self, application: str) -> None:
        """Stop using the accepted token of `application`: the edge called it out of date."""
        for link in self._links:
            grant = link.grants.get(application)
            if grant is not None and grant.accepted:
                del link.grants[application]

    def _open_on(self, link: EdgeLink, flow: ClientFlow) -> None:
        application = flow.verdict.application
        if self.channel is not Channel.PRIVATE or application is None:
            link.open(flow, b"")  # these channels are judged by the session's own token
        else:
            grant = link.open_for(application, flow)
            if grant is not None:
                self._group.create_task(link.offer(application, grant), name="offer token")
        if len(link.flows) >= GROW_AT and link is self._links[-1]:
            self._grow()

    def _usable(self) -> EdgeLink | None:
        for link in self._links:
            if link.usable:
                return link
        return None

    # -- keeping it up -------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Probe liveness, reconnect with jittered back-off, close what has been emptied by a retirement."""
        while self.state != ChannelState.CLOSED:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._wake.wait()
            self._wake.clear()
            now = self._loop.time()
            for link in list(self._links):
                link.check(now)
                if link.renewal_due(now):
                    self._group.create_task(link.renew(self.audience), name="renew channel token")
                if link.draining and not link.flows and len(link.mux.codec.streams) <= 1:
                    link.close()
            if self._frozen:
                if not self._links:
                    await self.close()
            elif self._usable() is None and now >= self._retry_at and not self._connecting:
                with suppress(StreamError, Denied):  # noted in the state, and tried again
                    await self._connect()

    def _pause(self) -> float:
        """Return how long the keeper may sleep: a tick, or until the next attempt."""
        if self._links or self._connecting:
            return TICK_S
        return min(TICK_S, max(0.0, self._retry_at - self._loop.time()))

    def _hurry(self) -> None:
        """Somebody wants an edge that is down: try again soon."""
        if self.state == ChannelState.UNREACHABLE and self._demand_at < self._retry_at:
            self._retry_at = self._demand_at
            self._wake.set()

    def _grow(self) -> None:
        if not self._connecting and len(self._links) < MAX_LINKS and not self._frozen:
            self._connecting = True
            self._group.create_task(self._add_link(), name="grow tunnel")

    async def _add_link(self) -> None:
        with suppress(StreamError, Denied):
            await self._connect()

    async def _connect(self) -> None:
        if self.state not in (ChannelState.CONNECTING, ChannelState.CONNECTED):
            self._enter(ChannelEvent.STARTED, self.reason)
        self._connecting = True
        link = EdgeLink(
            self._credentials, loop=self._loop, group=self._group, on_message=self._heard, on_gone=self._gone
        )
        try:
            await link.connect(self.edge, self.audience)
            if link.gone:  # lost again before anybody could use it
                raise StreamError(Reason.EDGE_LOST, "the connection broke as soon as it was ready")
        except (StreamError, Denied) as error:
            self._note_failure(error.reason, error.detail)
            raise
        except asyncio.CancelledError:
            link.mux.fail(Reason.SHUTDOWN)
            raise
        finally:
            self._connecting = False
        if self._frozen or self.state == ChannelState.CLOSED:
            link.close()
            return
        self._links.append(link)
        self._connected_at = self._loop.time()
        if self.state in (ChannelState.UNREACHABLE, ChannelState.UNAUTHENTICATED):
            self._enter(ChannelEvent.STARTED, None)  # the last connection was lost while this one was being made
        if self.state != ChannelState.CONNECTED:
            self._enter(ChannelEvent.READY, None)
        queue, self._queue = self._queue, []
        for flow in queue:
            if not flow.over:
                self.open(flow)

    def _note_failure(self, reason: Reason, detail: str = "") -> None:
        now = self._loop.time()
        self._retry_at = now + self._backoff.next_delay(random.random())
        self._demand_at = now + random.uniform(DEMAND_LOW_S, DEMAND_HIGH_S)
        if not self._links and self.state != ChannelState.CLOSED:
            refused = reason.kind in _REFUSALS
            if self.state in (ChannelState.CONNECTING, ChannelState.CONNECTED):
                self._enter(ChannelEvent.REFUSED if refused else ChannelEvent.LOST, reason)
            self.reason = reason
            log.warning("tunnel_down", tenant=self.tenant, channel=self.channel.value, reason=reason.value,
                        detail=detail, retry_in_s=round(self._retry_at - self._loop.time(), 2))
            self._fail_queue(reason)

    def _fail_queue(self, reason: Reason) -> None:
        queue, self._queue = self._queue, []
        for flow in queue:
            if not flow.over:
                flow.router.edge_unreachable(flow, reason)

    def _gone(self, link: EdgeLink, reason: Reason) -> None:
        if link not in self._links:
            return
        self._links.remove(link)
        self._backoff.connected_for(self._loop.time() - self._connected_at)
        if self._connecting or self._frozen or self.state == ChannelState.CLOSED:
            pass  # whoever is connecting says how it ends; a retired tunnel is meant to lose its connections
        elif self._usable() is None:
            self._note_failure(reason)
        self._wake.set()

    def _heard(self, link: EdgeLink, message: dict[str, Any]) -> None:
        if message["type"] == "drain":
            self._wake.set()
        if self._on_event is not None:
            self._on_event(self, message)

    def _enter(self, event: ChannelEvent, reason: Reason | None) -> None:
        state = next_state(ChannelState(self.state), event)
        if state != self.state:
            self.state = state
            self.since = time.time()
        self.reason = reason
