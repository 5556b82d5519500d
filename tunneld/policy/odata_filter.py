"""OData's `$filter` (OData 4.01 URL Conventions §5.1.1), the part of it that Microsoft Graph serves, over JSON values.

Strings compare without regard to case, as Graph's directory does. A comparison of unlike types is false, and null is
equal to null alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

MAX_FILTER = 4096  # characters; Graph's own limit on a URL is of that order
MAX_DEPTH = 16
MAX_TERMS = 200

Scalar = str | int | float | bool | datetime | None


class FilterError(ValueError):
    """The text is not a filter; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`path operator literal`; operators: eq ne gt ge lt le startswith endswith contains."""

    path: tuple[str, ...]
    operator: str
    literal: Scalar


@dataclass(frozen=True, slots=True)
class Membership:
    """`path in (literals)`."""

    path: tuple[str, ...]
    literals: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """`path/any(variable:condition)`; without a condition: the collection has an element."""

    path: tuple[str, ...]
    variable: str
    condition: Filter | None


@dataclass(frozen=True, slots=True)
class Junction:
    """`and` or `or` of several."""

    word: str
    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """`not`."""

    part: Filter


Filter = Comparison | Membership | AnyOf | Junction | Negation

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<time>\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,7})?)?(?:Z|[+-]\d\d:\d\d))?(?![\w-]))"
    r"|(?P<guid>[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})|(?P<number>-?\d{1,18}(?:\.\d{1,9})?(?![\w.]))"
    r"|(?P<name>@?[A-Za-z_][\w.]{0,127})|(?P<mark>[(),:/]))"
)
_OPERATORS = frozenset({"eq", "ne", "gt", "ge", "lt", "le"})
_FUNCTIONS = frozenset({"startswith", "endswith", "contains"})
_WORDS: Mapping[str, Scalar] = {"true": True, "false": False, "null": None}


def parse_filter(text: str) -> Filter:
    """Return the filter. Raises FilterError."""
    if len(text) > MAX_FILTER:
        raise FilterError(f"$filter is longer than {MAX_FILTER} characters.")
    return _Parser(_tokens(text)).whole()


def members_of(found: Filter) -> frozenset[str]:
    """Return the top-level members that a filter names."""
    if isinstance(found, Junction):
        return frozenset().union(*(members_of(part) for part in found.parts))
    if isinstance(found, Negation):
        return members_of(found.part)
    return frozenset(found.path[:1])  # what an `any` asks of its elements lies inside the collection


def matches(found: Filter, value: Any, variables: Mapping[str, Any] | None = None) -> bool:
    """Tell whether a JSON value passes."""
    bound = variables or {}
    if isinstance(found, Junction):
        return (all if found.word == "and" else any)(matches(part, value, bound) for part in found.parts)
    if isinstance(found, Negation):
        return not matches(found.part, value, bound)
    there = reach(value, found.path, bound)
    if isinstance(found, Comparison):
        return _compare(there, found.operator, found.literal)
    if isinstance(found, Membership):
        return any(_compare(there, "eq", literal) for literal in found.literals)
    elements = there if isinstance(there, list) else []
    if found.condition is None:
        return bool(elements)
    return any(matches(found.condition, value, {**bound, found.variable: element}) for element in elements)


def reach(value: Any, path: Sequence[str], variables: Mapping[str, Any] | None = None) -> Any:
    """Return what lies at a path, None where nothing does."""
    if path and variables and path[0] in variables:
        value, path = variables[path[0]], path[1:]
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def as_time(value: object) -> datetime | None:
    """Return the time that a literal or a member stands for; a date is its first moment in UTC."""
    if isinstance(value, datetime):
        return value
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def _compare(there: Any, operator: str, literal: Scalar) -> bool:
    if operator in ("eq", "ne"):
        return _same(there, literal) is (operator == "eq")
    if operator in _FUNCTIONS:
        if not isinstance(there, str) or not isinstance(literal, str):
            return False
        one, other = there.casefold(), literal.casefold()
        return {"startswith": one.startswith, "endswith": one.endswith, "contains": one.__contains__}[operator](other)
    pair = _ordered(there, literal)
    if pair is None:
        return False
    one, other = pair
    return bool({"gt": one > other, "ge": one >= other, "lt": one < other, "le": one <= other}[operator])


def _same(there: Any, literal: Scalar) -> bool:
    if literal is None or there is None:
        return literal is None and there is None
    pair = _ordered(there, literal)
    if pair is not None:
        return bool(pair[0] == pair[1])
    return isinstance(there, bool) and isinstance(literal, bool) and there == literal


def _ordered(there: Any, literal: Scalar) -> tuple[Any, Any] | None:
    """Return both in a form that can be put in order, or None for unlike types."""
    if isinstance(literal, datetime):
        time = as_time(there)
        return (time, literal) if time is not None else None
    if isinstance(there, bool) or isinstance(literal, bool):
        return None
    if isinstance(there, str) and isinstance(literal, str):
        return there.casefold(), literal.casefold()
    if isinstance(there, int | float) and isinstance(literal, int | float):
        return there, literal
    return None


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise FilterError(f"$filter cannot be read at character {at + 1}.")
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


class _Parser:
    """Recursive descent, bounded in depth and in the number of terms."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0
        self._terms = 0

    def whole(self) -> Filter:
        """Return the filter that the whole text is."""
        found = self._either(0)
        if self._at < len(self._tokens):
            raise FilterError(f"$filter: {self._peek()[1]!r} is unexpected.")
        return found

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._at += 1
        return token

    def _take(self, mark: str) -> bool:
        if self._peek() == ("mark", mark):
            self._at += 1
            return True
        return False

    def _expect(self, mark: str) -> None:
        if not self._take(mark):
            raise FilterError(f"$filter: {mark!r} is missing after {self._at} words.")

    def _either(self, depth: int) -> Filter:
        return self._junction("or", lambda: self._both(depth))

    def _both(self, depth: int) -> Filter:
        return self._junction("and", lambda: self._one(depth))

    def _junction(self, word: str, part: Callable[[], Filter]) -> Filter:
        parts = [part()]
        while self._peek() == ("name", word):
            self._at += 1
            parts.append(part())
        return parts[0] if len(parts) == 1 else Junction(word, tuple(parts))

    def _one(self, depth: int) -> Filter:
        self._terms += 1
        if depth > MAX_DEPTH or self._terms > MAX_TERMS:
            raise FilterError(f"$filter is nested deeper than {MAX_DEPTH} or has more than {MAX_TERMS} terms.")
        if self._take("("):
            inside = self._either(depth + 1)
            self._expect(")")
            return inside
        kind, word = self._peek()
        if kind != "name":
            raise FilterError(f"$filter: a member's name is missing before {word!r}.")
        if word == "not":
            self._at += 1
            return Negation(self._one(depth + 1))
        if word in _FUNCTIONS:
            self._at += 1
            return self._function(word)
        return self._term(depth)

    def _function(self, word: str) -> Filter:
        self._expect("(")
        path = self._path()
        self._expect(",")
        literal = self._literal()
        self._expect(")")
        if self._peek() == ("name", "eq"):  # `startswith(a,'b') eq true` is the same, and eq false its opposite
            self._at += 1
            if self._literal() is False:
                return Negation(Comparison(path, word, literal))
        return Comparison(path, word, literal)

    def _term(self, depth: int) -> Filter:
        path = self._path()
        if path[-1] == "any" and self._take("("):
            return self._any(path[:-1], depth)
        _, operator = self._next()
        if operator == "in":
            self._expect("(")
            literals = [self._literal()]
            while self._take(","):
                literals.append(self._literal())
                if len(literals) > MAX_TERMS:
                    raise FilterError(f"$filter: more than {MAX_TERMS} values in a list.")
            self._expect(")")
            return Membership(path, tuple(literals))
        if operator not in _OPERATORS:
            raise FilterError(f"$filter: {operator!r} is no operator; eq ne gt ge lt le in are.")
        return Comparison(path, operator, self._literal())

    def _any(self, path: tuple[str, ...], depth: int) -> Filter:
        if not path:
            raise FilterError("$filter: any() follows a collection.")
        if self._take(")"):
            return AnyOf(path, "", None)
        kind, variable = self._next()
        if kind != "name":
            raise FilterError("$filter: any() names its variable first, as in any(t:t eq 'x').")
        self._expect(":")
        condition = self._either(depth + 1)
        self._expect(")")
        return AnyOf(path, variable, condition)

    def _path(self) -> tuple[str, ...]:
        names = []
        while True:
            kind, name = self._next()
            if kind != "name":
                raise FilterError(f"$filter: {name!r} is no member's name.")
            names.append(name)
            if not self._take("/"):
                return tuple(names)

    def _literal(self) -> Scalar:
        kind, word = self._next()
        if kind == "text":
            return word[1:-1].replace("''", "'")
        if kind == "guid":
            return word
        if kind == "number":
            return float(word) if "." in word else int(word)
        if kind == "time":
            time = as_time(word)
            if time is not None:
                return time
        if kind == "name" and word in _WORDS:
            return _WORDS[word]
        raise FilterError(f"$filter: {word!r} is no value; strings stand in single quotes.")
