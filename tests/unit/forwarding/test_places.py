"""Lines of elements: what the finders do with paths that are not there and with odd layouts."""

from __future__ import annotations

import json

import pytest

from tunneld.forwarding.places import Path, json_duplicate, json_line, toml_line


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 2),
        (("a",), 2),
        (("a", 1), 3),
        (("a", 1, "b"), 3),
        (("a", 7), 2),
        (("c",), 5),
        (("c", "deeper", 0), 5),
        (("missing",), 2),
    ],
)
def test_json(path: Path, line: int) -> None:
    """The element's line, or that of the nearest parent which is there."""
    assert json_line('\n{"a": [1,\n {"b": 2},\n 3 ] ,\n "c" : "x"}', path) == line


def test_json_without_a_duplicate() -> None:
    """Asked without cause, the finder answers with the document itself."""
    assert json_duplicate('{"a": [1]}', json.JSONDecoder()) == ((), 1)


TOML = """
top = 1
[a.b]
x = [1, [2, 3], { y = 1 },
  4]   # a comment with 5, 6
"quoted key" . z = 2
[[list]]
k = 1
[[list.inner]]
k = 2
[[list.inner]]
k = 3
[[list]]
  k = 4
empty = []
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("a",), None),
        (("a", "b"), 3),
        (("a", "b", "x"), 4),
        (("a", "b", "x", 2), 4),
        (("a", "b", "x", 3), 5),
        (("a", "b", "x", 9), 4),
        (("a", "b", "quoted key", "z"), 6),
        (("list", 0, "k"), 8),
        (("list", 0, "inner", 1, "k"), 12),
        (("list", 1, "k"), 14),
        (("list", 1, "missing"), 13),
        (("list", 1, "empty", 0), 15),
        (("nowhere",), None),
    ],
)
def test_toml(path: Path, line: int | None) -> None:
    """Tables, arrays of tables, arrays over several lines, quoted keys; else the nearest parent."""
    assert toml_line(TOML, path) == line


def test_toml_that_ends_inside_an_array() -> None:
    """Text that is not valid never makes the finder fail."""
    assert toml_line("x = [1, 2", ("x", 5)) == 1
