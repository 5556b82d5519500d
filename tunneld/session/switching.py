"""A tenant switch as a plan of values: prepare beside the old tenant, commit by one assignment, retire the old one.

The plan decides what is built and what is retired; `client/switchboard.py` carries it out. Everything before COMMIT
can be undone without the old tenant noticing, which a test proves by failing at every step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from tunneld.model.reasons import Reason
from tunneld.model.verdict import TERMINATE, Channel, SwitchPolicy


class Mode(StrEnum):
    """How tenants share the daemon."""

    EXCLUSIVE = "exclusive"  # one tenant at a time: every tunnel of the old one is retired


RETIRED_IN = {Mode.EXCLUSIVE: frozenset(Channel)}
"""The channels of the tenant one leaves that each mode retires."""


class Phase(StrEnum):
    """The three phases of a switch, in order."""

    PREPARE = "prepare"
    COMMIT = "commit"
    RETIRE = "retire"


class StepKind(StrEnum):
    """One thing to do. Declaration order is the order of execution."""

    SIGN_IN = "sign_in"
    FETCH_PROFILE = "fetch_profile"
    ENROL = "enrol"  # a key and a client certificate of the target tenant
    BUILD = "build"  # a tunnel of one channel, ready
    PROBE = "probe"  # one round trip through it
    ASSIGN = "assign"  # the commit itself
    RETIRE = "retire"  # one tunnel of the old tenant
    REMEMBER = "remember"  # the selection, so that it survives a restart


PHASE_OF = {
    StepKind.SIGN_IN: Phase.PREPARE,
    StepKind.FETCH_PROFILE: Phase.PREPARE,
    StepKind.ENROL: Phase.PREPARE,
    StepKind.BUILD: Phase.PREPARE,
    StepKind.PROBE: Phase.PREPARE,
    StepKind.ASSIGN: Phase.COMMIT,
    StepKind.RETIRE: Phase.RETIRE,
    StepKind.REMEMBER: Phase.RETIRE,
}


class Step(NamedTuple):
    """One step of a plan; `channel` is set where the step concerns one tunnel."""

    kind: StepKind
    channel: Channel | None = None

    @property
    def phase(self) -> Phase:
        return PHASE_OF[self.kind]


@dataclass(frozen=True, slots=True)
class Standing:
    """A tenant as the plan sees it: who it is and which channels it has (or, for a target, will have)."""

    tenant_id: str
    channels: frozenset[Channel]


OPENING = (Step(StepKind.SIGN_IN), Step(StepKind.FETCH_PROFILE))
"""What must happen before the target's channels are known, and so before there can be a plan."""


def allowed_channels(named: Iterable[Channel], *, home: bool, machine_bound: bool) -> frozenset[Channel]:
    """Return which of the channels that a profile names this user may have.

    In a resource tenant an external user has the private channel only; a machine that belongs to the tenant has all.
    """
    every = frozenset(named)
    return every if home or machine_bound else every & {Channel.PRIVATE}


def plan(current: Standing | None, target: Standing, *, mode: Mode = Mode.EXCLUSIVE) -> tuple[Step, ...]:
    """Return the steps that follow OPENING, in order, to leave `current` (None: nothing is active) for `target`."""
    built = _ordered(target.channels)
    steps = [Step(StepKind.ENROL)] if built else []
    steps += [Step(StepKind.BUILD, channel) for channel in built]
    # One probe is enough: the channels of a tenant share its identity, and each session is ready by now.
    steps += [Step(StepKind.PROBE, built[0])] if built else []
    steps.append(Step(StepKind.ASSIGN))
    left = current.channels & RETIRED_IN[mode] if current else frozenset[Channel]()
    steps += [Step(StepKind.RETIRE, channel) for channel in _ordered(left)]
    steps.append(Step(StepKind.REMEMBER))
    return tuple(steps)


def _ordered(channels: Iterable[Channel]) -> list[Channel]:
    """Private first: it is the channel that a switch is about, so its failure should come early."""
    order = [Channel.PRIVATE, *(channel for channel in Channel if channel is not Channel.PRIVATE)]
    return sorted(channels, key=order.index)


def on_switch_of(rule_id: str | None, policies: Mapping[str, SwitchPolicy]) -> SwitchPolicy:
    """Return what a flow's rule wants at a switch; a flow whose rule is gone is terminated."""
    return policies.get(rule_id, TERMINATE) if rule_id is not None else TERMINATE


class FlowCounts(NamedTuple):
    """What became of the old epoch's tunnelled flows."""

    terminated: int = 0
    drained: int = 0
    kept: int = 0


NO_FLOWS = FlowCounts()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a switch did, as told to whoever asked for it. `reason` is None exactly when it was committed."""

    source: str | None
    target: str
    epoch: int
    reason: Reason | None
    detail: str = ""
    prepare_ms: float | None = None
    commit_ms: float | None = None
    retire_ms: float | None = None
    flows: FlowCounts = NO_FLOWS
    old_epoch_bytes_after_commit: int | None = None

    @property
    def committed(self) -> bool:
        return self.reason is None

    def to_json(self) -> dict[str, object]:
        """Return the receipt's public form. A phase that was not reached is null."""
        return {
            "from": self.source,
            "to": self.target,
            "epoch": self.epoch,
            "committed": self.committed,
            "reason": self.reason.value if self.reason is not None else None,
            "detail": self.detail or None,
            "phases": {
                "prepare_ms": _rounded(self.prepare_ms),
                "commit_ms": _rounded(self.commit_ms),
                "retire_ms": _rounded(self.retire_ms),
            },
            "flows": self.flows._asdict(),
            "old_epoch_bytes_after_commit": self.old_epoch_bytes_after_commit,
        }


def total_bytes_after(counts: Iterable[int | None]) -> int | None:
    """Return the sum of what the edges counted, or None if one of them did not answer: a guess is not a count."""
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 3)
