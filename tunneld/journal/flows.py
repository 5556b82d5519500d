"""What is known about each flow: one mutable record while it lives, a bounded history when it ended."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from tunneld.journal.timestamps import rfc3339
from tunneld.model.reasons import Reason

ACTIVE, CLOSED, TERMINATED, REFUSED = "active", "closed", "terminated", "refused"

HISTORY = 1000  # closed flows kept for `tunneld flows`: as many rows as mitmproxy and browser tools show comfortably


class CorrelationIds:
    """An endless supply of W3C trace ids (32 hex digits): a random half for the process, a counter for the flow.

    A call costs a tenth of reading the system's randomness, and the counter makes ids of one process sort by age.
    """

    def __init__(self, seed: bytes) -> None:
        if len(seed) != 8 or not any(seed):
            raise ValueError("the seed is 8 bytes, not all zero")  # W3C Trace Context §3.2.2.3: zero is invalid
        self._prefix = seed.hex()
        self._numbers = itertools.count(1)

    def __call__(self) -> str:
        return f"{self._prefix}{next(self._numbers):016x}"


class Meter(Protocol):
    """Whoever counts a live flow's bytes, so that the data plane touches no record while bytes move."""

    def counts(self) -> tuple[int, int]:
        """Return bytes sent by and received by the application that opened the flow."""


@dataclass(slots=True, eq=False)
class FlowRecord:
    """One flow, from its request to its end. Only the code that moves its bytes changes it.

    `begin` and `end` are seconds since the epoch; they become text only when somebody asks.
    """

    flow_id: str
    correlation_id: str
    begin: float
    destination: str
    port: int
    protocol: str = "tcp"
    end: float | None = None
    state: str = ACTIVE
    reason: Reason | None = None
    detail: str = ""
    process: str | None = None
    tenant: str | None = None
    epoch: int | None = None
    channel: str | None = None
    rule_id: str | None = None
    application: str | None = None
    action: str | None = None
    hardening: str | None = None
    bytes_sent: int = 0
    bytes_received: int = 0
    source_port: int | None = None
    destination_ip: str | None = None
    user: str | None = None
    token_id: str | None = None
    home_tenant: str | None = None
    user_type: str | None = None
    fingerprint: int = 0
    meter: Meter | None = None

    def measure(self) -> None:
        """Take the byte counts over from the live socket, if the flow has one."""
        if self.meter is not None:
            self.bytes_sent, self.bytes_received = self.meter.counts()

    def to_json(self) -> dict[str, object]:
        """Return the public form: a line of `tunneld flows --json`."""
        self.measure()
        return {
            "flow_id": self.flow_id,
            "correlation_id": self.correlation_id,
            "begin": rfc3339(self.begin),
            "end": None if self.end is None else rfc3339(self.end),
            "state": self.state,
            "reason": None if self.reason is None else self.reason.value,
            "detail": self.detail or None,
            "protocol": self.protocol,
            "destination": self.destination,
            "port": self.port,
            "process": self.process,
            "tenant": self.tenant,
            "epoch": self.epoch,
            "channel": self.channel,
            "rule_id": self.rule_id,
            "application": self.application,
            "action": self.action,
            "hardening": self.hardening,
            "bytes_sent": self.bytes_sent,
            "bytes_received": self.bytes_received,
            "source_port": self.source_port,
            "destination_ip": self.destination_ip,
        }


Watcher = Callable[[FlowRecord], None]


class FlowTable:
    """The live flows of a program by id, the last ones that ended, and whoever wants to hear of both."""

    def __init__(self, *, history: int = HISTORY) -> None:
        self.live: dict[str, FlowRecord] = {}
        self.ended: deque[FlowRecord] = deque(maxlen=history)
        self.opened_total = 0
        self._watchers: list[Watcher] = []

    def open(self, record: FlowRecord) -> None:
        """Take up a flow that has begun."""
        self.live[record.flow_id] = record
        self.opened_total += 1
        if self._watchers:
            self._tell(record)

    def close(self, record: FlowRecord, state: str, reason: Reason, end: float) -> bool:
        """Note how a flow ended. Later calls for the same flow change nothing and return False: the first is true."""
        if record.end is not None:
            return False
        record.measure()
        record.meter = None
        record.end = end
        record.state = state
        record.reason = reason
        self.live.pop(record.flow_id, None)
        self.ended.append(record)
        if self._watchers:
            self._tell(record)
        return True

    def subscribe(self, watcher: Watcher) -> Callable[[], None]:
        """Call `watcher` with every record that opens or ends, until the returned function is called."""
        self._watchers.append(watcher)

        def unsubscribe() -> None:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

        return unsubscribe

    def find(self, flow_id: str) -> FlowRecord | None:
        """Return the live or remembered flow of that id."""
        record = self.live.get(flow_id)
        return record or next((ended for ended in reversed(self.ended) if ended.flow_id == flow_id), None)

    def newest(self, *, state: str | None = None, limit: int | None = None) -> list[FlowRecord]:
        """Return flows, the newest begin last: live and ended ones, or those in one state, at most `limit`."""
        chosen = sorted(self._in_state(state), key=_begin)
        return chosen if limit is None else chosen[max(0, len(chosen) - limit) :]

    def _in_state(self, state: str | None) -> Iterator[FlowRecord]:
        everyone = itertools.chain(self.ended, self.live.values())
        return everyone if state is None else (record for record in everyone if record.state == state)

    def _tell(self, record: FlowRecord) -> None:
        for watcher in tuple(self._watchers):
            watcher(record)


def _begin(record: FlowRecord) -> float:
    return record.begin
