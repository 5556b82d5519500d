"""Medians, percentiles and ratios: the arithmetic of every table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """Least, middle and greatest of a series."""

    least: float
    median: float
    greatest: float


def spread(values: Sequence[float]) -> Spread:
    """Return minimum, median and maximum of a series that is not empty."""
    return Spread(min(values), statistics.median(values), max(values))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile: the least value with a `share` (0 to 1) of the series at or below it."""
    if not values:
        raise ValueError("no values")
    rank = max(1, math.ceil(share * len(values)))
    return sorted(values)[rank - 1]


def paired_ratios(ours: Sequence[float | None], theirs: Sequence[float | None]) -> list[float]:
    """Return ours / theirs round by round, leaving out rounds where either was not measured."""
    return [a / b for a, b in zip(ours, theirs, strict=True) if a is not None and b]
