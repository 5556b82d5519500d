"""Programs for Node that other people wrote: where they are, and one clear line where they are not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

FOREIGN = Path(__file__).parents[1] / "foreign"


def needs_node() -> Path:
    """Return the directory of the foreign programs, or skip the test; with TUNNELD_CI set, fail it."""
    if shutil.which("node") is None:
        _missing("node is not installed")
    if not (FOREIGN / "node_modules" / "jose").is_dir():
        _missing("the npm packages are not installed: make .venv/.foreign")
    return FOREIGN


def _missing(why: str) -> None:
    if os.environ.get("TUNNELD_CI") == "1":
        pytest.fail(f"not skipped in CI: {why}")
    pytest.skip(why)
