"""`python -m bench`: every benchmark, the tables, the pictures; `--short` for every commit, `--gate` to judge it."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import classify, decisions, forward, gate, measures, plot, profile, report, results, switch, tokens
from bench.children import ChildError
from bench.forward import SHORT_SYSTEMS, say
from bench.headlines import GATED, OURS, Row
from bench.systems import SYSTEMS
from bench.tables import forward_table, profile_table
from bench.workload import UnmeasuredError

COMMITTED = results.COMMITTED  # holds the short form's results too: a short run is compared with its like


def run_classify(folder: Path, *, short: bool) -> bool:
    """Run the classification benchmark."""
    result = classify.measure(classify.SHORT if short else classify.FULL)
    results.write(folder / "classify.json", result)
    print(classify.classify_table(result), flush=True)
    draw(plot.draw_classify, result, folder / "classify.svg")
    return True


def run_decisions(folder: Path, *, short: bool) -> bool:
    """Run the benchmark of the sign-in decision."""
    result = decisions.measure(decisions.SHORT if short else decisions.FULL)
    results.write(folder / "decisions.json", result)
    print(decisions.decisions_table(result), flush=True)
    return True


def run_forward(folder: Path, *, short: bool) -> bool:
    """Run the forwarding comparison; False when the product itself could not be measured."""
    plan = measures.SHORT if short else measures.FULL
    result = forward.measure(plan, SHORT_SYSTEMS if short else tuple(SYSTEMS))
    results.write(folder / "forward.json", result)
    print(forward_table(result), flush=True)
    if OURS in result["systems"]:
        draw(plot.draw_forward, result, folder / "forward.svg")
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


def run_tokens(folder: Path, *, short: bool) -> bool:
    """Run the token benchmark; False when a flow waits for its admission longer than it may."""
    result = tokens.measure(tokens.SHORT if short else tokens.FULL)
    results.write(folder / "tokens.json", result)
    print(tokens.tokens_table(result), flush=True)
    return bool(result["admission_us"] <= result["goal_admission_us"])


def draw(picture: Callable[[Row, Path], None], result: Row, path: Path) -> None:
    """Draw a picture where that is possible."""
    if plot.matplotlib_missing():
        say("no picture: matplotlib is not installed")
    else:
        picture(result, path)


def run_profile(folder: Path, *, short: bool) -> bool:
    """Sample the product; False when it could not be done."""
    assert not short, "there is no short form"
    try:
        result = profile.measure()
    except (ChildError, UnmeasuredError) as error:
        say(f"the profile could not be taken: {error}")
        return False
    results.write(folder / "profile.json", result)
    print(profile_table(result), flush=True)
    return True


BENCHMARKS: dict[str, Callable[..., bool]] = {
    "classify": run_classify,
    "decisions": run_decisions,
    "forward": run_forward,
    "switch": run_switch,
    "tokens": run_tokens,
    "profile": run_profile,
}


def forward_ratios(result: Row) -> dict[str, float]:
    """Return the ratios to the reference that the gate judges."""
    found = result["ratios"].get(OURS, {})
    return {name: found[name] for name in GATED if name in found}


def classify_ratios(result: Row) -> dict[str, float]:
    """Return how much dearer an uncached decision is with many rules than with few."""
    return {f"growth of {name}": result["growth"][name] for name in ("uncached_hit_ns", "uncached_miss_ns")}


def decisions_ratios(result: Row) -> dict[str, float]:
    """Return how much dearer a decision is with many partners than with one."""
    return {"growth of decision_us": result["growth"]["decision_us"]}


JUDGED: dict[str, Callable[[Row], dict[str, float]]] = {
    "classify": classify_ratios, "decisions": decisions_ratios, "forward": forward_ratios,
}


def judge(folder: Path, name: str) -> bool:
    """Compare a run in the folder with the committed one; measure once more before saying no.

    A neighbour on a shared machine can spoil one run of a minute. A regression spoils both.
    """
    committed = results.read(COMMITTED / f"{name}-short.json")
    if committed is None:
        say(f"nothing to compare with: {name}-short.json is not there")
        return False
    for attempt in (1, 2):
        found = results.read(folder / f"{name}.json")
        compared = gate.compare(JUDGED[name](committed), JUDGED[name](found) if found else {})
        print("\n".join(map(str, compared)), flush=True)
        if all(each.passed for each in compared):
            return True
        if attempt == 1:
            say("worse than allowed; measuring once more")
            BENCHMARKS[name](folder, short=True)
    return False


def keep(folder: Path, names: Sequence[str]) -> None:
    """Make the results in the folder the ones that later runs are compared with."""
    for name in names:
        found = results.read(folder / f"{name}.json")
        if name in JUDGED and found is not None:
            results.write(COMMITTED / f"{name}-short.json", found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few minutes; results go to bench/results/latest")
    parser.add_argument("--gate", action="store_true", help="fail when a ratio is more than 40 %% worse than committed")
    parser.add_argument("--baseline", action="store_true", help="make this short run the one to compare with")
    parser.add_argument("--only", help=f"comma-separated choice of {', '.join(BENCHMARKS)}")
    chosen = parser.parse_args(arguments)
    offered = [name for name in BENCHMARKS if not (chosen.short and name == "profile")]
    names = chosen.only.split(",") if chosen.only else offered
    if not set(names) <= set(offered):
        parser.error(f"choose among {', '.join(offered)}")
    if (chosen.gate or chosen.baseline) and not chosen.short:
        parser.error("--gate and --baseline go with --short")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that every block is left in order
    folder = results.LATEST if chosen.short else COMMITTED
    passed = [BENCHMARKS[name](folder, short=chosen.short) for name in names]
    if chosen.baseline and all(passed):
        keep(folder, names)
    if not chosen.short:
        report.write()
    judged = [judge(folder, name) for name in names if name in JUDGED and chosen.gate]
    return 0 if all(passed) and all(judged) else 1


if __name__ == "__main__":
    sys.exit(main())
