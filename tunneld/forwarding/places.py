"""Where in a document's text an element stands. Used for error messages only, so clarity before speed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

Path = tuple[str | int, ...]

_PLAIN = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
_TOML_KEY = r"""(?:"[^"\n]*"|'[^'\n]*'|[A-Za-z0-9_-]+)"""
_TOML_DOTTED = rf"{_TOML_KEY}(?:[ \t]*\.[ \t]*{_TOML_KEY})*"
_TOML_LINE = re.compile(
    rf"^[ \t]*(?:\[\[[ \t]*(?P<array>{_TOML_DOTTED})[ \t]*\]\]|\[[ \t]*(?P<table>{_TOML_DOTTED})[ \t]*\]"
    rf"|(?P<key>{_TOML_DOTTED})[ \t]*=)",
    re.MULTILINE,
)
_TOML_TOKEN = re.compile(r""""(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*|[\[\]{},]|[^\s,\[\]{}"'#]+""")


def line_at(text: str, offset: int) -> int:
    """Return the line, from 1, of the character at `offset`."""
    return text.count("\n", 0, offset) + 1


def json_line(text: str, path: Path) -> int:
    """Return the line of the element at `path` in valid JSON, or of its nearest parent that is there."""
    found = at = _skip(text, 0)
    for part in path:
        for key, start, value in _json_members(text, at):
            if key == part:
                found, at = start, value
                break
        else:
            break
    return line_at(text, found)


def json_duplicate(text: str, decoder: json.JSONDecoder, at: int = 0, path: Path = ()) -> tuple[Path, int]:
    """Return path and line of the first repeated key, in text for which the strict `decoder` has raised.

    The decoder raises at the end of the innermost object that repeats a key, so everything before is valid.
    """
    seen: set[str | int] = set()
    at = _skip(text, at)
    for key, start, value in _json_members(text, at):
        if key in seen:
            return (*path, key), line_at(text, start)
        seen.add(key)
        try:
            decoder.raw_decode(text, value)
        except ValueError:
            return json_duplicate(text, decoder, value, (*path, key))
    return path, line_at(text, at)


def _json_members(text: str, at: int) -> Iterator[tuple[str | int, int, int]]:
    """Yield (key or index, where the member begins, where its value begins) of the container at `at`."""
    opener = text[at]
    if opener not in "[{":
        return
    at, position = _skip(text, at + 1), 0
    while text[at] not in "]}":
        start, key = at, position
        name: str | int = key
        if opener == "{":
            name, at = _PLAIN.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        yield name, start, at
        at = _skip(text, _PLAIN.raw_decode(text, at)[1])
        if text[at] == ",":
            at = _skip(text, at + 1)
        position += 1


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def toml_line(text: str, path: Path) -> int | None:
    """Return the line of the element at `path` in valid TOML, or of the nearest parent that has a line of its own.

    Best effort: text inside multi-line strings that looks like a key is taken for one.
    """
    counts: dict[Path, int] = {}
    table: Path = ()
    best: tuple[int, int, int] | None = None  # how much of the path, where it begins, where it ends
    for match in _TOML_LINE.finditer(text):
        if match["key"] is None:
            table = _toml_table(match, counts)
            here = table
        else:
            here = (*table, *_toml_keys(match["key"]))
        if here == path[: len(here)] and (best is None or len(here) > best[0]):
            best = (len(here), match.start(), match.end())
    if best is None:
        return None
    depth, start, end = best
    if depth < len(path) and isinstance(path[depth], int):
        start = _toml_element(text, end, int(path[depth])) or start
    return line_at(text, start + len(text[start:]) - len(text[start:].lstrip()))


def _toml_table(match: re.Match[str], counts: dict[Path, int]) -> Path:
    """Return the path that a [table] or [[array]] header opens, with the indices that arrays have reached."""
    resolved: Path = ()
    keys = _toml_keys(match["array"] or match["table"])
    for position, key in enumerate(keys):
        resolved = (*resolved, key)
        if position == len(keys) - 1 and match["array"]:
            counts[resolved] = counts.get(resolved, -1) + 1
        if resolved in counts:
            resolved = (*resolved, counts[resolved])
    return resolved


def _toml_keys(dotted: str) -> tuple[str, ...]:
    return tuple(key.strip("\"'") for key in re.findall(_TOML_KEY, dotted))


def _toml_element(text: str, at: int, index: int) -> int | None:
    """Return where element `index` of the array that follows `at` begins."""
    depth, commas = 0, 0
    for token in _TOML_TOKEN.finditer(text, at):
        word = token[0]
        if word.startswith("#"):
            continue
        if depth == 1 and commas == index and word not in ",]":
            return token.start()
        depth += (word in "[{") - (word in "]}")
        commas += depth == 1 and word == ","
        if depth <= 0:
            return None
    return None
