"""Where each flow goes: classify under the current epoch, then tunnel, dial or refuse. Implements `inbound.Opener`."""

from __future__ import annotations

import asyncio
import shlex
import socket
import time
from collections.abc import Mapping, Sequence
from typing import cast

import dns.exception

from tunneld.client.flow import ClientFlow
from tunneld.client.live import LiveState
from tunneld.client.tunnel import ChannelTunnel
from tunneld.inbound.request import FlowRequest
from tunneld.journal.flows import REFUSED, CorrelationIds, FlowRecord
from tunneld.model.address import normalise_host, parse_ip
from tunneld.model.errors import PeerProtocolError
from tunneld.model.reasons import Kind, Reason
from tunneld.model.verdict import Hardening, Outcome, Verdict
from tunneld.net.attach import attach
from tunneld.net.dial import Dial
from tunneld.net.relay import OriginEnd
from tunneld.net.resolve import Resolve
from tunneld.net.tasks import TaskOwner
from tunneld.policy.destinations import Endpoint, forbidden

MappedHost = tuple[str, int | None]

# The edge or its connection was at fault and no byte of the flow had moved: asking once more is safe.
_RETRY = frozenset((Reason.EDGE_DRAINING, Reason.TOKEN_EXPIRED, Reason.TOKEN_REF_UNKNOWN))
_EDGE_DOWN = frozenset((Reason.EDGE_LOST, Reason.EDGE_UNREACHABLE, Reason.PING_TIMEOUT, Reason.EDGE_DRAINING))


