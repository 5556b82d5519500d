"""One tunnel connection at the edge: who is at the other end, which tokens it may use, and the flows it opens.

Implements `net.mux.MuxOwner`. A connection serves exactly one tenant, one channel and one user.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import structlog

from tunneld.edge.bearer import Bearer
from tunneld.edge.caller import identify
from tunneld.edge.fields import bearer_of, cached_authority, restriction_of, trace_id
from tunneld.edge.flows import EdgeFlow, refusal_block, refuse_stream, revocations
from tunneld.edge.tenant import TenantEdge
from tunneld.journal.flows import FlowRecord
from tunneld.model.errors import PeerProtocolError
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Channel, Protocol
from tunneld.net.control_stream import ControlStream
from tunneld.net.mux import Mux
from tunneld.net.stream_end import StreamEnd
from tunneld.net.tasks import TaskOwner
from tunneld.policy.admission import Admit, Decision, Refuse, Tunnel, admit_flow
from tunneld.policy.claims_challenge import step_up_challenge
from tunneld.policy.tokens import CLOCK_SKEW_S
from tunneld.wire.h2.budget import Budget
from tunneld.wire.h2.connection import Limits
from tunneld.wire.h2.frames import MAX_STREAM_ID, ErrorCode
from tunneld.wire.h2.header_block import STATUS_200, Field
from tunneld.wire.h2.stream import Stream
from tunneld.wire.proxy_protocol import encode_proxy_header

if TYPE_CHECKING:
    from tunneld.edge.server import EdgeServer

log = structlog.get_logger("tunneld.edge")

SESSION_PATH = b"/tunnel/v1/session"
CONTROL_BURST, CONTROL_RATE = 1200, 20  # messages, and a second: every application's token at once, then renewals
CONTROL_BACKLOG = 64 * 1024  # answers that nobody reads; a thousand accepted tokens are as much
CHANNEL_REF = 0


class EdgeSession:
    """The edge's half of one tunnel connection."""

    def __init__(
        self, server: EdgeServer, tenant: TenantEdge, tunnel: Tunnel, group: TaskOwner, *, interop: bool = False
    ) -> None:
        self.server = server
        self.tenant = tenant
        self.bearer = Bearer(tenant, tunnel, interop=interop)
        self.group = group
        limits = Limits(streams=server.settings.limits.streams + 1)
        self.mux = Mux(self, client=False, loop=asyncio.get_running_loop(), limits=limits)
        self.closed: asyncio.Future[None] = self.mux.loop.create_future()
        self.flows: set[EdgeFlow] = set()
        self._interop = interop
        self._messages = Budget("control messages", CONTROL_BURST, CONTROL_RATE, self.mux.loop.time())
        self._logged = Budget("refusals worth a line", 20, 1, self.mux.loop.time())
        self._expiry: asyncio.TimerHandle | None = None
        self._control: ControlStream | None = None
        self._retired = False
        self._source = ("", 0)

    @property
    def user(self) -> str:
        """Return the object id of whoever is at the other end, for records and caps."""
        return self.bearer.user

    @property
    def tunnel(self) -> Tunnel:
        """Return whose edge and channel the connection reached, and whom its certificate speaks for."""
        return self.bearer.tunnel

    # -- what the mux calls --------------------------------------------------------------------------------------

    def on_connected(self, transport: asyncio.BaseTransport) -> None:
        """Note where the connection comes from, and whom the certificate that TLS just verified speaks for."""
        self._source = transport.get_extra_info("peername", ("", 0))[:2]
        if self._interop:
            return
        try:
            self.bearer.identified(identify(transport, self.tunnel.tenant_id))
        except PeerProtocolError as error:
            self.mux.fail(error.reason, error.detail)

    def on_settings(self) -> None:
        """Nothing waits for the client's settings."""

    def on_goaway(self, code: int, debug: bytes) -> None:
        """The client opens nothing more; its flows go on."""

    def on_request(self, stream: Stream, fields: list[Field], ended: bool) -> None:
        """CONNECT opens a flow, POST the session; nothing else is offered."""
        method = fields[0][1] if fields[0][0] == b":method" else dict(fields)[b":method"]
        if method == b"CONNECT":
            self._connect(stream, fields)
        elif method == b"POST" and dict(fields).get(b":path") == SESSION_PATH and not self._interop:
            self._open_session(stream, fields)
        else:
            refuse_stream(self.mux, stream, Reason.UNSUPPORTED_COMMAND)

    def on_lost(self, reason: Reason, detail: str) -> None:
        """The connection is over; its flows were told."""
        log.info("tunnel_closed", tenant=self.tenant.name, channel=self.tunnel.channel.value, user=self.user,
                 reason=reason.value, detail=detail)
        if self._expiry is not None:
            self._expiry.cancel()
        if not self.closed.done():
            self.closed.set_result(None)

    # -- the session ---------------------------------------------------------------------------------------------

    def _open_session(self, stream: Stream, fields: list[Field]) -> None:
        token = bearer_of(fields, b"authorization")
        if self._control is not None or token is None:
            refuse_stream(self.mux, stream, Reason.TOKEN_MISSING if token is None else Reason.MALFORMED_REQUEST)
            return
        self.bearer.restriction = restriction_of(fields)
        self._control = ControlStream(self._on_control, self._on_control_closed)
        StreamEnd(self.mux, stream, self._control)
        self.group.create_task(self._start_session(stream, token), name="open session")

    async def _start_session(self, stream: Stream, token: str) -> None:
        decision = await self._judge_channel_token(token)
        control = self._control
        if stream.id not in self.mux.codec.streams or control is None:
            return
        if isinstance(decision, Refuse):
            log.warning("session_refused", tenant=self.tenant.name, channel=self.tunnel.channel.value,
                        user=self.user, reason=decision.reason.value, detail=decision.detail)
            self.mux.codec.send_headers(stream, refusal_block(decision.reason), end_stream=True)
            self.mux.close(decision.reason)
            return
        self.mux.codec.send_headers(stream, STATUS_200)
        control.peer = stream.owner
        control.send({"type": "ready", "session": self.server.new_id(), "expires_at": int(decision.expires_at)})
        self.mux.flush()
        log.info("session_ready", tenant=self.tenant.name, channel=self.tunnel.channel.value, user=self.user)

    async def _judge_channel_token(self, token: str) -> Decision:
        decision = await self.bearer.judge_channel(token)
        if isinstance(decision, Admit):
            self._end_at(decision.expires_at)
        return decision

    def _end_at(self, expires_at: float) -> None:
        """End the session when its channel token does, unless a fresh one comes first."""
        if self._expiry is not None:
            self._expiry.cancel()
        left = max(0.0, expires_at + CLOCK_SKEW_S - time.time())
        self._expiry = self.mux.loop.call_later(left, self._expired)

    def _expired(self) -> None:
        self._say({"type": "revoked", "scope": "session", "reason": Reason.TOKEN_EXPIRED.value})
        self.mux.close(Reason.TOKEN_EXPIRED)

    def _on_control(self, message: dict[str, Any]) -> None:
        if not self._messages.spend(self.mux.loop.time()):
            self.mux.close(Reason.FLOOD, ErrorCode.ENHANCE_YOUR_CALM)
            return
        match message["type"]:
            case "token":
                ref, token = message.get("ref"), message.get("token")
                if type(ref) is not int or not 0 <= ref <= MAX_STREAM_ID:
                    ref = -1  # never echoed: it may be anything
                if ref >= 0 and isinstance(token, str) and token.count(".") == 2:
                    self.group.create_task(self._take_token(ref, token), name="take token")
                else:
                    self._say({"type": "token-refused", "ref": ref, "reason": Reason.TOKEN_MALFORMED.value})
            case "retire":
                keep = message.get("keep")
                streams = keep if isinstance(keep, list) else []
                self._retire(frozenset(each for each in streams if isinstance(each, int)))

    def _on_control_closed(self, reason: Reason) -> None:
        """Without a control stream nothing can be revoked, so nothing may go on."""
        if not self.closed.done():
            self.mux.close(reason)

    def _say(self, message: dict[str, Any]) -> None:
        if self._control is None:
            return
        self._control.send(message)
        self.mux.flush_soon()
        peer = self._control.peer
        if isinstance(peer, StreamEnd) and peer.backlog > CONTROL_BACKLOG:
            self.mux.close(Reason.FLOOD, ErrorCode.ENHANCE_YOUR_CALM)

    async def _take_token(self, ref: int, token: str) -> None:
        decision = await (
            self._judge_channel_token(token) if ref == CHANNEL_REF else self.bearer.judge_application(token)
        )
        if isinstance(decision, Refuse):
            if self._logged.spend(self.mux.loop.time()):
                log.warning("token_refused", tenant=self.tenant.name, user=self.user, reason=decision.reason.value,
                            detail=decision.detail)
            challenge = {"claims": step_up_challenge(decision.context)} if decision.context else {}
            self._say({"type": "token-refused", "ref": ref, "reason": decision.reason.value, **challenge})
            return
        if ref != CHANNEL_REF:
            self.bearer.keep(ref, decision)
        self._say({
            "type": "token-accepted", "ref": ref, "application": decision.application,
            "expires_at": int(decision.expires_at),
        })

    # -- flows ---------------------------------------------------------------------------------------------------

    def _connect(self, stream: Stream, fields: list[Field]) -> None:
        """Admit one flow: the hot path of the edge."""
        authority = ref = bearer = trace = None
        for name, value in fields:
            if name == b":authority":
                authority = value
            elif name == b"tunnel-token":
                ref = value
            elif name == b"traceparent":
                trace = value
            elif name == b"proxy-authorization":
                bearer = value
            elif name == b":protocol":  # RFC 8441 §3: not announced, so not understood; never taken for TCP
                refuse_stream(self.mux, stream, Reason.UNSUPPORTED_PROTOCOL)
                return
        correlation = trace_id(trace) or self.server.new_id()
        try:
            host, port = cached_authority((authority or b"").decode("ascii", "replace"))
        except PeerProtocolError as error:
            self._refuse_unrecorded(stream, correlation, error.reason)
            return
        record = FlowRecord(correlation[16:], correlation, time.time(), host, port)
        record.tenant = self.tenant.name
        record.channel = self.tunnel.channel.value
        record.user = self.user
        record.action = "tunnel"
        if bearer is not None:
            flow = EdgeFlow(self, stream, record)
            self.group.create_task(self._connect_with(flow, fields), name="admit")
            return
        if ref is not None:
            grant = self.bearer.refs.get(ref)
            missing = Reason.TOKEN_REF_UNKNOWN
        else:
            grant = None if self.tunnel.channel is Channel.PRIVATE else self.bearer.session
            missing = Reason.TOKEN_MISSING
        self._admit(EdgeFlow(self, stream, record), grant, missing)

    async def _connect_with(self, flow: EdgeFlow, fields: list[Field]) -> None:
        """Admit a flow that brings its whole token."""
        decision: Decision = Refuse(Reason.TOKEN_MALFORMED)
        if (token := bearer_of(fields, b"proxy-authorization")) is not None:
            decision = await self.bearer.judge_application(token, restriction_of(fields))
        if flow.ended:
            return
        if isinstance(decision, Refuse):
            self._open_record(flow)
            flow.refuse(decision.reason, decision.context)
        else:
            self._admit(flow, decision, Reason.TOKEN_MISSING)

    def _admit(self, flow: EdgeFlow, grant: Admit | None, missing: Reason) -> None:
        record = flow.record
        record.user = self.user  # on the interoperability listener each token may be another user's
        gate = self.bearer.gate
        refused: Reason | None = None
        context = ""
        if self._retired:
            refused = Reason.TENANT_SWITCHED
        elif not self._interop and (gate is None or self.bearer.session is None):
            refused = Reason.NO_SESSION
        elif gate is None or grant is None:
            refused = missing
        else:
            flow.grant = grant
            record.application = grant.application
            if grant.sign_in is not None:
                record.token_id, record.home_tenant, record.user_type = grant.sign_in
            decision = admit_flow(gate, grant, record.destination, record.port, Protocol.TCP, now=time.time())
            if isinstance(decision, Refuse):
                refused, context = decision.reason, decision.context
                record.detail = decision.detail
            else:
                record.rule_id = decision.rule_id
                refused = self.server.caps.take(self.user, flow.application)
        self._open_record(flow)
        if refused is None:
            self.flows.add(flow)
            flow.connect(self.tenant.connector.locate_now(record.destination, record.port))
        else:
            flow.refuse(refused, context)

    def _open_record(self, flow: EdgeFlow) -> None:
        self.server.flows.open(flow.record)
        self.server.records.opened(flow.record)

    def _refuse_unrecorded(self, stream: Stream, correlation: str, reason: Reason) -> None:
        """Refuse a stream whose destination cannot even be named; it gets its two records all the same."""
        record = FlowRecord(correlation[16:], correlation, time.time(), "", 0, tenant=self.tenant.name, user=self.user)
        flow = EdgeFlow(self, stream, record)
        self._open_record(flow)
        flow.refuse(reason)

    def flow_over(self, flow: EdgeFlow, state: str, reason: Reason) -> None:
        """Close a flow's record; called once a flow."""
        record = flow.record
        if self.server.flows.close(record, state, reason, time.time()):
            self.server.records.ended(record)
            if flow in self.flows:
                self.flows.discard(flow)
                self.server.caps.release(record.user or "", flow.application)

    def proxy_header(self, record: FlowRecord) -> bytes:
        """Return the PROXY protocol v2 header for an origin that asks for it."""
        return encode_proxy_header(self._source, (record.destination_ip or "", record.port))

    # -- ending --------------------------------------------------------------------------------------------------

    def _retire(self, keep: frozenset[int]) -> None:
        """Reset every flow but those in `keep` now, and answer with what still reached their origins afterwards."""
        self._retired = True
        doomed = [flow for flow in self.flows if flow.stream.id not in keep]
        origins = [flow.origin for flow in doomed if flow.origin is not None]
        before = sum(origin.bytes_written for origin in origins)
        for flow in doomed:
            flow.terminate(Reason.TENANT_SWITCHED)

        def answer() -> None:
            after = sum(origin.bytes_written for origin in origins)
            self._say({"type": "retired", "bytes_after": after - before})

        self.mux.loop.call_soon(answer)  # one turn later, so that whatever still moved is in the count

    def refresh(self, version: int) -> None:
        """The tenant's profiles changed: flows that the new ones do not admit end, all others go on."""
        if not self.bearer.known:
            return
        gate = self.bearer.reload()
        if gate is None:
            self._say({"type": "revoked", "scope": "session", "reason": Reason.PROFILE_NOT_ASSIGNED.value})
        doomed: dict[Reason, list[EdgeFlow]] = {}
        for flow in self.flows:
            if (reason := flow.ended_by(gate)) is not None:
                doomed.setdefault(reason, []).append(flow)
        for reason, flows in doomed.items():
            for message in revocations(flows, reason):
                self._say(message)
            for flow in flows:
                flow.terminate(reason)
        self._say({"type": "profile-changed", "version": version})

    def expire(self) -> None:
        """The time to identify oneself is over: nobody holds a place here without a token."""
        if not self.bearer.known:
            self.mux.close(Reason.HANDSHAKE_TIMEOUT)

    def drain(self, deadline_s: float) -> None:
        """Take no more flows (RFC 9113 §6.8: GOAWAY with the largest id first); `finish` follows."""
        self._say({"type": "drain", "deadline_s": deadline_s})
        if self.mux.codec.failed is None:
            self.mux.codec.goaway(ErrorCode.NO_ERROR, last_stream_id=MAX_STREAM_ID)
        self.mux.flush()

    def finish(self) -> None:
        """Reset what is left and close."""
        for flow in list(self.flows):
            flow.terminate(Reason.SHUTDOWN)
        self.mux.close(Reason.SHUTDOWN)
