"""Reading what an identity provider answers: whatever comes, the caller gets sound values or a Denied.

A provider may be broken or hostile. This is the one place that meets its bodies, so the limits and the exceptions of
parsers are here: nesting that ends the stack, numbers without end, text that cannot be encoded again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

import httpx

from tunneld.client.ports import Denied
from tunneld.model.reasons import Reason

MAX_JSON = 4 * 1024 * 1024  # tens of thousands of tenants; every other answer is under 64 KiB
MAX_DEPTH = 32  # an honest answer nests four levels
MAX_URL = 8000  # RFC 9110 §4.1 recommends that everybody supports this much
MAX_SECONDS = 366 * 86_400.0  # no token lives longer than a year, and clocks can still add this

_CREDENTIAL = re.compile(r"[\x20-\x7e]+")  # RFC 6749 appendix A: tokens and codes are printable ASCII
_URL = re.compile(rf"[\x21-\x7e]{{1,{MAX_URL}}}")  # RFC 3986 §2: no spaces, no controls, ASCII only


class Answer(NamedTuple):
    """One HTTP response, read whole."""

    status: int
    headers: httpx.Headers
    body: bytes


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`, an empty one for anything that is not a sound one."""
    if len(body) > MAX_JSON:
        return {}
    try:
        value = json.loads(body, parse_constant=_no_constant)
        _check_sound(value)
    except (ValueError, RecursionError):  # UnicodeError is a ValueError
        return {}
    return value if isinstance(value, dict) else {}


def read_text(body: Mapping[str, Any], name: str) -> str:
    """Return a member that must be a text. Raises Denied(`login_failed`)."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Denied(Reason.LOGIN_FAILED, f"the identity provider's answer has no usable {name}")
    return value


def read_credential(body: Mapping[str, Any], name: str) -> str | None:
    """Return a member that goes into headers and forms later, or None without one. Raises Denied(`login_failed`)."""
    value = body.get(name)
    if value is not None and (not isinstance(value, str) or not _CREDENTIAL.fullmatch(value)):
        raise Denied(Reason.LOGIN_FAILED, f"the identity provider's answer has no usable {name}")
    return value


def read_seconds(body: Mapping[str, Any], name: str, default: float) -> float:
    """Return a duration, `default` where there is none that makes sense."""
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return default
    return float(min(value, MAX_SECONDS))


def read_url(document: Mapping[str, Any], name: str, base: str) -> str | None:
    """Return an address at the provider `base`, or None without one. Raises Denied(`login_failed`)."""
    value = document.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not _URL.fullmatch(value):
        raise Denied(Reason.LOGIN_FAILED, f"the discovery document's {name} is not an address")
    if not value.startswith(f"{base}/"):
        raise Denied(Reason.LOGIN_FAILED, "the discovery document names another provider")
    return value


def _check_sound(value: Any) -> None:  # JSON of any shape
    """Raise ValueError for what nests too deeply, or holds text that no encoder takes (lone surrogates)."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, str):
                item.encode()
            elif isinstance(item, dict):
                inner += item
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        if not inner:
            return
        level = inner
    raise ValueError("nested too deeply")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")  # RFC 8259 §6 has no NaN and no Infinity
