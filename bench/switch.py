"""The tenant switch in the lab: whole and commit, with no live flows and with 1,000.

The lab is the one that `tunneld lab up` starts; a switch is what the control socket does for `tunneld switch`, timed
from the request to the last line of the answer. `python -m bench.switch` runs it alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import machine, results
from bench.children import ChildError, running, tail
from bench.figures import percentile
from bench.flows import SOCKS5, Endpoint
from bench.forward import say, soft_limit_to_hard
from bench.tables import table
from bench.workload import UnmeasuredError, Workload, read_line

READY_TIMEOUT = 90.0
FLOW_TIMEOUT = 60.0
TENANTS = ("fabrikam", "contoso")  # there and back; contoso is home and active when the lab is up
PHASES = ("prepare_ms", "commit_ms", "retire_ms")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """How many switches for each number of live flows."""

    switches: int
    flows: tuple[int, ...]


FULL = Plan(switches=100, flows=(0, 1000))
SHORT = Plan(switches=10, flows=(0, 200))


@dataclass(frozen=True, slots=True)
class LabReady:
    """What `lab up` said, as far as this benchmark uses it."""

    control: Path
    proxy_port: int
    echoes: dict[str, tuple[str, int]]


@contextmanager
def lab(folder: Path) -> Iterator[LabReady]:
    """Start the lab in the folder and yield its facts; it stops with the block."""
    log = folder / "lab.log"
    command = [sys.executable, "-m", "tunneld", "lab", "up", "--state", str(folder / "state")]
    with running(command, log, piped=True) as child:
        yield _ready(child, log)


def _ready(child: subprocess.Popen[bytes], log: Path) -> LabReady:
    try:
        ready: Row = read_line(child, READY_TIMEOUT, "tunneld lab up")
    except ChildError as error:
        raise ChildError(f"{error}: {tail(log)}") from None
    echoes = {}
    for tenant in TENANTS:
        echo = next(app for app in ready["apps"][tenant] if app["kind"] == "echo")
        host, _, port = echo["destination"].rpartition(":")
        echoes[tenant] = (host, int(port))
    return LabReady(Path(ready["control"]), int(ready["proxy"].rpartition(":")[2]), echoes)


def switch_once(control: Any, tenant: str) -> Row:
    """Switch and return the receipt with the time that the caller waited. Raises UnmeasuredError when refused."""
    began = time.perf_counter()
    last: Row = {}
    for line in control.lines("/v1/switch", {"tenant": tenant}):
        last = line
    whole = (time.perf_counter() - began) * 1000
    if not last.get("committed"):
        raise UnmeasuredError(f"switch to {tenant} was not committed: {last}")
    return {"to": tenant, "whole_ms": whole, **last["phases"], **_after(last)}


def _after(receipt: Row) -> Row:
    return {
        "terminated": receipt["flows"]["terminated"],
        "bytes_after_commit": receipt["old_epoch_bytes_after_commit"],
    }


def measure_flows(ready: LabReady, control: Any, work: Workload, count: int, plan: Plan) -> list[Row]:
    """Switch back and forth with `count` flows of the tenant that is left open each time."""
    found: list[Row] = []
    for number in range(plan.switches):
        left, target = TENANTS[(number + 1) % 2], TENANTS[number % 2]
        if count:
            endpoint = Endpoint(SOCKS5, ready.proxy_port, *ready.echoes[left])
            work.ask("hold", endpoint, FLOW_TIMEOUT, total=count)
        row = switch_once(control, target)
        if count:
            work.ask("release", None, FLOW_TIMEOUT)
            if row["terminated"] != count:
                raise UnmeasuredError(f"{count} flows were open, the receipt says {row['terminated']}")
        found.append(row)
    return found


def measure(plan: Plan) -> Row:
    """Start a lab, measure, and return the result."""
    from tunneld.lab.control import Control

    soft_limit_to_hard()
    series: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory(prefix="tunneld-bench-") as name:
        folder = Path(name)
        work = Workload(folder, origin_port=0)
        try:
            with lab(folder) as ready, Control(ready.control) as control:
                say("the lab is up")
                cold = [switch_once(control, tenant) for tenant in TENANTS]  # first tokens, first connections
                for count in plan.flows:
                    series[str(count)] = measure_flows(ready, control, work, count, plan)
                    say(f"{plan.switches} switches with {count:,} live flows: {summary(series[str(count)])}")
        finally:
            work.close()
    return {
        "benchmark": "switch",
        "machine": machine.facts(),
        "plan": asdict(plan),
        "cold": cold,
        "series": series,
        "summary": {count: summary(rows) for count, rows in series.items()},
    }


def summary(rows: Sequence[Row]) -> dict[str, float]:
    """Return p50 and p99 of the whole switch and of its phases, in ms, and the bytes that came late."""
    found = {
        f"{part.removesuffix('_ms')}_{label}": round(percentile([row[part] for row in rows], share), 2)
        for part in ("whole_ms", *PHASES)
        for label, share in (("p50", 0.5), ("p99", 0.99))
    }
    return {**found, "bytes_after_commit": sum(row["bytes_after_commit"] or 0 for row in rows)}


def switch_table(result: Row) -> str:
    """Return the percentiles as a table."""
    parts = ("whole", "prepare", "commit", "retire")
    head = ("switch, ms (p50 / p99)", *parts, "old bytes after commit")
    return table(
        head,
        [
            (
                f"{int(count):,} live flows",
                *(f"{row[part + '_p50']:.1f} / {row[part + '_p99']:.1f}" for part in parts),
                f"{row['bytes_after_commit']:.0f}",
            )
            for count, row in result["summary"].items()
        ],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark alone."""
    parser = argparse.ArgumentParser(prog="python -m bench.switch", description=__doc__)
    parser.add_argument("--short", action="store_true", help="the form for every commit")
    parser.add_argument("--switches", type=int, help="another number of switches")
    parser.add_argument("--out", type=Path, help="write the result here")
    chosen = parser.parse_args(arguments)
    plan = SHORT if chosen.short else FULL
    if chosen.switches:
        plan = Plan(chosen.switches, plan.flows)
    try:
        result = measure(plan)
    except (ChildError, UnmeasuredError) as error:
        say(f"switch could not be measured: {error}")
        return 1
    print(switch_table(result))
    if chosen.out:
        results.write(chosen.out, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
