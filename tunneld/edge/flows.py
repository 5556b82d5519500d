"""One flow at the edge: from an admitted CONNECT to the origin and to its two records."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tunneld.edge.connector import Origin
from tunneld.journal.flows import CLOSED, REFUSED, TERMINATED, FlowRecord
from tunneld.model.reasons import Kind, Reason
from tunneld.model.verdict import Protocol
from tunneld.net.attach import attach
from tunneld.net.dial import Dial
from tunneld.net.mux import Mux
from tunneld.net.relay import HoldingEnd, OriginEnd
from tunneld.net.stream_end import StreamEnd
from tunneld.policy.admission import Admit, DestinationGate, Refuse, holds
from tunneld.policy.claims_challenge import step_up_challenge
from tunneld.wire.h2.frames import ErrorCode
from tunneld.wire.h2.header_block import STATUS_200, encode_field
from tunneld.wire.h2.stream import Stream
from tunneld.wire.proxy_status import answer_for, encode_proxy_status

if TYPE_CHECKING:
    from tunneld.edge.session import EdgeSession

STREAMS_A_MESSAGE = 1000  # a stream's number has at most 10 digits, and a message of the control stream 16 KiB

_REFUSALS: dict[tuple[Reason, bool], bytes] = {}


def refusal_block(reason: Reason, challenge: str = "") -> bytes:
    """Return the header block that refuses a stream with `reason` (RFC 9209; RFC 9110 §11.7.1 for a challenge).

    Without a challenge a step-up is a plain 403: whoever sends 407 must say how to go on (RFC 9110 §15.5.8).
    """
    challenged = bool(challenge) and reason.kind is Kind.STEP_UP
    block = _REFUSALS.get((reason, challenged))
    if block is None:
        status = 403 if reason.kind is Kind.STEP_UP and not challenged else answer_for(reason).status
        block = encode_field(b":status", str(status).encode())
        block += encode_field(b"proxy-status", encode_proxy_status(reason).encode())
        _REFUSALS[reason, challenged] = block
    if challenged:
        value = f'Bearer error="insufficient_claims", claims="{challenge}"'
        block += encode_field(b"proxy-authenticate", value.encode())
    return block


def refuse_stream(mux: Mux, stream: Stream, reason: Reason) -> None:
    """Answer a stream with a refusal and be done with it."""
    mux.codec.send_headers(stream, refusal_block(reason), end_stream=True)
    StreamEnd(mux, stream).cut()
    mux.flush_soon()


def revocations(flows: Sequence[EdgeFlow], reason: Reason) -> Iterator[dict[str, Any]]:
    """Return the messages that tell the client why `flows` are about to be reset: RST_STREAM has no room for it."""
    for first in range(0, len(flows), STREAMS_A_MESSAGE):
        streams = [flow.stream.id for flow in flows[first : first + STREAMS_A_MESSAGE]]
        yield {"type": "revoked", "scope": "flows", "streams": streams, "reason": reason.value}


class EdgeFlow(StreamEnd):
    """A tunnelled flow's stream, and the origin behind it."""

    __slots__ = ("_dial", "_where", "grant", "origin", "record", "session")

    def __init__(self, session: EdgeSession, stream: Stream, record: FlowRecord) -> None:
        super().__init__(session.mux, stream, HoldingEnd())
        self.session = session
        self.record = record
        self.grant: Admit | None = None  # set when the flow names one that was accepted
        self.origin: OriginEnd | None = None
        self._dial: Dial | None = None
        self._where: Origin | None = None
        self.far_paused = True  # no credit before the origin has the bytes

    def counts(self) -> tuple[int, int]:
        """Return what went to and came from the origin (see `journal.flows.Meter`)."""
        origin = self.origin
        return (origin.bytes_written, origin.bytes_read) if origin is not None else (0, 0)

    @property
    def opened(self) -> bool:
        """Say whether bytes can move: the origin is connected and the client was told."""
        return not isinstance(self.peer, HoldingEnd)

    @property
    def application(self) -> str | None:
        """Return the application whose token the flow was admitted with."""
        return None if self.grant is None else self.grant.application

    def ended_by(self, gate: DestinationGate | None) -> Reason | None:
        """Return why `gate` does not admit this flow any more, None where it does."""
        record = self.record
        if gate is None or self.grant is None:
            return Reason.RULE_REMOVED
        decision = holds(gate, self.grant, record.destination, record.port, Protocol.TCP)
        if not isinstance(decision, Refuse):
            return None
        return decision.reason if decision.reason is Reason.INSUFFICIENT_CLAIMS else Reason.RULE_REMOVED

    # -- opening -------------------------------------------------------------------------------------------------

    def connect(self, where: Origin | Refuse | None) -> None:
        """Dial the origin; None means that its name must be resolved first."""
        if where is None:
            self.session.group.create_task(self._resolve(), name="locate")
        elif isinstance(where, Refuse):
            self.refuse(where.reason)
        else:
            self._start(where)

    async def _resolve(self) -> None:
        record = self.record
        where = await self.session.tenant.connector.locate(record.destination, record.port)
        if not self.ended:
            self.connect(where)

    def _start(self, where: Origin) -> None:
        self._where = where
        self._dial = Dial(self.mux.loop, where.addresses, where.port, self._connected, self._failed)
        self._dial.start()

    def _connected(self, sock: socket.socket, address: str) -> None:
        self.record.destination_ip = address
        self.origin = origin = OriginEnd(self._opened)
        attach(self.mux.loop, sock, origin, self.session.group)

    def _failed(self, reason: Reason) -> None:
        if reason is not Reason.ORIGIN_REFUSED and self._where is not None:
            self.session.tenant.connector.failed(self._where)
        self.refuse(reason)

    def _opened(self, origin: OriginEnd) -> None:
        """The origin's transport is there: answer 200 and let both directions flow."""
        where, early = self._where, self.peer
        if self.ended or where is None or not isinstance(early, HoldingEnd):
            origin.reset(Reason.CLIENT_RESET)
            return
        self.session.tenant.connector.reached(where)
        self.mux.codec.send_headers(self.stream, STATUS_200)
        self.mux.flush_soon()
        self.record.meter = self
        origin.on_end = self._over
        origin.peer = self
        if where.proxy_protocol:
            origin.write(self.session.proxy_header(self.record))
            origin.bytes_written = 0  # ours, not the user's
        self.peer = origin
        self.far_paused = False
        early.release(origin)
        if not self.far_paused:
            self.resume_reading()

    # -- what the connection calls -------------------------------------------------------------------------------

    def on_reset(self, reason: Reason) -> None:
        """The client reset the stream, or its connection broke."""
        if self.ended:
            return
        if self.opened:
            super().on_reset(reason)
        else:
            self._abandon()
            self.cut()
            self.session.flow_over(self, TERMINATED, reason)

    # -- ends ----------------------------------------------------------------------------------------------------

    def refuse(self, reason: Reason, context: str = "") -> None:
        """Say no instead of 200, and which authentication `context` would help."""
        if not self.ended:
            challenge = step_up_challenge(context) if context else ""
            self.mux.codec.send_headers(self.stream, refusal_block(reason, challenge), end_stream=True)
            self.mux.flush_soon()
            self.cut()
            self.session.flow_over(self, REFUSED, reason)

    def terminate(self, reason: Reason) -> None:
        """End the flow from our side: both far sides see a reset."""
        origin, opened = self.origin, self.opened
        if self.ended:
            if origin is not None:  # the stream is over, and its last bytes still wait for a slow origin
                origin.reset(reason)
            return
        self.mux.codec.reset(self.stream, ErrorCode.CONNECT_ERROR)
        self.mux.flush_soon()
        self.cut()
        if opened and origin is not None:
            origin.reset(reason)  # reports the end through `_over`
        else:
            self._abandon()
            self.session.flow_over(self, TERMINATED, reason)

    def _abandon(self) -> None:
        if self._dial is not None:
            self._dial.cancel()

    def _over(self, reason: Reason) -> None:
        self.session.flow_over(self, CLOSED if reason.kind is Kind.OK else TERMINATED, reason)
        self.origin = None  # untie the knot: flows are freed by their counts, without the collector
