"""What is live right now: one immutable snapshot, replaced whole by one assignment.

The data plane reads `live.current` once per flow and keeps what it read, so a flow lives and dies with the tenant,
the profile and the epoch it was classified under.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tunneld.client.ports import Tunnel
from tunneld.forwarding.classifier import Classifier
from tunneld.forwarding.compile import CompiledProfile
from tunneld.journal.flows import FlowTable
from tunneld.model.verdict import Channel, SwitchPolicy


def _nothing() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class TenantSession:
    """The active tenant as the data plane sees it. Never changed: a switch or a new profile makes another one."""

    tenant: str | None
    """Short name; None while nobody is signed in."""
    tenant_id: str | None
    epoch: int
    classifier: Classifier
    profile: CompiledProfile | None = None
    channels: Mapping[Channel, Tunnel] = field(default_factory=_nothing)
    """The tunnels that the profile names and this user may have: the *expected* channels."""
    organization: str | None = None
    """The tenant's display name."""
    home: bool = True
    policies: Mapping[str, SwitchPolicy] = field(default_factory=_nothing)
    """`on_switch` by rule, of those rules that say anything but `terminate`."""


def nobody(epoch: int) -> TenantSession:
    """Return the session of a daemon that nobody is signed in to: everything goes direct."""
    return TenantSession(None, None, epoch, Classifier(None))


@dataclass(slots=True, eq=False)
class LiveState:
    """The one mutable cell between the control plane and the data plane."""

    flows: FlowTable
    current: TenantSession = field(default_factory=lambda: nobody(0))
    last_epoch: int = 0

    def next_epoch(self) -> int:
        """Return a number that no tunnel of this process had before, whether or not its switch commits."""
        self.last_epoch += 1
        return self.last_epoch
