"""From raw rounds to ratios, tables and the generated parts of the README."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import report, results
from bench.goals import Goal
from bench.headlines import headline, ratios
from bench.tables import forward_table, table


def _round(bulk: float, ping: float) -> dict[str, object]:
    cpu = {"client": bulk / 2, "edge": bulk / 2}
    return {
        "bulk_up": {**cpu, "mib_per_s": 100.0},
        "bulk_down": {**cpu, "mib_per_s": 100.0},
        "short_1": {**cpu, "flows_per_s": 1.0, "p50_us": 1.0, "p99_us": 2.0},
        "short_32": {"unmeasured": "the proxy refused"},
        "ping": {**cpu, "p50_us": ping, "p99_us": ping * 2},
    }


def _result() -> dict[str, object]:
    """Two systems, three rounds; the third is twice as slow for both, as when a neighbour is busy."""
    system = {"title": "t", "version": "1", "inbound": "socks5", "cipher": None, "checks": "c", "notes": []}
    pace = (1.0, 1.0, 2.0)
    rounds = [{"tunneld": _round(0.8 * p, 90 * p), "envoy": _round(1.0 * p, 100 * p)} for p in pace]
    idle = {"tunneld": {"1000": {"client_kib": 7.0, "edge_kib": 8.0}}, "envoy": {"1000": {"unmeasured": "why"}}}
    return {
        "machine": {
            "processor": "p", "cores": 2, "memory_gib": 4, "kernel": "k", "python": "3", "openssl": "o",
            "libraries": {"uvloop": "1"}, "commit": "abc", "time": "now", "load_average": 0.1,
        },
        "plan": {"idle": [1000], "direct": False},
        "seconds": 1,
        "systems": {"tunneld": system, "envoy": system},
        "left_out": {"pproxy": "not installed (pip install pproxy)"},
        "rounds": rounds,
        "idle_rounds": [idle],
        "ratios": {"tunneld": {"bulk": 0.8, "ping_p50": 0.9}},
    }  # fmt: skip


def test_a_slow_round_does_not_move_the_ratio() -> None:
    """The noise of a shared machine hits both systems of a round, so it cancels."""
    found = ratios(_result(), "tunneld")
    assert found["bulk"] == pytest.approx(0.8)
    assert found["ping_p50"] == pytest.approx(0.9)
    assert "short_32" not in found


def test_a_headline_adds_client_and_edge_and_averages_directions() -> None:
    rounds = [{"x": {"bulk_up": {"client": 1, "edge": 2}, "bulk_down": {"client": 3, "edge": 4}}}, {"x": {}}]
    assert headline(rounds, "x", "bulk") == [5.0, None]


def test_tables_show_what_was_not_measured_and_who_is_left_out() -> None:
    shown = forward_table(_result())
    assert "0.80 (0.80 to 0.80)" in shown
    assert "pproxy is left out: not installed (pip install pproxy)" in shown
    assert "- (why)" in shown


def test_table_is_markdown() -> None:
    assert table(("a", "b"), [("long name", "1")]).splitlines() == [
        "| a         | b |",
        "|-----------|--:|",
        "| long name | 1 |",
    ]


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [(0.9, "reached"), (0.95, "within the limit"), (1.01, "**missed**"), (None, "not measured")],
)
def test_a_goal_is_judged_without_rounding_up(measured: float | None, verdict: str) -> None:
    assert Goal("bulk", 0.9, 1.0, measured, "x Envoy").verdict == verdict


def test_generated_parts_replace_only_what_is_between_their_markers() -> None:
    text = "by hand\n<!-- begin goals -->\nold\n<!-- end goals -->\nby hand too\n"
    assert report.fill(text, {"goals": r"new \1"}) == (
        "by hand\n<!-- begin goals -->\n" r"new \1" "\n<!-- end goals -->\nby hand too\n"
    )
    with pytest.raises(KeyError, match="elsewhere"):
        report.fill(text, {"elsewhere": ""})


def test_the_readme_has_a_place_for_every_generated_part(tmp_path: Path) -> None:
    """A renamed marker would silently leave an old table in the README."""
    readme = tmp_path / "README.md"
    readme.write_text(report.README.read_text())
    results.write(tmp_path / "forward.json", _result())
    report.write(tmp_path, readme)
    assert "0.80 (0.80 to 0.80)" in readme.read_text()


def test_the_committed_readme_is_generated_from_the_committed_results(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(report.README.read_text())
    report.write(results.COMMITTED, readme)
    assert readme.read_text() == report.README.read_text()


def test_results_survive_writing_and_reading(tmp_path: Path) -> None:
    results.write(tmp_path / "r.json", _result())
    assert results.read(tmp_path / "r.json") == _result()
    assert results.read(tmp_path / "missing.json") is None
