"""Forwarding, beside its peers: bulk, short flows, latency, idle flows, direct flows.

Every round measures every system once, so that what the machine does meanwhile hits them alike; ratios are taken
within a round, and the median over the rounds is the figure. `python -m bench.forward` runs it alone.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from bench import machine, results
from bench.children import ChildError
from bench.headlines import OURS, REFERENCE, Row, brief, ratios
from bench.measures import FULL, MEASURES, SHORT, Plan, Target, idle, warm_up
from bench.systems import SYSTEMS, Running, System
from bench.tables import forward_table
from bench.workload import UnmeasuredError, Workload, workload

SHORT_SYSTEMS = (OURS, REFERENCE, "sing-box")


class InterleavedRun:
    """One run: starts the systems, measures them in interleaved rounds, collects what happened."""

    def __init__(self, plan: Plan, systems: Mapping[str, System], folder: Path) -> None:
        self.plan = plan
        self.systems = systems
        self.folder = folder
        self.left_out: dict[str, str] = {}
        self.described: dict[str, Row] = {}
        self.rounds: list[dict[str, Row]] = []
        self.idle_rounds: list[dict[str, Row]] = []

    def run(self) -> Row:
        """Measure everything and return the raw result."""
        began = time.monotonic()
        with workload(self.folder) as work:
            with ExitStack() as stack:
                started = self._start_all(stack, work)
                for number in range(self.plan.rounds):
                    self.rounds.append(self._round(number, started, work))
            for number in range(self.plan.idle_rounds):
                say(f"idle round {number + 1} of {self.plan.idle_rounds}")
                self.idle_rounds.append({name: self._idle(name, work, number) for name in started})
        return {
            "benchmark": "forward",
            "machine": machine.facts(),
            "plan": asdict(self.plan),
            "seconds": round(time.monotonic() - began),
            "systems": self.described,
            "left_out": self.left_out,
            "rounds": self.rounds,
            "idle_rounds": self.idle_rounds,
        }

    def _start_all(self, stack: ExitStack, work: Workload) -> dict[str, Running]:
        started: dict[str, Running] = {}
        for name, system in self.systems.items():
            why = system.missing()
            if why:
                self._leave_out(name, f"not installed ({why})")
                continue
            folder = self.folder / name
            folder.mkdir()
            own = ExitStack()
            try:
                running = own.enter_context(system.start(folder, work.origin_port))
                warm_up(Target(work, running, running.tunnel))
                if running.direct and self.plan.direct:
                    warm_up(Target(work, running, running.direct))
            except (ChildError, UnmeasuredError) as error:
                own.close()
                self._leave_out(name, f"did not start: {error}")
                continue
            stack.push(own)
            started[name] = running
            self.described[name] = describe(system, running)
            say(f"{name} {running.version} is up, {running.cipher or 'no TLS'}")
        return started

    def _leave_out(self, name: str, why: str) -> None:
        self.left_out[name] = why
        say(f"{name} is left out: {why}")

    def _round(self, number: int, started: Mapping[str, Running], work: Workload) -> dict[str, Row]:
        """Measure every system once, one measure after the other; each round begins with another system."""
        names = list(started)
        names = names[number % len(names) :] + names[: number % len(names)] if names else []
        found: dict[str, Row] = {name: {} for name in started}
        for measure in MEASURES:
            for name in names:
                running = started[name]
                found[name][measure] = self._take(measure, Target(work, running, running.tunnel))
                if running.direct and self.plan.direct:
                    found[name][f"direct_{measure}"] = self._take(measure, Target(work, running, running.direct))
            shown = "  ".join(f"{name} {brief(found[name][measure])}" for name in started)
            say(f"round {number + 1} of {self.plan.rounds}  {measure:10} {shown}")
        return found

    def _take(self, measure: str, target: Target) -> Row:
        try:
            figures = MEASURES[measure](target, self.plan)
        except UnmeasuredError as error:
            return {"unmeasured": str(error)}
        return {name: round(value, 4) for name, value in figures.items()}

    def _idle(self, name: str, work: Workload, number: int) -> Row:
        """Measure a freshly started system: memory that earlier flows left free would hide what idle ones need."""
        folder = self.folder / f"{name}-idle-{number}"
        folder.mkdir()
        try:
            with self.systems[name].start(folder, work.origin_port) as running:
                if not running.client:
                    return {}
                found = idle(Target(work, running, running.tunnel), self.plan.idle)
        except (ChildError, UnmeasuredError) as error:
            return {str(count): {"unmeasured": str(error)} for count in self.plan.idle}
        say(f"  {name}: " + ", ".join(f"{count:,} flows {value}" for count, value in found.items()))
        return {
            str(count): {"unmeasured": value}
            if isinstance(value, str)
            else {key: round(number_, 2) for key, number_ in value.items()}
            for count, value in found.items()
        }


def describe(system: System, running: Running) -> Row:
    """Return what a reader must know of a started system."""
    return {
        "title": system.title,
        "version": running.version,
        "inbound": running.tunnel.protocol,
        "cipher": running.cipher,
        "checks": running.checks,
        "notes": list(running.notes),
    }


def measure(plan: Plan, names: Iterable[str], *, systems: Mapping[str, System] = SYSTEMS) -> Row:
    """Run the comparison in a folder of its own and return the result with its ratios."""
    soft_limit_to_hard()
    with tempfile.TemporaryDirectory(prefix="tunneld-bench-") as folder:
        chosen = {name: systems[name] for name in names}
        result = InterleavedRun(plan, chosen, Path(folder)).run()
    result["ratios"] = {name: ratios(result, name) for name in result["systems"]}
    return result


def soft_limit_to_hard() -> None:
    """Allow this process and its children as many descriptors as the system grants."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def say(text: str) -> None:
    """Print progress to stderr, where it does not mix with results."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark alone."""
    parser = argparse.ArgumentParser(prog="python -m bench.forward", description=__doc__)
    parser.add_argument("--short", action="store_true", help="the form for every commit: under two minutes")
    parser.add_argument("--rounds", type=int, help="another number of rounds")
    parser.add_argument("--systems", default=None, help=f"comma-separated choice of {', '.join(SYSTEMS)}")
    parser.add_argument("--out", type=Path, default=None, help="write the result here instead of only printing it")
    chosen = parser.parse_args(arguments)
    plan = SHORT if chosen.short else FULL
    if chosen.rounds:
        plan = Plan(**{**asdict(plan), "rounds": chosen.rounds, "idle_rounds": min(chosen.rounds, plan.idle_rounds)})
    names = chosen.systems.split(",") if chosen.systems else SHORT_SYSTEMS if chosen.short else tuple(SYSTEMS)
    unknown = set(names) - set(SYSTEMS)
    if unknown:
        parser.error(f"unknown system {', '.join(sorted(unknown))}")
    result = measure(plan, names)
    print(forward_table(result))
    if chosen.out:
        results.write(chosen.out, result)
    return 0 if OURS in result["systems"] or OURS not in names else 1


if __name__ == "__main__":
    sys.exit(main())
