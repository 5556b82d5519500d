"""Result files: where they lie, and reading and writing them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parent
COMMITTED = BENCH / "results"
LATEST = BENCH / "results" / "latest"  # not in version control: what the last short run found

Row = dict[str, Any]


def write(path: Path, result: Row) -> None:
    """Write a result, readable in a diff: short lists and leaf objects on one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_pretty(result, 0) + "\n")


def read(path: Path) -> Row | None:
    """Return a result, None where there is none."""
    try:
        found: Row = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return found


def _pretty(value: object, depth: int) -> str:
    flat = json.dumps(value)
    if len(flat) + depth <= 140 or not isinstance(value, dict | list):
        return flat
    pad = " " * (depth + 1)
    if isinstance(value, dict):
        inner = [f"{pad}{json.dumps(str(key))}: {_pretty(item, depth + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(inner) + "\n" + " " * depth + "}"
    return "[\n" + ",\n".join(pad + _pretty(item, depth + 1) for item in value) + "\n" + " " * depth + "]"
