"""The documents speak of files and commands that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tunneld.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_is_named_exists(path: Path) -> None:
    """`package/file.py` counts from tunneld/, a link from the document."""
    text = path.read_text()
    sources = re.findall(r"`((?:\w+/)+\w+\.py)`", text)
    # In a table a row's first cell may name the package.
    for line in re.findall(r"^\| `(\w+/)` \|(.*)$", text, re.M):
        sources = [name for name in sources if f"`{name}`" not in line[1] or (ROOT / "tunneld" / name).exists()]
        sources += [line[0] + name for name in re.findall(r"`([\w/]+\.py)`", line[1])]
    assert not [name for name in sources if not (ROOT / "tunneld" / name).exists() and not (ROOT / name).exists()]
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)\)", text)
    assert not [link for link in links if not (path.parent / link).exists()]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_is_named_exists(path: Path) -> None:
    """What stands in a code block begins with a command of ours."""
    known = {command.name for command in COMMANDS}
    blocks = re.findall(r"^```\n(.*?)^```", path.read_text(), re.M | re.S)
    named = {name for block in blocks for name in re.findall(r"^tunneld ([a-z]+)", block, re.M)}
    assert named <= known


def test_every_make_target_that_is_named_exists() -> None:
    """README and CONTRIBUTING send people to make."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        assert set(re.findall(r"\bmake ([a-z-]+)", path.read_text())) <= targets


def test_the_architecture_fits_on_two_pages() -> None:
    """Nobody reads a third."""
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 150
