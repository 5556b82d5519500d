"""The pictures are drawn from a result file, the same each time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import results
from bench.plot import matplotlib_missing

PROGRAM = (
    "import sys; from pathlib import Path; from bench import plot, results\n"
    "draw = {'forward': plot.draw_forward, 'classify': plot.draw_classify}[sys.argv[1]]\n"
    "draw(results.read(Path(sys.argv[2])), Path(sys.argv[3]))\n"
)


@pytest.mark.skipif(matplotlib_missing(), reason="matplotlib comes with the bench extra")
@pytest.mark.parametrize("name", ["forward", "classify"])
def test_a_picture_depends_on_its_figures_alone(name: str, tmp_path: Path) -> None:
    """In a process of its own, as matplotlib warns about much that is not ours."""
    source = results.COMMITTED / f"{name}-short.json"
    pictures = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for picture in pictures:
        subprocess.run(
            [sys.executable, "-c", PROGRAM, name, str(source), str(picture)],
            env={**os.environ, "PYTHONPATH": str(results.BENCH.parent), "MPLCONFIGDIR": str(tmp_path)},
            check=True,
            timeout=60,
        )
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
    assert b"</svg>" in pictures[0].read_bytes()
