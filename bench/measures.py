"""The measurements of a forwarding system: each drives the load and reads what client and edge have spent."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench import cost
from bench.flows import Endpoint
from bench.systems.system import Running
from bench.workload import UnmeasuredError, Workload

GIB = 1 << 30
MIB = 1 << 20
SETTLE = 0.2  # after the last reply: closing the last flows is part of their cost
IDLE_SETTLE = 1.0
TIMEOUT = 60.0
SPARE_DESCRIPTORS = 300

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything: the full form for the record, the short form for every commit."""

    rounds: int
    bulk_bytes: int
    flows_alone: int
    flows_together: int
    pings: int
    idle: tuple[int, ...]
    idle_rounds: int
    direct: bool = True


FULL = Plan(
    rounds=7,
    bulk_bytes=512 * MIB,
    flows_alone=1500,
    flows_together=4000,
    pings=5000,
    idle=(1000, 10_000),
    idle_rounds=3,
)
SHORT = Plan(
    rounds=3, bulk_bytes=128 * MIB, flows_alone=400, flows_together=1200, pings=1500, idle=(500,), idle_rounds=1,
    direct=False,
)  # fmt: skip
TINY = Plan(rounds=1, bulk_bytes=4 * MIB, flows_alone=5, flows_together=40, pings=20, idle=(20,), idle_rounds=1)

CONCURRENCY = 32


@dataclass(frozen=True, slots=True)
class Target:
    """One system on one of its routes, with the workload that drives it."""

    work: Workload
    running: Running
    endpoint: Endpoint

    def spend(self, verb: str, units: float, **arguments: object) -> Figures:
        """Run one command; add CPU of client and edge per unit (seconds) to its figures."""
        before = self._clocks()
        answer = self.work.ask(verb, self.endpoint, TIMEOUT, **arguments)
        time.sleep(SETTLE)
        client, edge = (after - start for after, start in zip(self._clocks(), before, strict=True))
        return {**answer, "client": client / units, "edge": edge / units}

    def _clocks(self) -> tuple[float, float]:
        try:
            return cost.cpu_seconds(self.running.client), cost.cpu_seconds(self.running.edge)
        except OSError as error:
            raise UnmeasuredError(f"a measured process is gone: {error}") from None


def bulk(direction: str) -> Callable[[Target, Plan], Figures]:
    """Return the measurement of one large flow in one direction: CPU-seconds per GiB."""

    def measure(target: Target, plan: Plan) -> Figures:
        figures = target.spend("bulk", plan.bulk_bytes / GIB, direction=direction, size=plan.bulk_bytes)
        figures["mib_per_s"] = plan.bulk_bytes / MIB / figures.pop("seconds")
        return figures

    return measure


def short_alone(target: Target, plan: Plan) -> Figures:
    """Measure short flows one after the other: µs of CPU per flow."""
    return target.spend("short", plan.flows_alone / 1e6, count=plan.flows_alone, concurrency=1)


def short_together(target: Target, plan: Plan) -> Figures:
    """Measure short flows, 32 at a time: µs of CPU per flow."""
    return target.spend("short", plan.flows_together / 1e6, count=plan.flows_together, concurrency=CONCURRENCY)


def ping(target: Target, plan: Plan) -> Figures:
    """Measure 64-byte round trips on one open flow: latency, and µs of CPU per round trip."""
    return target.spend("ping", plan.pings / 1e6, count=plan.pings)


Measure = Callable[[Target, Plan], Figures]

MEASURES: dict[str, Measure] = {
    "bulk_up": bulk("up"),
    "bulk_down": bulk("down"),
    "short_1": short_alone,
    "short_32": short_together,
    "ping": ping,
}


def warm_up_flows(target: Target) -> None:
    """Run short flows, a few one by one before the many."""
    for count, concurrency in ((5, 1), (50, 4), (200, CONCURRENCY)):
        target.work.ask("short", target.endpoint, TIMEOUT, count=count, concurrency=concurrency)


def warm_up(target: Target) -> None:
    """Bring every path into use once, and prove that bytes arrive whole, before anything is counted."""
    work, endpoint = target.work, target.endpoint
    work.ask("check", endpoint, TIMEOUT, size=4 * MIB)
    work.ask("bulk", endpoint, TIMEOUT, direction="up", size=4 * MIB)
    warm_up_flows(target)
    work.ask("ping", endpoint, TIMEOUT, count=100)


def idle(target: Target, counts: tuple[int, ...]) -> dict[int, Figures | str]:
    """Open flows up to each count and return KiB of resident memory per flow, or why it could not be measured."""
    running = target.running
    found: dict[int, Figures | str] = {}
    warm_up_flows(target)
    time.sleep(IDLE_SETTLE)
    client, edge = cost.resident_bytes(running.client), cost.resident_bytes(running.edge)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        for count in counts:
            need = count * running.descriptors_per_flow + SPARE_DESCRIPTORS
            if need > limit:
                found[count] = f"needs {need:,} file descriptors a process, the limit is {limit:,}"
                continue
            target.work.ask("hold", target.endpoint, TIMEOUT, total=count)
            time.sleep(IDLE_SETTLE)
            found[count] = {
                "client_kib": (cost.resident_bytes(running.client) - client) / count / 1024,
                "edge_kib": (cost.resident_bytes(running.edge) - edge) / count / 1024,
            }
        target.work.ask("release", None, TIMEOUT)
    except UnmeasuredError as error:
        target.work.close()  # lets go of the flows that are open
        for count in counts:
            found.setdefault(count, str(error))
    return found
