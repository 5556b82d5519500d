"""The headline figures of the forwarding benchmark: how the raw rounds become one number and one ratio."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.figures import paired_ratios, spread

REFERENCE = "envoy"
OURS = "tunneld"

Row = dict[str, Any]


def brief(row: Row) -> str:
    """Return one measurement in a few characters."""
    if "unmeasured" in row:
        return "-"
    shown = f"{row['client'] + row['edge']:.4g}"
    return f"{shown}/p50 {row['p50_us']:.0f}" if "p50_us" in row else shown


# The headline figures: name → (measures to average, what to add up). Smaller is better for all.
HEADLINES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "bulk": (("bulk_up", "bulk_down"), ("client", "edge")),
    "bulk_up": (("bulk_up",), ("client", "edge")),
    "bulk_down": (("bulk_down",), ("client", "edge")),
    "short_1": (("short_1",), ("client", "edge")),
    "short_32": (("short_32",), ("client", "edge")),
    "ping_p50": (("ping",), ("p50_us",)),
    "ping_p99": (("ping",), ("p99_us",)),
}
GATED = ("bulk", "short_1", "short_32", "ping_p50")  # p99 of a shared machine is no figure to stop a commit for


def headline(rounds: Sequence[Mapping[str, Row]], system: str, name: str) -> list[float | None]:
    """Return one headline figure of a system, round by round; None where it was not measured."""
    measures, parts = HEADLINES[name]
    series: list[float | None] = []
    for found in rounds:
        rows = [found.get(system, {}).get(measure, {}) for measure in measures]
        whole = all(part in row for row in rows for part in parts)
        series.append(sum(row[part] for row in rows for part in parts) / len(rows) if whole else None)
    return series


def ratios(result: Row, system: str, names: Iterable[str] = tuple(HEADLINES)) -> dict[str, float]:
    """Return the median over the rounds of system / reference for each headline figure that both have."""
    found = {
        name: paired_ratios(headline(result["rounds"], system, name), headline(result["rounds"], REFERENCE, name))
        for name in names
    }
    return {name: round(spread(values).median, 3) for name, values in found.items() if values}
