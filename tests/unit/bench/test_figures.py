"""The arithmetic behind the tables."""

from __future__ import annotations

import pytest

from bench.figures import paired_ratios, percentile, spread


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.01, 1), (0.5, 50), (0.505, 51), (0.99, 99), (0.991, 100), (1.0, 100)]
)
def test_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    """Of the numbers 1 to 100, in any order, the percentile is the number that its rank names."""
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_percentile_of_one_value_is_that_value() -> None:
    assert [percentile([7], share) for share in (0.0, 0.5, 0.99)] == [7, 7, 7]


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_spread_is_least_median_greatest() -> None:
    assert spread([4, 1, 9, 2]) == (1, 3, 9)


def test_ratios_pair_the_same_round_and_skip_holes() -> None:
    """A round counts only where both were measured: pairing by position in a shortened list would mix rounds."""
    assert paired_ratios([1.0, None, 3.0, 8.0], [2.0, 5.0, None, 4.0]) == [0.5, 2.0]
