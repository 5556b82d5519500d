"""Where the product spends its CPU: daemon and edge sampled under bulk, short flows and ping-pong.

`python -m bench.profile` writes results/profile.json and shows the functions that are on top.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import machine, report, results
from bench.forward import say, soft_limit_to_hard
from bench.measures import CONCURRENCY, MIB, TIMEOUT, Target, warm_up
from bench.systems import Running
from bench.systems.tunneld import Tunneld
from bench.tables import profile_table
from bench.workload import UnmeasuredError, Workload, workload

SAMPLER = Path(__file__).resolve().parent / "sampler.py"
WRITE_TIMEOUT = 5.0

Row = dict[str, Any]

WORKLOADS: dict[str, Row] = {
    "bulk up": {"verb": "bulk", "direction": "up", "size": 2048 * MIB},
    "bulk down": {"verb": "bulk", "direction": "down", "size": 2048 * MIB},
    "short flows, 32 at a time": {"verb": "short", "count": 20_000, "concurrency": CONCURRENCY},
    "ping-pong": {"verb": "ping", "count": 20_000},
}


def measure() -> Row:
    """Sample each workload on freshly started programs."""
    soft_limit_to_hard()
    found: dict[str, Row] = {}
    with tempfile.TemporaryDirectory(prefix="tunneld-bench-") as name, workload(Path(name)) as work:
        for title, order in WORKLOADS.items():
            say(f"sampling {title}")
            folder = Path(name) / str(len(found))
            folder.mkdir()
            outputs = {program: folder / f"{program}.profile.json" for program in ("daemon", "edge")}
            system = Tunneld(prefix={program: [str(SAMPLER), str(out)] for program, out in outputs.items()})
            with system.start(folder, work.origin_port) as running:
                found[title] = _sample(work, running, dict(order), outputs)
    return {"benchmark": "profile", "machine": machine.facts(), "workloads": found}


def _sample(work: Workload, running: Running, order: Row, outputs: dict[str, Path]) -> Row:
    target = Target(work, running, running.tunnel)
    warm_up(target)
    pids = {"daemon": running.client[0], "edge": running.edge[0]}
    for pid in pids.values():
        os.kill(pid, signal.SIGUSR1)
    work.ask(order.pop("verb"), target.endpoint, TIMEOUT, **order)
    for pid in pids.values():
        os.kill(pid, signal.SIGUSR2)
    return {program: _counts(path) for program, path in outputs.items()}


def _counts(path: Path) -> Row:
    deadline = time.monotonic() + WRITE_TIMEOUT
    while not path.exists():
        if time.monotonic() > deadline:
            raise UnmeasuredError(f"{path.name} was not written")
        time.sleep(0.02)
    counts: Row = json.loads(path.read_text())
    total = max(1, counts["samples"])
    return {
        "samples": counts["samples"],
        **{kind: {name: round(number / total, 3) for name, number in counts[kind][:20]} for kind in ("own", "total")},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Sample, print, write the result and the README's part."""
    argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__).parse_args(arguments)
    result = measure()
    results.write(results.COMMITTED / "profile.json", result)
    print(profile_table(result))
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
