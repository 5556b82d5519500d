"""One flow of the daemon: the application's request, its record, and the two ends once it is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunneld.journal.flows import CLOSED, REFUSED, TERMINATED, FlowRecord
from tunneld.model.reasons import Kind, Reason, reason_named
from tunneld.model.verdict import Verdict
from tunneld.net.dial import Dial
from tunneld.net.mux import Mux
from tunneld.net.relay import NOBODY, FlowEnd, SocketEnd
from tunneld.net.stream_end import StreamEnd
from tunneld.wire.h2.budget import Budget
from tunneld.wire.h2.frames import ErrorCode
from tunneld.wire.h2.header_block import Field
from tunneld.wire.h2.stream import Stream
from tunneld.wire.proxy_status import decode_proxy_status

if TYPE_CHECKING:
    from tunneld.client.live import TenantSession
    from tunneld.client.router import Router
    from tunneld.inbound.request import FlowRequest, LinkableEnd


class ClientFlow:
    """A flow from its verdict to its end. Exactly one of `established` and `refuse` happens."""

    __slots__ = (
        "authority_host", "dial", "far", "near", "record", "request", "retried", "router", "session", "stream",
        "verdict",
    )

    def __init__(
        self, router: Router, session: TenantSession, request: FlowRequest, record: FlowRecord, verdict: Verdict
    ) -> None:
        self.router = router
        self.session = session
        self.request = request
        self.record = record
        self.verdict = verdict
        self.authority_host = record.destination
        self.near: FlowEnd | None = None
        self.far: FlowEnd | None = None
        self.stream: FlowStream | None = None
        self.dial: Dial | None = None
        self.retried = False

    @property
    def over(self) -> bool:
        """Say whether the record is closed."""
        return self.record.end is not None

    def counts(self) -> tuple[int, int]:
        """Return what the application sent and received so far (see `journal.flows.Meter`)."""
        near = self.near
        return getattr(near, "bytes_read", 0), getattr(near, "bytes_written", 0)

    def opened(self, far: LinkableEnd, bound: tuple[str, int] | None = None) -> None:
        """The far side is there: tell the application and link the ends."""
        near = self.request.accept(far, self.ended, bound)
        if near is not None and not self.over:
            self.near, self.far = near, far
            self.record.meter = self

    def refuse(self, reason: Reason, detail: str = "") -> None:
        """Tell the application no and close the record."""
        self.record.detail = detail or self.record.detail
        self.request.refuse(reason, detail)
        self.router.close(self, REFUSED, reason)

    def ended(self, reason: Reason) -> None:
        """Both directions are over, or the flow broke."""
        self.router.close(self, CLOSED if reason.kind is Kind.OK else TERMINATED, reason)
        self.near = self.far = self.stream = self.dial = None  # untie the knot: flows are freed without the collector
        self.request.on_abandoned = None

    def abandoned(self) -> None:
        """The application left before it had an answer."""
        stream, self.stream = self.stream, None
        self.router.close(self, TERMINATED, Reason.CLIENT_RESET)
        if stream is not None:
            stream.abandon()
        if self.dial is not None:
            self.dial.cancel()

    def terminate(self, reason: Reason) -> None:
        """End the flow from our side: the application and the destination see a reset."""
        if self.over:
            return
        self.router.close(self, TERMINATED, reason)
        near, far, dial = self.near, self.stream or self.far, self.dial  # `ended` lets go of them
        if near is None:
            self.request.refuse(reason)
        else:
            near.reset(reason)
        if far is not None:
            far.reset(reason)
        elif dial is not None:
            dial.cancel()

    def cut(self) -> None:
        """Part the two ends at once and in silence; `terminate` follows. Nothing moves in between."""
        if self.stream is not None:
            self.stream.cut()
            self.stream = None
        if isinstance(self.near, SocketEnd):
            self.near.peer = NOBODY


class FlowStream(StreamEnd):
    """The tunnel's end of a client flow: until the edge answers it stands alone."""

    __slots__ = ("_haste", "_siblings", "abandoned", "answered", "flow")

    def __init__(
        self, mux: Mux, stream: Stream, flow: ClientFlow, siblings: set[FlowStream], haste: Budget
    ) -> None:
        super().__init__(mux, stream)
        self.flow = flow
        self.answered = False
        self.abandoned = False
        self._haste = haste
        self._siblings = siblings
        siblings.add(self)

    def abandon(self) -> None:
        """The application left before the answer: reset the stream, now or when the answer is there.

        An edge takes many resets of unanswered streams for Rapid Reset and ends the connection with all its flows, so
        that one impatient application would cut off all others.
        """
        if self._haste.spend(self.mux.loop.time()):
            self.reset(Reason.CLIENT_RESET)
        else:
            self._haste.refund(1)
            self.abandoned = True

    def on_response(self, status: int, fields: list[Field], ended: bool) -> None:
        """2xx opens the flow (RFC 9113 §8.5); anything else is a refusal with a reason."""
        if self.ended:
            return  # the flow ended while the answer was on its way, at a tenant switch above all
        if self.abandoned:
            self.reset(Reason.CLIENT_RESET)
            return
        if 200 <= status < 300 and not ended:
            self.answered = True
            self.flow.opened(self)
            return
        reason = refusal_reason(status, fields)
        flow = self.flow
        self.mux.codec.reset(self.stream, ErrorCode.CANCEL)  # our direction is still open
        self.mux.flush_soon()
        self.cut()
        flow.stream = None
        flow.router.refused_by_edge(flow, reason)

    def on_reset(self, reason: Reason) -> None:
        """Before the answer a reset is a refusal, after it the flow broke."""
        if self.answered:
            super().on_reset(reason)
        elif self.abandoned:
            self.cut()
        elif not self.ended:
            self.cut()
            self.flow.stream = None
            self.flow.router.refused_by_edge(self.flow, reason)

    def _end(self) -> None:
        super()._end()
        self._siblings.discard(self)


def refusal_reason(status: int, fields: list[Field]) -> Reason:
    """Return the reason that an edge, ours or a foreign proxy, gives for a refusal."""
    for name, value in fields:
        if name == b"proxy-status":
            named = reason_named(decode_proxy_status(value.decode("latin-1"))[1])
            if named is not None:
                return named
    return _BY_STATUS.get(status, Reason.EDGE_UNREACHABLE if status >= 500 else Reason.TOKEN_ACTOR)


_BY_STATUS = {
    400: Reason.MALFORMED_REQUEST,
    401: Reason.TOKEN_MISSING,
    407: Reason.INSUFFICIENT_CLAIMS,
    403: Reason.APPLICATION_NOT_ASSIGNED,
    429: Reason.TOO_MANY_FLOWS,
    503: Reason.ORIGIN_UNREACHABLE,
    504: Reason.ORIGIN_TIMEOUT,
}

