"""What every proxy handshake codec says and offers, so that one connection class can drive them all.

A handshake codec reads the client's side of a proxy protocol up to the point where the destination is known, and
writes the protocol's own success or refusal. It never looks behind the request: what follows is `trailing_data`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tunneld.model.errors import LocalProtocolError
from tunneld.model.reasons import Kind, Reason

Credentials = tuple[bytes, bytes]
"""User name and password that a client must present, as the bytes that travel."""


class FlowAsked(NamedTuple):
    """The client asked for a byte stream to `host`:`port`; answer with `accept` or `refuse`."""

    host: str  # as received: an IP address or a name that is not yet normalised
    port: int
    kind: str  # the spelling of the protocol that asked, for records


class ForwardAsked(NamedTuple):
    """The client speaks plain HTTP to be forwarded: hand every byte of `trailing_data` to `http_forward`."""


class HandshakeFailed(NamedTuple):
    """The handshake is over; the refusal, where the protocol has one, is in `data_to_send`."""

    reason: Reason
    detail: str


HandshakeEvent = FlowAsked | ForwardAsked | HandshakeFailed


class Handshake(Protocol):
    """The verbs of every handshake codec."""

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client; then look at `events` and `data_to_send`."""

    def receive_eof(self) -> None:
        """Take the client's end of stream; in the middle of a handshake that is a failure."""

    def events(self) -> list[HandshakeEvent]:
        """Return what happened since the last call."""

    def data_to_send(self) -> bytes:
        """Return the bytes to write to the client since the last call."""

    def accept(self, bound: tuple[str, int] | None = None) -> None:
        """Queue the success reply; `bound` is our address towards the destination where it is known."""

    def refuse(self, reason: Reason, detail: str = "") -> None:
        """Queue the protocol's refusal; close the connection after it is sent."""

    @property
    def trailing_data(self) -> bytes:
        """Bytes that came behind the request. They must not be acted on before `accept`."""


class HandshakeBuffers:
    """What every handshake codec keeps: bytes not used yet, events not taken yet, bytes not sent yet."""

    __slots__ = ("_buffer", "_events", "_out")

    def __init__(self) -> None:
        self._buffer = b""
        self._events: list[HandshakeEvent] = []
        self._out = b""

    @property
    def trailing_data(self) -> bytes:
        """Bytes behind the request. They must not be acted on before `accept`."""
        return self._buffer

    def events(self) -> list[HandshakeEvent]:
        """Return what happened since the last call."""
        events = self._events
        if events:
            self._events = []
        return events

    def data_to_send(self) -> bytes:
        """Return the bytes to write since the last call."""
        out = self._out
        self._out = b""
        return out


def require_refusal(reason: Reason) -> None:
    """Raise LocalProtocolError if `reason` is not one to refuse with: a refusal must never read as a success."""
    if reason.kind is Kind.OK:
        raise LocalProtocolError(f"{reason.value} is not a refusal")
