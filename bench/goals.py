"""What the project set out to reach, and what the results say about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bench.figures import spread
from bench.headlines import OURS, REFERENCE, Row
from bench.tables import table


class Goal(NamedTuple):
    """One figure: smaller is better; `worst` is the outer limit where there is one."""

    name: str
    goal: float
    worst: float | None
    measured: float | None
    unit: str

    @property
    def verdict(self) -> str:
        """Say in words whether it was reached."""
        if self.measured is None:
            return "not measured"
        if self.measured <= self.goal:
            return "reached"
        if self.worst is not None and self.measured <= self.worst:
            return "within the limit"
        return "**missed**"

    @property
    def shown_goal(self) -> str:
        """The goal as text."""
        return f"≤ {self.goal:g}" + (f", at worst {self.worst:g}" if self.worst is not None else "") + f" {self.unit}"


RATIO_GOALS = (
    ("bulk", "bulk, CPU per GiB, client + edge", 0.9, 1.0),
    ("short_1", "short flow, CPU, one at a time", 1.0, 1.3),
    ("short_32", "short flow, CPU, 32 at a time", 1.0, 1.3),
    ("ping_p50", "64-byte round trip, p50", 1.1, 1.3),
)


def forward_goals(result: Row) -> Iterator[Goal]:
    """Yield the goals of forwarding."""
    found = result["ratios"].get(OURS, {}) if REFERENCE in result["systems"] else {}
    for figure, name, goal, worst in RATIO_GOALS:
        yield Goal(name, goal, worst, found.get(figure), "x Envoy")
    for count in result["plan"]["idle"]:
        rows = [found.get(OURS, {}).get(str(count), {}) for found in result["idle_rounds"]]
        values = [row["client_kib"] for row in rows if "client_kib" in row]
        measured = round(spread(values).median, 1) if values else None
        yield Goal(f"memory of an idle flow in the daemon, {count:,} flows", 15, None, measured, "KiB")


def switch_goals(result: Row) -> Iterator[Goal]:
    """Yield the goals of the tenant switch, with the greatest number of live flows."""
    count = max(result["summary"], key=int)
    row = result["summary"][count]
    yield Goal(f"switch commit, p99, {int(count):,} live flows", 5, None, row["commit_p99"], "ms")
    yield Goal(f"whole switch, p99, {int(count):,} live flows", 150, None, row["whole_p99"], "ms")
    yield Goal("bytes of the old epoch after the commit", 0, None, row["bytes_after_commit"], "bytes")


def classify_goals(result: Row) -> Iterator[Goal]:
    """Yield the goals of classification: hit and miss, whichever is dearer, at the greatest number of rules."""
    sizes, growth = result["sizes"], result["growth"]
    count = max(sizes, key=int)
    for kind, goal in (("cached", 1.0), ("uncached", 5.0)):
        dearest = max(sizes[count][f"{kind}_{way}_ns"] for way in ("hit", "miss"))
        yield Goal(f"{kind} decision, {int(count):,} rules", goal, None, round(dearest / 1000, 2), "µs")
    dearest = max(growth[f"{kind}_{way}_ns"] for kind in ("cached", "uncached") for way in ("hit", "miss"))
    yield Goal(f"its cost compared with {growth['from']} rules", 1.5, None, dearest, "times")
    yield Goal(f"compiling {int(count):,} rules", 5, None, sizes[count]["compile_s"], "s")


def decisions_goals(result: Row) -> Iterator[Goal]:
    """Yield the goals of the sign-in decision: 5,000 a second, and its cost hardly growing with the partners."""
    count = max(result["sizes"], key=int)
    policies = result["plan"]["policies"]
    name = f"sign-in decision, {int(count):,} partners, {policies} policies"
    yield Goal(name, 200, None, result["sizes"][count]["decision_us"], "µs")
    yield Goal(f"its cost compared with {result['growth']['from']} partner", 1.5, None,
               result["growth"]["decision_us"], "times")


def tokens_goals(result: Row) -> Iterator[Goal]:
    """Yield the goal of admission with a warm cache."""
    name = "admission of a flow, token and key at hand"
    yield Goal(name, result["goal_admission_us"], None, result["admission_us"], "µs")


def goal_table(goals: list[Goal]) -> str:
    """Return the goals as a table, and in a sentence what was missed and by how much."""
    missed = [
        f"{goal.name} ({goal.measured:g} {goal.unit}, {goal.measured / goal.goal:.2f} times the goal)"
        if goal.measured and goal.goal
        else f"{goal.name} ({goal.verdict.strip('*')})"
        for goal in goals
        if goal.verdict not in ("reached", "within the limit")
    ]
    summary = f"Missed: {'; '.join(missed)}." if missed else "Nothing was missed."
    return _table(goals) + "\n\n" + summary


def _table(goals: list[Goal]) -> str:
    return table(
        ("figure", "goal", "measured", "verdict"),
        [
            (goal.name, goal.shown_goal, "-" if goal.measured is None else f"{goal.measured:g}", goal.verdict)
            for goal in goals
        ],
    )
