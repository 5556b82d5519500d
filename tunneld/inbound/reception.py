"""What all connections of one listener share: who opens flows, the password, the deadlines and the counters."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from tunneld.inbound import INBOUNDS, InboundKind
from tunneld.inbound.deadlines import Deadlines
from tunneld.inbound.request import Opener
from tunneld.model.reasons import Reason
from tunneld.wire.handshake import Credentials, Handshake

HANDSHAKE_S = 10.0  # Over all, not per read, against slow senders. Apache's mod_reqtimeout allows 20 s and growing.
# A flood that pushes out an honest handshake of 10 ms would need 100,000 connections a second.
MAX_HANDSHAKES = 1024
LINGER_S = 2.0  # RFC 1928 §6 allows 10 s between a refusal and the close; nginx's lingering_timeout is 5 s.
IDLE_S = 75.0  # A kept-alive HTTP connection without a request: nginx's keepalive_timeout.

OnFailure = Callable[[Reason, str, tuple[str, int]], None]


class Closing(Protocol):
    """A connection that can be cut off when the listener closes."""

    def cut(self) -> None:
        """Close at once."""


def _by_first_byte(inbounds: dict[str, InboundKind]) -> tuple[Callable[[Credentials | None], Handshake] | None, ...]:
    table: list[Callable[[Credentials | None], Handshake] | None] = [None] * 256
    for name, kind in inbounds.items():
        for byte in kind.first_bytes:
            if table[byte] is not None:
                raise ValueError(f"{name}: first byte {byte:#04x} belongs to another protocol")
            table[byte] = kind.codec
    return tuple(table)


CODEC_BY_FIRST_BYTE = _by_first_byte(INBOUNDS)


class Reception:
    """The shared state of one listener's connections."""

    __slots__ = (
        "_on_failure",
        "credentials",
        "failures",
        "forwarders",
        "handshakes",
        "idle",
        "lingering",
        "loop",
        "opener",
    )

    def __init__(
        self,
        opener: Opener,
        *,
        credentials: Credentials | None = None,
        on_failure: OnFailure | None = None,
        handshake_s: float = HANDSHAKE_S,
        idle_s: float = IDLE_S,
        max_handshakes: int = MAX_HANDSHAKES,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.opener = opener
        self.credentials = credentials
        self.failures: Counter[Reason] = Counter()  # handshakes that never became a flow
        self.handshakes = Deadlines(self.loop, handshake_s, max_handshakes)
        self.lingering = Deadlines(self.loop, LINGER_S, max_handshakes)
        self.idle = Deadlines(self.loop, idle_s)
        self.forwarders: set[Closing] = set()
        self._on_failure = on_failure

    def failed(self, reason: Reason, detail: str, source: tuple[str, int]) -> None:
        """Count a handshake that never became a flow, and tell whoever wants to log it."""
        self.failures[reason] += 1
        if self._on_failure is not None:
            self._on_failure(reason, detail, source)

    def close(self) -> None:
        """Cut every connection that is not a flow yet, and every HTTP forwarder."""
        for deadlines in (self.handshakes, self.lingering, self.idle):
            deadlines.close()
        for forwarder in tuple(self.forwarders):
            forwarder.cut()