class Router:
    """Decides about every flow of the daemon and keeps its record."""

    def __init__(
        self,
        live: LiveState,
        *,
        group: TaskOwner,
        resolve: Resolve,
        ids: CorrelationIds,
        hosts: Mapping[str, MappedHost],
        allowed: frozenset[Endpoint] = frozenset(),
        max_flows: int = 8192,
    ) -> None:
        self._live = live
        self._flows = live.flows
        self._group = group
        self._resolve = resolve
        self._ids = ids
        self._hosts = hosts
        self._allowed = allowed
        self._own: frozenset[Endpoint] = frozenset()
        self._max_flows = max_flows
        self._loop = asyncio.get_running_loop()

    def forbid(self, own: Sequence[Endpoint]) -> None:
        """Add listeners of ours, which no flow may reach."""
        self._own |= frozenset(own)

    # -- what inbound calls --------------------------------------------------------------------------------------

    def open(self, request: FlowRequest) -> None:
        """Classify and carry out."""
        session = self._live.current
        correlation = self._ids()
        record = FlowRecord(correlation[16:], correlation, time.time(), request.host, request.port)
        record.source_port = request.source[1]
        record.tenant = session.tenant
        record.epoch = session.epoch
        self._flows.open(record)
        try:
            record.destination = normalise_host(request.host)
            verdict = session.classifier.classify(request.host, request.port, request.protocol)
        except PeerProtocolError as error:
            record.detail = error.detail
            request.refuse(error.reason, error.detail)
            self._flows.close(record, REFUSED, error.reason, time.time())
            return
        flow = ClientFlow(self, session, request, record, verdict)
        request.tag = flow
        request.on_abandoned = flow.abandoned
        if len(self._flows.live) > self._max_flows:
            flow.refuse(Reason.TOO_MANY_FLOWS)
        else:
            self._carry_out(flow, verdict)

    def may_reuse(self, request: FlowRequest) -> bool:
        """Say whether the flow of `request` would be decided in the same way now."""
        flow = request.tag
        session = self._live.current
        if not isinstance(flow, ClientFlow) or flow.over or flow.session.epoch != session.epoch:
            return False
        return session.classifier.classify(request.host, request.port, request.protocol) == flow.verdict

    # -- verdicts ------------------------------------------------------------------------------------------------

    def _carry_out(self, flow: ClientFlow, verdict: Verdict) -> None:
        record = flow.record
        flow.verdict = verdict
        record.action = verdict.outcome.value
        record.rule_id = verdict.rule_id
        record.application = verdict.application
        record.fingerprint = verdict.fingerprint
        if verdict.channel is not None:
            record.channel = verdict.channel.value
        if verdict.hardening is not None:
            record.hardening = verdict.hardening.value
        if verdict.outcome is Outcome.TUNNEL:
            self._tunnel(flow)
        elif verdict.outcome is Outcome.DIRECT:
            self._direct(flow)
        else:
            flow.refuse(verdict.reason)

    def _tunnel(self, flow: ClientFlow) -> None:
        channel = flow.verdict.channel
        tunnel = flow.session.channels.get(channel) if channel is not None else None
        if tunnel is None:
            self.edge_unreachable(flow, Reason.CHANNEL_NOT_OFFERED)
        else:
            cast(ChannelTunnel, tunnel).open(flow)

    def _direct(self, flow: ClientFlow) -> None:
        host = flow.record.destination
        mapped = self._hosts.get(host)
        if mapped is not None:
            address, port = mapped
            self._dial(flow, [address], port or flow.record.port)
        elif parse_ip(host) is not None:
            self._dial_checked(flow, [host])
        else:
            self._group.create_task(self._resolve_and_dial(flow), name="resolve")

    async def _resolve_and_dial(self, flow: ClientFlow) -> None:
        try:
            addresses = await self._resolve(flow.record.destination)
        except (dns.exception.DNSException, OSError):
            addresses = []
        if flow.over:
            return
        if addresses:
            self._dial_checked(flow, addresses)
        else:
            flow.refuse(Reason.NAME_NOT_RESOLVED)

    def _dial_checked(self, flow: ClientFlow, addresses: Sequence[str]) -> None:
        """Dial the addresses that are allowed; a private one is carried out by the rule that covers it."""
        record = flow.record
        good = []
        for address in addresses:
            verdict = flow.session.classifier.classify_resolved(
                flow.verdict, address, record.port, flow.request.protocol
            )
            if verdict.outcome is not Outcome.DIRECT:
                flow.authority_host = record.destination_ip = address
                self._carry_out(flow, verdict)
                return
            if forbidden(address, record.port, own=self._own, allowed=self._allowed) is None:
                good.append(address)
        if good:
            self._dial(flow, good, record.port)
        else:
            flow.refuse(Reason.FORBIDDEN_DESTINATION)

    def _dial(self, flow: ClientFlow, addresses: Sequence[str], port: int) -> None:
        if any((address, port) in self._own for address in addresses):
            flow.refuse(Reason.FORBIDDEN_DESTINATION)
            return

        def connected(sock: socket.socket, address: str) -> None:
            flow.record.destination_ip = address
            bound = sock.getsockname()[:2]
            attach(self._loop, sock, OriginEnd(lambda end: flow.opened(end, bound)), self._group)

        flow.dial = Dial(self._loop, addresses, port, connected, flow.refuse)
        flow.dial.start()

    # -- what the tunnel reports ---------------------------------------------------------------------------------

    def refused_by_edge(self, flow: ClientFlow, reason: Reason, detail: str = "") -> None:
        """The edge did not open the flow."""
        if flow.over:
            return
        if reason in _RETRY and not flow.retried and flow.verdict.channel is not None:
            flow.retried = True
            tunnel = flow.session.channels.get(flow.verdict.channel)
            if isinstance(tunnel, ChannelTunnel):
                if flow.verdict.application is not None and reason is not Reason.EDGE_DRAINING:
                    tunnel.forget_token(flow.verdict.application)
                tunnel.open(flow)
                return
        if reason in _EDGE_DOWN:
            self.edge_unreachable(flow, reason)
        elif reason.kind is Kind.STEP_UP:
            flow.refuse(reason, _mend(flow, detail))
        else:
            flow.refuse(reason, detail)

    def edge_unreachable(self, flow: ClientFlow, reason: Reason) -> None:
        """There is no edge to ask: the rule's hardening decides.

        Only for an edge that does not answer. Failing to authenticate is a denial, never a way around the tunnel.
        """
        if flow.over:
            return
        down = reason in _EDGE_DOWN
        if down and flow.verdict.hardening is Hardening.BYPASS:
            flow.record.action = Outcome.DIRECT.value
            flow.record.detail = Reason.HARDENING_BYPASS.value
            flow.verdict = flow.verdict._replace(outcome=Outcome.DIRECT, reason=Reason.HARDENING_BYPASS)
            self._direct(flow)
        else:
            flow.refuse(Reason.HARDENING_BLOCK if down else reason)

    def close(self, flow: ClientFlow, state: str, reason: Reason) -> None:
        """Note the end of a flow; the first call for a flow counts."""
        self._flows.close(flow.record, state, reason, time.time())


def _mend(flow: ClientFlow, detail: str) -> str:
    """Return what the user can do about an application that wants more of them than their session has proved."""
    profile, wanted = flow.session.profile, flow.verdict.application
    if profile is None or wanted is None:
        return detail
    name = next((each.name for each in profile.document.applications if each.id == wanted), wanted)
    return f"run: tunneld login --step-up {shlex.quote(name)}" + (f" ({detail})" if detail else "")
