"""One connection to an edge: TLS, HTTP/2, the control stream, and the tokens that the edge has accepted on it."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from tunneld.client.cause import set_cause
from tunneld.client.flow import ClientFlow, FlowStream, refusal_reason
from tunneld.client.oidc import RESTRICTION_HEADER
from tunneld.client.ports import Credentials, Denied, EdgeAddress
from tunneld.model.address import format_authority
from tunneld.model.errors import StreamError
from tunneld.model.reasons import Reason, reason_named
from tunneld.net.control_stream import ControlStream
from tunneld.net.mux import Mux
from tunneld.net.stream_end import StreamEnd
from tunneld.net.tasks import TaskOwner
from tunneld.wire.h2.budget import Budget
from tunneld.wire.h2.connection import Limits
from tunneld.wire.h2.frames import ErrorCode
from tunneld.wire.h2.header_block import Field, encode, encode_field
from tunneld.wire.h2.stream import Stream

HANDSHAKE_S = 10.0  # asyncio allows 60 s; curl's connect timeout on a slow network is seldom above 10
TOKEN_S = 10.0
DEAD_S = 3.0  # three missed answers at one probe a second
IDLE_PING_S = 15.0
RENEW_MARGIN_S = 60.0  # renew an accepted token this long before its end: the clock skew the edge tolerates
RETIRE_S = 1.0
MAX_TIME = 2**40  # seconds since 1970 that a float holds exactly and nobody will live to see
CHANNEL_REF = 0  # the number of the channel token itself; applications count from 1

_CONNECT = b"\x02\x07CONNECT"  # `:method: CONNECT` as a literal on the static name

LinkEvent = Callable[["EdgeLink", dict[str, Any]], None]


class Grant:
    """One application's place on a connection: a token on its way, or accepted under a number."""

    __slots__ = ("accepted", "block", "challenged", "deadline", "refused", "token", "waiting")

    def __init__(self, ref: int) -> None:
        self.block = encode_field(b"tunnel-token", str(ref).encode())
        self.accepted = False
        self.deadline = 0.0  # loop time until which flows may use it
        self.refused: Reason | None = None
        self.token = ""
        self.challenged = False
        self.waiting: list[ClientFlow] = []

    @property
    def may_be_challenged(self) -> bool:
        """Say whether its token was sent, and no challenge was answered yet."""
        return bool(self.token) and not (self.accepted or self.challenged)


