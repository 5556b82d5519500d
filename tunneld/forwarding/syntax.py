"""Text of a document → plain values, for JSON and TOML, with the line of every element found when it is asked for.

Positions are looked up only for an error message, so that a good document pays nothing for them.
"""

from __future__ import annotations

import json
import tomllib
from typing import Any, NamedTuple

from tunneld.forwarding.places import Path, json_duplicate, json_line, toml_line
from tunneld.model.errors import DocumentError
from tunneld.model.strict_json import DuplicateMemberError, no_constant, unique_members

# 100,000 rules in indented JSON are about 45 MiB; etcd and Kubernetes stop at 1.5 MiB, for some 10,000 rules.
MAX_DOCUMENT = 64 * 1024 * 1024


class Source(NamedTuple):
    """A document's values, and its text for finding lines."""

    value: Any
    text: str
    where: str
    is_json: bool

    def line_of(self, path: Path) -> int | None:
        """Return the line (from 1) of the element at `path`, of its nearest parent that is there, or None."""
        return json_line(self.text, path) if self.is_json else toml_line(self.text, path)


def show_path(path: Path) -> str:
    """Return `path` as people write it: ``rules[3].ports[0]``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def read_source(text: str | bytes, where: str) -> Source:
    """Parse `text` as JSON or TOML. Raises DocumentError with the line of the first mistake."""
    if len(text) > MAX_DOCUMENT:
        raise DocumentError(where, "", f"the document is larger than {MAX_DOCUMENT >> 20} MiB", "split it")
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise DocumentError(where, f"line {line}", "not UTF-8 text", "save the file as UTF-8") from None
    is_json = where.endswith(".json") or (not where.endswith(".toml") and text.lstrip()[:1] in ("{", "["))
    value = _parse_json(text, where) if is_json else _parse_toml(text, where)
    if not isinstance(value, dict):
        raise DocumentError(where, "line 1", "the document is not an object", "begin with {")
    return Source(value, text, where, is_json)


_DECODER = json.JSONDecoder(object_pairs_hook=unique_members, parse_constant=no_constant)


def _parse_json(text: str, where: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise DocumentError(where, place, f"not JSON: {error.msg}", "mend the syntax there") from None
    except DuplicateMemberError:
        path, line = json_duplicate(text, _DECODER)
        raise DocumentError(where, f"{show_path(path)}, line {line}", "the key is given twice", "remove one") from None
    except RecursionError:
        raise DocumentError(where, "", "nested too deeply", "a profile is at most five levels deep") from None
    except ValueError as error:  # a number of thousands of digits, or NaN
        raise DocumentError(where, "", f"not JSON: {error}"[:200], "write plain numbers") from None


def _parse_toml(text: str, where: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).rpartition(" (at ")
        place = place.rstrip(")") if message else "end of document"
        raise DocumentError(where, place, f"not TOML: {message or error}", "mend the syntax there") from None
    except RecursionError:
        raise DocumentError(where, "", "nested too deeply", "a profile is at most five levels deep") from None
    except ValueError as error:  # a date that no calendar has, a number of thousands of digits
        raise DocumentError(where, "", f"not TOML: {error}"[:200], "write plain strings and numbers") from None
