"""The gate stops a commit for a ratio that is clearly worse, and for nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import __main__ as command
from bench import results
from bench.gate import compare


@pytest.mark.parametrize(
    ("measured", "passes"), [(0.5, True), (1.0, True), (1.39, True), (1.4, True), (1.41, False), (3.0, False)]
)
def test_forty_per_cent_is_the_line(measured: float, passes: bool) -> None:
    """39 % worse passes, 41 % worse fails."""
    (found,) = compare({"bulk": 1.0}, {"bulk": measured})
    assert found.passed is passes


def test_the_line_moves_with_the_committed_ratio() -> None:
    passed = [each.passed for each in compare({"bulk": 0.8, "ping_p50": 2.0}, {"bulk": 1.13, "ping_p50": 2.79})]
    assert passed == [False, True]


def test_a_figure_that_was_not_measured_fails() -> None:
    """A benchmark that measures nothing must not look like one that found nothing wrong."""
    (found,) = compare({"bulk": 1.0}, {})
    assert not found.passed
    assert "not measured" in str(found)


def test_a_new_figure_is_not_judged_before_it_is_committed() -> None:
    assert [each.figure for each in compare({"bulk": 1.0}, {"bulk": 1.0, "novel": 9.0})] == ["bulk"]


def _result(ratio: float) -> dict[str, object]:
    return {"ratios": {"tunneld": dict.fromkeys(("bulk", "short_1", "short_32", "ping_p50"), ratio)}}


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[float]]:
    """A folder with a committed ratio of 1.0, and the ratios that further runs will find."""
    upcoming: list[float] = []
    monkeypatch.setattr(command, "COMMITTED", tmp_path)
    results.write(tmp_path / "forward-short.json", _result(1.0))

    def rerun(folder: Path, *, short: bool) -> bool:
        assert short
        results.write(folder / "forward.json", _result(upcoming.pop(0)))
        return True

    monkeypatch.setitem(command.BENCHMARKS, "forward", rerun)
    return tmp_path, upcoming


@pytest.mark.parametrize(
    ("first", "further", "passes"),
    [(1.39, [], True), (1.41, [1.2], True), (1.41, [1.41], False)],
    ids=["good at once", "noise", "a regression"],
)
def test_one_bad_run_is_repeated_and_two_fail(
    judged: tuple[Path, list[float]], first: float, further: list[float], passes: bool
) -> None:
    folder, upcoming = judged
    upcoming += further
    results.write(folder / "forward.json", _result(first))
    assert command.judge(folder, "forward") is passes
    assert upcoming == []


def test_without_a_committed_result_the_gate_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "COMMITTED", tmp_path)
    results.write(tmp_path / "forward.json", _result(1.0))
    assert command.judge(tmp_path, "forward") is False


def test_a_run_becomes_the_one_to_compare_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "COMMITTED", tmp_path)
    results.write(tmp_path / "forward.json", _result(1.0))
    command.keep(tmp_path, ["forward", "switch"])
    assert command.judge(tmp_path, "forward") is True


def test_the_committed_baselines_hold_every_judged_figure() -> None:
    """A baseline without a figure would let that figure rot unseen."""
    for name, expected in (("forward", 4), ("classify", 2), ("decisions", 1)):
        baseline = results.read(results.COMMITTED / f"{name}-short.json")
        assert baseline is not None, name
        assert len(command.JUDGED[name](baseline)) == expected