class EdgeLink:
    """A connection that belongs to one (tenant, user, channel, epoch). Implements `net.mux.MuxOwner`."""

    def __init__(self, credentials: Credentials, *, loop: asyncio.AbstractEventLoop, group: TaskOwner,
                 on_message: LinkEvent, on_gone: Callable[[EdgeLink, Reason], None]) -> None:
        self.loop = loop
        self.credentials = credentials
        # Streams the edge opens towards us do not exist, and its responses need little room.
        self.mux = Mux(self, client=True, loop=loop, limits=Limits(streams=0))
        self.ready: asyncio.Future[None] = loop.create_future()
        self.retired: asyncio.Future[int | None] = loop.create_future()
        self.draining = False
        self.gone = False
        self.flows: set[FlowStream] = set()
        self.grants: dict[str, Grant] = {}
        # Half of what the edge allows (`wire.h2.budget`), which counts by its own clock.
        self._haste = Budget("resets of unanswered streams", 100, 25, loop.time())
        self.control = ControlStream(self._on_control, self._on_control_closed)
        self._refs: dict[int, Grant] = {}
        self._group = group
        self._on_message = on_message
        self._on_gone = on_gone
        self._channel_token = ""
        self._renew_at: float | None = None
        self._last_ping = 0.0
        self._settings_seen = False

    # -- connecting ----------------------------------------------------------------------------------------------

    async def connect(self, edge: EdgeAddress, audience: str) -> None:
        """Connect, open the session, return when it is ready. Raises StreamError or Denied."""
        self._channel_token = await self.credentials.channel_token(audience)
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                await self.loop.create_connection(
                    lambda: self.mux, edge.host, edge.port,
                    ssl=self.credentials.tls_context(), server_hostname=edge.sni,
                    ssl_handshake_timeout=HANDSHAKE_S,
                )
                await asyncio.shield(self.ready)
        except ssl.SSLCertVerificationError as error:
            raise StreamError(Reason.CERTIFICATE_INVALID, error.verify_message) from None
        except (TimeoutError, OSError) as error:
            self.mux.fail(Reason.EDGE_UNREACHABLE)
            detail = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise StreamError(Reason.EDGE_UNREACHABLE, detail) from None

    def on_connected(self, transport: asyncio.BaseTransport) -> None:
        """TLS verified the edge; whether it accepts us shows later."""

    def on_settings(self) -> None:
        """HTTP/2 is up: open the session."""
        if self._settings_seen:
            return
        self._settings_seen = True
        if not self.mux.codec.may_open():  # an edge that allows no stream at all
            self.session_refused(Reason.EDGE_DRAINING)
            return
        fields = [
            (b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"edge"), (b":path", b"/tunnel/v1/session"),
            (b"authorization", b"Bearer " + self._channel_token.encode()),
        ]
        if self.credentials.restriction is not None:
            fields.append((RESTRICTION_HEADER.encode(), self.credentials.restriction.encode()))
        stream = self.mux.codec.open_stream(encode(fields, frozenset((b"authorization",))))
        end = _SessionStream(self.mux, stream, self)
        end.peer = self.control
        self.control.peer = end
        self.mux.flush_soon()

    def session_refused(self, reason: Reason) -> None:
        """The edge did not open the session."""
        self._fail_ready(StreamError(reason, "the edge refused the session"))
        self.mux.close(reason)

    # -- flows ---------------------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Say whether new flows may use this connection."""
        return self.ready.done() and not (self.gone or self.draining) and self.mux.codec.may_open()

    def open(self, flow: ClientFlow, block: bytes) -> None:
        """Open `flow` now; `block` names its token."""
        record = flow.record
        authority = format_authority(flow.authority_host, record.port).encode()
        trace = f"00-{record.correlation_id}-{record.flow_id}-01".encode()
        stream = self.mux.codec.open_stream(
            _CONNECT + encode_field(b":authority", authority) + block + b"\x00\x0btraceparent\x37" + trace
        )
        flow.stream = FlowStream(self.mux, stream, flow, self.flows, self._haste)
        self.mux.flush_soon()

    def open_for(self, application: str, flow: ClientFlow) -> Grant | None:
        """Open `flow` with the application's accepted token. A grant back means: it waits for that grant's token."""
        grant = self.grants.get(application)
        if grant is not None and grant.accepted and self.loop.time() < grant.deadline:
            self.open(flow, grant.block)
            return None
        fresh = grant is None or grant.accepted
        if fresh:
            grant = self.new_grant(application)
        grant.waiting.append(flow)  # type: ignore[union-attr]  # fresh made it
        return grant if fresh else None

    def new_grant(self, application: str) -> Grant:
        """Make room for a token of `application`; send it with `offer`."""
        ref = len(self._refs) + 1
        grant = self._refs[ref] = self.grants[application] = Grant(ref)
        return grant

    async def offer(self, application: str, grant: Grant) -> None:
        """Fetch the application's token, have the edge accept it, and open what waits. Never raises Denied."""
        if grant.waiting:
            first = grant.waiting[0].record
            set_cause(first.correlation_id, first.flow_id)
        await self._present(application, grant, partial(self.credentials.app_token, application))

    async def _present(self, application: str, grant: Grant, fetch: Callable[[], Awaitable[str]]) -> None:
        try:
            async with asyncio.timeout(TOKEN_S):
                grant.token = await fetch()
        except Denied as denied:
            self._refuse_grant(application, grant, denied.reason, denied.detail)
            return
        except TimeoutError:
            self._refuse_grant(application, grant, Reason.IDP_UNREACHABLE, "no token in time")
            return
        ref = next(number for number, known in self._refs.items() if known is grant)
        self.control.send({"type": "token", "ref": ref, "token": grant.token})

    def renewal_due(self, now: float) -> bool:
        """Say whether the channel token should be renewed, once for each end of a token."""
        due = self._renew_at is not None and now >= self._renew_at and not self.draining
        if due:
            self._renew_at = None
        return due

    async def renew(self, audience: str) -> None:
        """Present a fresh channel token. Without one the edge ends the session when the old one expires."""
        try:
            async with asyncio.timeout(TOKEN_S):
                token = await self.credentials.channel_token(audience)
        except (Denied, TimeoutError):
            self._renew_at = self.loop.time() + TOKEN_S
        else:
            self.control.send({"type": "token", "ref": CHANNEL_REF, "token": token})

    # -- retiring ------------------------------------------------------------------------------------------------

    def retire(self, kept: list[int]) -> None:
        """Tell the edge, ahead of everything not yet written, to reset all streams but `kept`."""
        self.draining = True
        self.control.send({"type": "retire", "keep": kept})
        self.mux.flush()

    async def retire_answer(self) -> int | None:
        """Return the edge's count of bytes after `retire`; None and an aborted connection without an answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(RETIRE_S):
                return await asyncio.shield(self.retired)
        self.mux.fail(Reason.TENANT_SWITCHED)
        return None

    def check(self, now: float) -> None:
        """Probe liveness: each second while flows are open, else each 15 s; dead after 3 s without an answer."""
        mux = self.mux
        if mux.ping_sent_at is not None:
            if now - mux.ping_sent_at > DEAD_S:
                mux.fail(Reason.PING_TIMEOUT)
        elif self.ready.done() and (self.flows or now - self._last_ping >= IDLE_PING_S):
            self._last_ping = now
            mux.ping()

    def close(self) -> None:
        """End the connection in order."""
        if not self.gone:
            self.mux.close(Reason.SHUTDOWN)

    # -- what the mux and the control stream call ----------------------------------------------------------------

    def on_request(self, stream: Stream, fields: list[Field], ended: bool) -> None:
        """A server never opens a stream without push."""
        self.mux.codec.reset(stream, ErrorCode.PROTOCOL_ERROR)

    def on_goaway(self, code: int, debug: bytes) -> None:
        """The edge drains: no new flows here."""
        self.draining = True

    def on_lost(self, reason: Reason, detail: str) -> None:
        """The connection is over.

        A TLS 1.3 client is connected before its certificate was judged (RFC 8446 §4.4.2.4), so an end before the
        edge's first SETTINGS is what a refused certificate looks like.
        """
        self.gone = True
        if not self._settings_seen and reason is Reason.EDGE_LOST:
            reason = Reason.CERTIFICATE_REFUSED
        self._fail_ready(StreamError(reason, detail))
        if not self.retired.done():
            self.retired.set_result(None)
        for application, grant in list(self.grants.items()):
            if not grant.accepted:
                self._refuse_grant(application, grant, reason, detail)
        self._on_gone(self, reason)

    def _on_control(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "ready":
                self._renew_at = self._deadline(message)
                if not self.ready.done():
                    self.ready.set_result(None)
            case "token-accepted":
                self._accepted(message)
            case "token-refused":
                self._token_refused(message)
            case "retired":
                if not self.retired.done():
                    after = message.get("bytes_after")
                    self.retired.set_result(after if isinstance(after, int) else None)
            case "revoked":
                self._revoked(message)
            case "drain":
                self.draining = True
        self._on_message(self, message)

    def _on_control_closed(self, reason: Reason) -> None:
        if not self.gone:
            self._fail_ready(StreamError(Reason.EDGE_LOST, "the edge ended the session"))
            self.mux.close(Reason.EDGE_LOST)

    def _accepted(self, message: dict[str, Any]) -> None:
        if message.get("ref") == CHANNEL_REF:
            self._renew_at = self._deadline(message)
            return
        grant = self._granted(message)
        if grant is None or grant.accepted:
            return
        grant.accepted = True
        grant.deadline = self._deadline(message)
        waiting, grant.waiting = grant.waiting, []
        for flow in waiting:
            if flow.over:
                continue
            if self.usable:
                self.open(flow, grant.block)
            else:
                flow.router.refused_by_edge(flow, Reason.EDGE_DRAINING)

    def _deadline(self, message: dict[str, Any]) -> float:
        """Return the loop time until which a token that the edge just accepted should be used."""
        expires = message.get("expires_at")
        lifetime = RENEW_MARGIN_S * 2
        if isinstance(expires, int | float) and 0 < expires < MAX_TIME:
            lifetime = expires - time.time()
        return self.loop.time() + max(1.0, lifetime - RENEW_MARGIN_S)

    def _token_refused(self, message: dict[str, Any]) -> None:
        refused, name, claims = self._granted(message), message.get("reason"), message.get("claims")
        for application, grant in list(self.grants.items()):
            if grant is refused:
                reason = reason_named(name if isinstance(name, str) else None) or Reason.TOKEN_SIGNATURE
                if isinstance(claims, str) and reason is Reason.INSUFFICIENT_CLAIMS and grant.may_be_challenged:
                    grant.challenged = True  # one answer a grant: an edge may challenge for ever
                    answer = partial(self.credentials.answer_challenge, application, grant.token, claims)
                    self._group.create_task(self._present(application, grant, answer), name="answer challenge")
                    continue
                self._refuse_grant(application, grant, reason, "the edge refused the token")

    def _revoked(self, message: dict[str, Any]) -> None:
        """End the flows that the edge is about to reset, with its reason."""
        streams, name = message.get("streams"), message.get("reason")
        if isinstance(streams, list):
            numbers = {number for number in streams if isinstance(number, int)}
            reason = reason_named(name if isinstance(name, str) else None) or Reason.REVOKED
            for end in [end for end in self.flows if end.stream.id in numbers]:
                end.flow.terminate(reason)

    def _granted(self, message: dict[str, Any]) -> Grant | None:
        ref = message.get("ref")
        return self._refs.get(ref) if isinstance(ref, int) else None

    def _refuse_grant(self, application: str, grant: Grant, reason: Reason, detail: str) -> None:
        grant.refused = reason
        if self.grants.get(application) is grant:
            del self.grants[application]
        waiting, grant.waiting = grant.waiting, []
        for flow in waiting:
            flow.router.refused_by_edge(flow, reason, detail)

    def _fail_ready(self, error: StreamError) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # retrieved: whoever waits gets it too, and nobody may be waiting any more


class _SessionStream(StreamEnd):
    """The control stream's tunnel end."""

    __slots__ = ("_link",)

    def __init__(self, mux: Mux, stream: Stream, link: EdgeLink) -> None:
        super().__init__(mux, stream)
        self._link = link

    def on_response(self, status: int, fields: list[Field], ended: bool) -> None:
        """Anything but an open 200 means that there is no session."""
        if status != 200 or ended:
            self._link.session_refused(refusal_reason(status, fields))
