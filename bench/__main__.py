"""`python -m bench`: every benchmark, the tables, the pictures; `--short` for every commit, `--gate` to judge it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import forward, gate, measures, plot, report, results, switch
from bench.children import ChildError
from bench.forward import SHORT_SYSTEMS, say
from bench.headlines import GATED, OURS, Row
from bench.systems import SYSTEMS
from bench.tables import forward_table
from bench.workload import UnmeasuredError

BASELINE = results.COMMITTED / "forward-short.json"  # ratios of the short form: it is compared with its like


def run_forward(folder: Path, *, short: bool) -> bool:
    """Run the forwarding comparison; False when the product itself could not be measured."""
    plan = measures.SHORT if short else measures.FULL
    result = forward.measure(plan, SHORT_SYSTEMS if short else tuple(SYSTEMS))
    results.write(folder / "forward.json", result)
    print(forward_table(result), flush=True)
    if plot.matplotlib_missing():
        say("no picture: matplotlib is not installed")
    elif OURS in result["systems"]:
        plot.draw_forward(result, folder / "forward.svg")
    return OURS in result["systems"]


def run_switch(folder: Path, *, short: bool) -> bool:
    """Run the switch benchmark; False when it could not be measured."""
    try:
        result = switch.measure(switch.SHORT if short else switch.FULL)
    except (ChildError, UnmeasuredError) as error:
        say(f"switch could not be measured: {error}")
        return False
    results.write(folder / "switch.json", result)
    print(switch.switch_table(result), flush=True)
    return True


BENCHMARKS: dict[str, Callable[..., bool]] = {"forward": run_forward, "switch": run_switch}


def gated(result: Row | None) -> dict[str, float]:
    """Return the ratios of a result that the gate judges."""
    found = (result or {}).get("ratios", {}).get(OURS, {})
    return {name: found[name] for name in GATED if name in found}


def judge(folder: Path) -> bool:
    """Compare the run in the folder with the committed one; measure once more before saying no.

    A neighbour on a shared machine can spoil one run of a minute. A regression spoils both.
    """
    committed = gated(results.read(BASELINE))
    if not committed:
        say(f"nothing to compare with: {BASELINE.name} is not there")
        return False
    for attempt in (1, 2):
        compared = gate.compare(committed, gated(results.read(folder / "forward.json")))
        print("\n".join(map(str, compared)), flush=True)
        if all(each.passed for each in compared):
            return True
        if attempt == 1:
            say("worse than allowed; measuring once more")
            run_forward(folder, short=True)
    return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few minutes; results go to bench/results/latest")
    parser.add_argument("--gate", action="store_true", help="fail when a ratio is more than 40 % worse than committed")
    parser.add_argument("--baseline", action="store_true", help="make this short run the one to compare with")
    parser.add_argument("--only", default=",".join(BENCHMARKS), help="comma-separated choice of %(default)s")
    chosen = parser.parse_args(arguments)
    names = chosen.only.split(",")
    if not set(names) <= set(BENCHMARKS):
        parser.error(f"choose among {', '.join(BENCHMARKS)}")
    if (chosen.gate or chosen.baseline) and not (chosen.short and "forward" in names):
        parser.error("--gate and --baseline go with --short and need forward")
    folder = results.LATEST if chosen.short else results.COMMITTED
    passed = [BENCHMARKS[name](folder, short=chosen.short) for name in names]
    if chosen.baseline and all(passed):
        found = results.read(folder / "forward.json")
        assert found is not None
        results.write(BASELINE, found)
    if not chosen.short:
        report.write()
    judged = judge(folder) if chosen.gate else True
    return 0 if all(passed) and judged else 1


if __name__ == "__main__":
    sys.exit(main())
