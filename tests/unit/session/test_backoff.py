"""Back-off as a sequence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunneld.session.backoff import CEILING_S, FIRST_HIGH_S, FIRST_LOW_S, STABLE_S, Backoff, ceiling

uniforms = st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=80)


def test_the_first_delay_is_between_50_and_250_ms() -> None:
    assert Backoff().next_delay(0.0) == pytest.approx(0.05)
    assert Backoff().next_delay(0.999999) == pytest.approx(0.25, abs=1e-5)


def test_ceilings_double_until_30_s_and_stay_there() -> None:
    assert [ceiling(n) for n in range(9)] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert ceiling(10_000) == CEILING_S


@given(uniforms)
def test_every_delay_lies_between_the_floor_and_its_ceiling(draws: list[float]) -> None:
    backoff = Backoff()
    for attempt, uniform in enumerate(draws):
        delay = backoff.next_delay(uniform)
        assert FIRST_LOW_S <= delay <= ceiling(attempt)
    assert backoff.attempts == len(draws)


@given(uniforms)
def test_the_same_draws_give_the_same_delays(draws: list[float]) -> None:
    one, two = Backoff(), Backoff()
    assert [one.next_delay(u) for u in draws] == [two.next_delay(u) for u in draws]


@given(st.integers(1, 60))
def test_a_stable_connection_starts_the_sequence_again_and_a_short_one_does_not(failures: int) -> None:
    backoff = Backoff()
    for _ in range(failures):
        backoff.next_delay(0.5)
    backoff.connected_for(STABLE_S - 0.001)
    assert backoff.attempts == failures
    backoff.connected_for(STABLE_S)
    assert backoff.attempts == 0
    assert backoff.next_delay(0.999) <= FIRST_HIGH_S
