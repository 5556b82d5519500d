"""The gate of continuous integration: a same-run ratio may not be much worse than the committed one.

Absolute times are never compared: two runs on two machines, or on one noisy machine, differ by far more than a
regression does. A ratio to a peer measured in the same minutes holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

TOLERANCE = 0.40


class Comparison(NamedTuple):
    """One gated figure: the committed ratio, the one just measured, and whether it may pass."""

    figure: str
    committed: float
    measured: float | None
    passed: bool

    def __str__(self) -> str:
        shown = "not measured" if self.measured is None else f"{self.measured:.2f}"
        verdict = "ok" if self.passed else "WORSE THAN ALLOWED"
        allowed = f"committed {self.committed:.2f}, limit {limit(self.committed):.2f}"
        return f"{self.figure}: ratio {shown}, {allowed}: {verdict}"


def limit(committed: float) -> float:
    """Return the greatest ratio that still passes."""
    return committed * (1 + TOLERANCE)


def compare(committed: Mapping[str, float], measured: Mapping[str, float]) -> list[Comparison]:
    """Compare every committed ratio (smaller is better) with this run's; one that was not measured fails."""
    return [
        Comparison(figure, value, measured.get(figure), figure in measured and measured[figure] <= limit(value))
        for figure, value in committed.items()
    ]
