"""The near end of a forwarded flow: it lives in memory, between the h11 client and the far end that was opened."""

from __future__ import annotations

from typing import Protocol

from tunneld.inbound.deadlines import Deadlines
from tunneld.inbound.request import FlowRequest, LinkableEnd, OnEnd
from tunneld.model.reasons import Reason
from tunneld.net.relay import NOBODY, FlowEnd, SocketEnd
from tunneld.wire.http_forward import ForwardClient
from tunneld.wire.http_rewrite import RequestHead

_SHARED = memoryview(bytearray(64 * 1024))


class Forwarder(Protocol):
    """The client's side, as the origin's side sees it."""

    def opened(self, origin: OriginEnd) -> None:
        """A flow that was asked for is open."""

    def refused(self, reason: Reason, detail: str) -> None:
        """A flow that was asked for is refused."""

    def answered(self, origin: OriginEnd) -> None:
        """There are events in `origin.client`."""

    def broke(self, origin: OriginEnd, reason: Reason, detail: str = "") -> None:
        """The flow is over."""

    def closed(self, origin: OriginEnd) -> None:
        """The flow ended in order while nobody used it."""

    def unblocked(self) -> None:
        """The far end takes bytes again."""


class OriginRequest(FlowRequest):
    """A flow to the origin of a forwarded request."""

    __slots__ = ("_forwarder", "_lingering")

    def __init__(
        self, forwarder: Forwarder, authority: tuple[str, int], source: tuple[str, int], lingering: Deadlines
    ) -> None:
        super().__init__(authority[0], authority[1], "http-forward", source)
        self._forwarder: Forwarder | None = forwarder
        self._lingering = lingering

    def abandon(self) -> None:
        """Tell the opener that nobody waits any more."""
        self._forwarder = None
        if self.on_abandoned is not None:
            self.on_abandoned()

    def accept(
        self, far: LinkableEnd, on_end: OnEnd | None = None, bound: tuple[str, int] | None = None
    ) -> FlowEnd | None:
        """Link `far` with an end in memory and send the request that waits."""
        forwarder, self._forwarder = self._forwarder, None
        if forwarder is None:
            far.reset(Reason.CLIENT_RESET)
            return None
        near = OriginEnd(self, forwarder, far, on_end, self._lingering)
        far.peer = near
        forwarder.opened(near)
        return near

    def refuse(self, reason: Reason, detail: str = "") -> None:
        """Answer the request with `reason`."""
        forwarder, self._forwarder = self._forwarder, None
        if forwarder is not None:
            forwarder.refused(reason, detail)


class OriginEnd:
    """The near end of one origin connection. Its far side is the client codec, so that is what it counts."""

    __slots__ = (
        "_far", "_forwarder", "_lingering", "_on_end", "_successor",
        "blocked", "bytes_read", "bytes_written", "client", "peer", "request",
    )  # fmt: skip

    def __init__(
        self,
        request: OriginRequest,
        forwarder: Forwarder,
        far: LinkableEnd,
        on_end: OnEnd | None,
        lingering: Deadlines,
    ) -> None:
        self.request = request
        self.client = ForwardClient()
        self.peer: FlowEnd = far
        self._far = far
        self.bytes_read = 0
        self.bytes_written = 0
        self.blocked = False  # the far end's buffer is not empty
        self._forwarder: Forwarder | None = forwarder
        self._on_end = on_end
        self._lingering = lingering
        self._successor: SwitchedEnd | None = None

    # -- what the forwarder calls --------------------------------------------------------------------------------

    def serves(self, head: RequestHead) -> bool:
        """Say whether `head` may go out on this connection as far as HTTP is concerned."""
        return (self.request.host, self.request.port) == (head.host, head.port) and self.client.reusable

    def flush(self) -> None:
        """Send what the client codec has to say."""
        out = self.client.data_to_send()
        if out:
            self.bytes_read += len(out)
            self.peer.write(out)

    def leave(self) -> None:
        """Nobody needs this connection any more: end it in order if it is idle, break it in mid-exchange."""
        if self._forwarder is None:
            return
        self._forwarder = None
        if self.client.idle:
            self._lingering.add(self)
            self.peer.write_eof()
        else:
            self.fail(Reason.CLIENT_RESET)

    def fail(self, reason: Reason) -> None:
        """Break the flow."""
        self._forwarder = None
        peer = self.peer
        self._over(reason)
        peer.reset(reason)

    def switch(self) -> SwitchedEnd:
        """Leave HTTP: return an ordinary socket end, linked with the far end, that takes this one's place.

        Whoever accepted the flow keeps this end, so it goes on counting and passes a reset on.
        """
        self._successor = successor = SwitchedEnd(self, self._far, self._on_end)
        self._far.peer = successor
        self._forwarder = self._on_end = None
        self.peer = NOBODY
        return successor

    def expire(self) -> None:
        """Break a flow whose origin does not answer our FIN."""
        self.fail(Reason.COMPLETED)

    # -- what the far end calls ----------------------------------------------------------------------------------

    def borrow(self) -> memoryview:
        """Lend space for one read; it is consumed before anybody else can borrow."""
        return _SHARED

    def commit(self, size: int) -> None:
        """Read from the borrowed space."""
        self.write(_SHARED[:size])

    def write(self, data: memoryview | bytes) -> None:
        """Read bytes of the origin."""
        self.bytes_written += len(data)
        if self._forwarder is not None:
            self.client.receive_data(bytes(data))
            self._forwarder.answered(self)

    def write_eof(self) -> None:
        """The origin has said everything."""
        self.client.receive_eof()
        if self._forwarder is not None:
            self._forwarder.answered(self)
        if self._forwarder is not None:
            self._forwarder.closed(self)
            self.leave()
        self._over(Reason.COMPLETED)

    def reset(self, reason: Reason) -> None:
        """The far side broke."""
        if self._successor is not None:
            self._successor.reset(reason)
            return
        forwarder, self._forwarder = self._forwarder, None
        self._over(reason)
        if forwarder is not None:
            forwarder.broke(self, reason)

    def pause_reading(self) -> None:
        """Take no more of the request's body."""
        self.blocked = True

    def resume_reading(self) -> None:
        """Go on with the request's body."""
        self.blocked = False
        if self._forwarder is not None:
            self._forwarder.unblocked()

    def _over(self, reason: Reason) -> None:
        self._lingering.discard(self)
        self.peer = NOBODY
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(reason)


class SwitchedEnd(SocketEnd):
    """The near end after a 101: the client's own socket, still counted by the end that the flow began with."""

    __slots__ = ("_origin",)

    def __init__(self, origin: OriginEnd, far: LinkableEnd, on_end: OnEnd | None) -> None:
        super().__init__(far, lost_reason=Reason.CLIENT_RESET, on_end=on_end)
        self._origin = origin

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what was read."""
        self._origin.bytes_read += nbytes
        super().buffer_updated(nbytes)

    def write(self, data: memoryview | bytes) -> None:
        """Write to the socket."""
        self._origin.bytes_written += len(data)
        super().write(data)
