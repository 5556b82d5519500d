"""Reading parameters strictly: each once (RFC 6749 §3.1), valid UTF-8, no control characters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from tunneld.idp.answers import RequestError
from tunneld.model.strict_json import unique_members
from tunneld.policy.refusals import refusal

MAX_FIELDS = 64  # a dozen are used


async def read_form(request: Request, *, lines: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return the fields of a form; those named in `lines` may have line breaks. Raises RequestError."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise RequestError(refusal(900144, "The body must be application/x-www-form-urlencoded."))
    body = await request.body()
    try:
        return read_fields(body.decode("ascii"), lines=lines)
    except UnicodeDecodeError:
        raise RequestError(refusal(90014, "The form has bytes that are not percent-encoded.")) from None


def read_query(request: Request) -> dict[str, str]:
    """Return the fields of the query. Raises RequestError."""
    return read_fields(request.scope["query_string"].decode("latin-1"))


def read_fields(text: str, *, lines: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return the fields of urlencoded text. Raises RequestError."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise RequestError(refusal(90014, "The parameters are malformed.")) from None
    return _once(pairs, lines)


def _once(pairs: Iterable[tuple[str, str]], lines: frozenset[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name in fields:
            raise RequestError(refusal(90014, "A parameter is given more than once."))
        permitted = "\r\n\t" if name in lines else ""
        if any((character < " " and character not in permitted) or character == "\x7f" for character in name + value):
            raise RequestError(refusal(90014, "A parameter has control characters."))
        fields[name] = value
    return fields


def required(form: dict[str, str], name: str) -> str:
    """Return a field that must be there. Raises RequestError; `name` is ours, so it may be shown."""
    value = form.get(name, "")
    if not value:
        raise RequestError(refusal(900144, f"The request body must contain the parameter {name}."))
    return value


async def read_json(request: Request) -> Any:
    """Return a JSON body, of any shape until the caller judged it; None when it is not JSON or says a thing twice."""
    try:
        return json.loads(await request.body(), object_pairs_hook=unique_members)
    except (ValueError, RecursionError):
        return None
