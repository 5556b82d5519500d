"""What the classifier decides about a flow, and the small enumerations that a forwarding profile is written in."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from tunneld.model.reasons import Reason


class Protocol(StrEnum):
    """Transport protocol of a flow."""

    TCP = "tcp"
    UDP = "udp"


class Channel(StrEnum):
    """A class of traffic with its own tunnel. Declaration order is the order of evaluation."""

    ENTRA = "entra"
    MICROSOFT = "microsoft"
    PRIVATE = "private"
    INTERNET = "internet"


class Action(StrEnum):
    """What a rule asks for."""

    TUNNEL = "tunnel"
    BYPASS = "bypass"
    BLOCK = "block"


class Hardening(StrEnum):
    """What happens to a tunnel rule's flows while the edge is unreachable."""

    BLOCK = "block"
    BYPASS = "bypass"


class Outcome(StrEnum):
    """Where a flow goes. `direct` is also the answer when no rule matches."""

    TUNNEL = "tunnel"
    DIRECT = "direct"
    BLOCK = "block"


class SwitchPolicy(NamedTuple):
    """What becomes of a flow when its tenant is switched away from: `on_switch` of its rule."""

    kind: str  # "terminate" | "keep" | "drain"
    drain_s: int = 0

    def __str__(self) -> str:
        return f"drain:{self.drain_s}" if self.kind == "drain" else self.kind


TERMINATE = SwitchPolicy("terminate")
KEEP = SwitchPolicy("keep")


class Verdict(NamedTuple):
    """The classifier's answer for one destination. Immutable, shared between flows, safe to cache.

    `rule_id`, `channel`, `application` are None where no rule matched. `fingerprint` identifies the winning rule's
    content, so that a reload can tell whether a live flow's rule changed.
    """

    outcome: Outcome
    reason: Reason
    channel: Channel | None = None
    rule_id: str | None = None
    priority: int | None = None
    application: str | None = None
    hardening: Hardening | None = None
    on_switch: SwitchPolicy = TERMINATE
    fingerprint: int = 0
