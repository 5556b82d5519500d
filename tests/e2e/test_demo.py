"""The demo, as a newcomer runs it."""

from __future__ import annotations

import re
import time
from pathlib import Path

from tests.support.running_lab import tunneld
from tunneld.lab.story import STORY


def test_the_demo_passes_in_under_two_minutes(tmp_path: Path) -> None:
    """Every step passed, exit status 0, receipts shown."""
    begin = time.monotonic()
    done = tunneld("lab", "demo", "--state", str(tmp_path / "s"), timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - begin < 120
    assert f"{len(STORY)} of {len(STORY)} passed" in done.stdout
    assert len(re.findall(r"0 bytes of \w+ after the commit", done.stdout)) == 3
    assert "FAILED" not in done.stdout


def test_the_identity_story_passes(tmp_path: Path) -> None:
    """Block, explain, trust and invite, each seen in the next token or in the logs."""
    done = tunneld("lab", "demo", "--identity", "--state", str(tmp_path / "s"), timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 passed" in done.stdout
    assert "AADSTS500213" in done.stdout
