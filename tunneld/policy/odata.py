"""OData's system query options as Microsoft Graph serves them: read from a query string, applied to JSON objects.

`$filter $select $orderby $top $count $skiptoken`. Others are refused rather than ignored: an ignored option would give
an answer to a question that nobody asked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tunneld.policy.odata_filter import Filter, FilterError, as_time, matches, members_of, parse_filter, reach

MAX_TOP = 999  # Graph's limit for directory objects
DEFAULT_TOP = 100  # Graph's default for directory objects
MAX_SELECT = 64
MAX_ORDER = 5
_KNOWN = frozenset({"$filter", "$select", "$orderby", "$top", "$count", "$skiptoken", "$format"})


class QueryError(ValueError):
    """The query string is not one that is served; the message is a sentence, `option` names the culprit."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


@dataclass(frozen=True, slots=True)
class Query:
    """What is wanted. `after` is where the page begins: the last object of the page before, and its place."""

    filter: Filter | None = None
    select: tuple[str, ...] = ()
    order: tuple[tuple[tuple[str, ...], bool], ...] = ()  # (path, descending)
    top: int = DEFAULT_TOP
    count: bool = False
    after: tuple[str, int] | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing; `next` is the `$skiptoken` of the one that follows."""

    values: tuple[dict[str, Any], ...]
    total: int
    next: str = ""


def parse_query(pairs: Iterable[tuple[str, str]], members: frozenset[str] | None = None) -> Query:
    """Return the query of a query string. `members`: what may be named. Raises QueryError."""
    options: dict[str, str] = {}
    for name, value in pairs:
        option = name if name.startswith("$") else f"${name}"  # OData 4.01 lets the dollar sign go
        if option not in _KNOWN:
            raise QueryError(name[:40], f"{name[:40]!r} is not supported here.")
        if option in options:
            raise QueryError(option, f"{option} is given twice.")
        options[option] = value
    if options.get("$format", "json") not in ("json", "application/json"):
        raise QueryError("$format", "The only format is json.")
    query = Query(
        _filter(options.get("$filter")), _select(options.get("$select")), _order(options.get("$orderby")),
        _top(options.get("$top")), _truth(options.get("$count")),
        digest=_digest(options),
    )
    if members is not None:
        _check_members(query, members)
    marker = options.get("$skiptoken")
    return query if marker is None else replace(query, after=_after(marker, query.digest))


def run_query(
    query: Query, keys: Sequence[str], shown: Callable[[str], dict[str, Any]]
) -> Page:
    """Return a page of the objects `keys` (in order of key); `shown` renders one, and runs for what is needed alone."""
    if query.filter is None and not query.order:
        begin = _begin(query, keys)
        page = keys[begin:begin + query.top]
        return _page(query, [(key, shown(key)) for key in page], begin, len(keys))
    rendered = [(key, value) for key in keys if _passes(query, value := shown(key))]
    for path, descending in reversed(query.order):
        rendered.sort(key=lambda pair, path=path: order_key(reach(pair[1], path)), reverse=descending)  # type: ignore[misc]
    begin = _begin(query, [key for key, _ in rendered])
    return _page(query, rendered[begin:begin + query.top], begin, len(rendered))


def selected(query: Query, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that `$select` names, in the object's order."""
    return {name: one for name, one in value.items() if not query.select or name in query.select or "@odata" in name}


def skip_token(query: Query, key: str, place: int) -> str:
    """Return the token of the page that begins after the object `key`, which was at `place`."""
    text = json.dumps([key, place, query.digest], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def order_key(value: Any) -> tuple[int, Any]:
    """Return what puts values of mixed types in one order: null, then truth, numbers, text, the rest."""
    if value is None:
        return 0, 0
    if isinstance(value, bool):
        return 1, value
    if isinstance(value, int | float):
        return 2, value
    if isinstance(value, str):
        time = as_time(value) if value[:4].isdigit() and "T" in value else None
        return (3, time.timestamp()) if time is not None else (4, value.casefold())
    return 5, json.dumps(value, sort_keys=True, default=str)


def _passes(query: Query, value: dict[str, Any]) -> bool:
    return query.filter is None or matches(query.filter, value)


def _page(query: Query, pairs: Sequence[tuple[str, dict[str, Any]]], begin: int, total: int) -> Page:
    values = tuple(selected(query, value) for _, value in pairs)
    more = begin + len(pairs) < total
    return Page(values, total, skip_token(query, pairs[-1][0], begin + len(pairs) - 1) if more and pairs else "")


def _begin(query: Query, keys: Sequence[str]) -> int:
    """Find the page's begin by the last object of the one before, or by its place when that object has gone."""
    if query.after is None:
        return 0
    key, place = query.after
    if place < len(keys) and keys[place] == key:
        return place + 1
    try:
        return keys.index(key) + 1
    except ValueError:
        return min(place, len(keys))


def _filter(text: str | None) -> Filter | None:
    if text is None:
        return None
    try:
        return parse_filter(text)
    except FilterError as error:
        raise QueryError("$filter", str(error)) from None


def _select(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    names = tuple(name.strip() for name in text.split(","))
    if len(names) > MAX_SELECT or "" in names:
        raise QueryError("$select", f"$select is a list of at most {MAX_SELECT} members.")
    return () if names == ("*",) else names


def _order(text: str | None) -> tuple[tuple[tuple[str, ...], bool], ...]:
    if text is None:
        return ()
    found = []
    for part in text.split(","):
        words = part.split()
        if not 1 <= len(words) <= 2 or (len(words) == 2 and words[1] not in ("asc", "desc")):
            raise QueryError("$orderby", "$orderby is a list of members, each with asc or desc.")
        found.append((tuple(words[0].split("/")), words[1:] == ["desc"]))
    if len(found) > MAX_ORDER:
        raise QueryError("$orderby", f"$orderby takes at most {MAX_ORDER} members.")
    return tuple(found)


def _top(text: str | None) -> int:
    if text is None:
        return DEFAULT_TOP
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MAX_TOP):
        raise QueryError("$top", f"$top is a number from 1 to {MAX_TOP}.")
    return int(text)


def _truth(text: str | None) -> bool:
    if text not in (None, "true", "false"):
        raise QueryError("$count", "$count is true or false.")
    return text == "true"


def _check_members(query: Query, members: frozenset[str]) -> None:
    named = {
        "$select": set(query.select), "$orderby": {path[0] for path, _ in query.order},
        "$filter": set(members_of(query.filter)) if query.filter is not None else set(),
    }
    for option, names in named.items():
        for name in sorted(names - members):
            raise QueryError(option, f"{option}: there is no member {name[:80]!r}.")


def _digest(options: Mapping[str, str]) -> str:
    asked = sorted((name, value) for name, value in options.items() if name in ("$filter", "$orderby"))
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def _after(marker: str, digest: str) -> tuple[str, int]:
    wrong = QueryError("$skiptoken", "$skiptoken is not one of this query; follow @odata.nextLink as it is.")
    if len(marker) > 1024:
        raise wrong
    try:
        key, place, known = json.loads(base64.b64decode(marker + "=" * (-len(marker) % 4), b"-_", validate=True))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise wrong from None
    if not (isinstance(key, str) and type(place) is int and 0 <= place < 2**63 and known == digest):
        raise wrong
    return key, place
