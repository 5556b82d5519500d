"""What an application asks of us, and what the daemon answers: accept it with a far end, or refuse it with a reason."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

from tunneld.model import verdict
from tunneld.model.reasons import Reason
from tunneld.net.relay import FlowEnd

OnEnd = Callable[[Reason], None]


class LinkableEnd(FlowEnd, Protocol):
    """A far end whose `peer` can be set when the near end exists."""

    peer: FlowEnd


class FlowRequest(ABC):
    """One flow that an application wants. Answer it exactly once, with `accept` or `refuse`, now or later.

    `on_abandoned` is called if the application goes away before the answer; after that both answers do nothing but
    reset the far end that they are given.
    """

    __slots__ = ("host", "kind", "on_abandoned", "port", "process", "protocol", "source", "tag")

    def __init__(self, host: str, port: int, kind: str, source: tuple[str, int]) -> None:
        self.host = host  # as received, not yet normalised
        self.port = port
        self.kind = kind  # "socks5" | "socks4" | "socks4a" | "http-connect" | "http-forward"
        self.source = source
        self.protocol = verdict.Protocol.TCP
        # Looking a process up scans /proc for milliseconds (inbound/process.py), so nobody does it for each flow.
        self.process: str | None = None
        self.on_abandoned: Callable[[], None] | None = None
        self.tag: Any = None  # the opener's own, for `Opener.may_reuse`

    @abstractmethod
    def accept(
        self, far: LinkableEnd, on_end: OnEnd | None = None, bound: tuple[str, int] | None = None
    ) -> FlowEnd | None:
        """Send the success reply, link `far` with the near end, and let held early data flow.

        Returns the near end, or None after resetting `far` if the application is gone. `on_end(reason)` is called
        once, when the near end is over. `bound` is our address towards the destination, where it is known.
        """

    @abstractmethod
    def refuse(self, reason: Reason, detail: str = "") -> None:
        """Send the protocol's own refusal and close so that the application can read it."""


class Opener(Protocol):
    """Who decides about flows and opens them: the daemon."""

    def open(self, request: FlowRequest) -> None:
        """Classify `request` under the current epoch, then answer it, now or later."""

    def may_reuse(self, request: FlowRequest) -> bool:
        """Say whether an accepted `request` would be decided in the same way now: same epoch, same verdict.

        Asked before a kept-alive HTTP connection sends its next request on an open origin connection. False costs
        a new flow, never a wrong one.
        """
