"""Writes settings as TOML: the small subset that settings files need, since the standard library only reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

Scalar = str | int | float | bool
Value = Scalar | Sequence[Scalar]
Table = Mapping[str, "Value | Table | Sequence[Table]"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(document: Table) -> str:
    """Return `document` as TOML 1.0: plain values first, then tables, then arrays of tables. None is not a value."""
    return "\n".join(_lines(document, ())) + "\n"


def _lines(table: Table, path: tuple[str, ...]) -> list[str]:
    lines: list[str] = []
    nested: list[str] = []
    for key, value in table.items():
        place = (*path, key)
        if isinstance(value, Mapping):
            nested += ["", f"[{_dotted(place)}]", *_lines(value, place)]
        elif isinstance(value, Sequence) and not isinstance(value, str) and value and isinstance(value[0], Mapping):
            for item in value:
                assert isinstance(item, Mapping)
                nested += ["", f"[[{_dotted(place)}]]", *_lines(item, place)]
        else:
            lines.append(f"{_key(key)} = {json.dumps(value, ensure_ascii=False)}")
    return lines + nested


def _dotted(place: tuple[str, ...]) -> str:
    return ".".join(_key(part) for part in place)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)
