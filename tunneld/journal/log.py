"""The program's log: one JSON line an event, on stderr, and never a secret in it.

What peers send ends up in messages. So every line is ASCII, every control character is escaped, every text has a
limit, and whatever cannot be written as JSON is written as text.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import time
import traceback
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog

from tunneld.journal.timestamps import rfc3339

MAX_TEXT = 512  # a host name, a path or a message; enough to recognise, too little to fill a disk with
MAX_TRACE = 16 * 1024
MAX_MEMBERS = 64
MAX_DEPTH = 6

HIDDEN = "[hidden]"
# Whole words at the end of a name: `token` and `refresh_token` are hidden, `token_expired` and `status_code` are not.
_SECRET_KEY = re.compile(
    r"(?:.*[_-])?(?:token|authorization|password|passphrase|secret|cookie|credential|assertion|verifier"
    r"|(?:private|signing|secret|api)[_-]key|(?:auth|authorization|device|user)[_-]code)|code",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,4}"  # a JWT: base64url of '{"'
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?i:bearer|basic) [A-Za-z0-9+/=._~-]{8,}",
    re.DOTALL,
)


def configure(program: str, *, level: str = "info", stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's log to `stream` (stderr) as JSON lines of `program`."""
    target = sys.stderr if stream is None else stream
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, _Renderer(program)],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    handler = _StandardLibrary(program, target)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(threshold, logging.WARNING))  # libraries only speak up when something is wrong


def json_line(event: Mapping[object, object]) -> str:
    """Return `event` as one line of valid JSON, whatever is in it: secrets hidden, texts cut, controls escaped."""
    return json.dumps(_plain_mapping(event, 1), ensure_ascii=True, separators=(",", ":"), allow_nan=False)


_PEERS_FAULTS = frozenset((("starlette", "ClientDisconnect"), ("h11", "LocalProtocolError")))


class _Renderer:
    """The last structlog processor: event dictionary to line."""

    def __init__(self, program: str) -> None:
        self._program = program

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
        line: dict[object, object] = {"time": _now(), "program": self._program, "level": event.pop("level", "info")}
        trace = event.pop("exc_info", None)
        line.update(event)
        if trace:
            line["exception"] = _Trace(_exception(trace))
        return json_line(line)


class _StandardLibrary(logging.Handler):
    """Log lines of libraries, and of asyncio about exceptions that nobody retrieved."""

    def __init__(self, program: str, stream: TextIO) -> None:
        super().__init__()
        self._program = program
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # arguments that do not fit the format: the library's mistake
            message = str(record.msg)
        line: dict[object, object] = {
            "time": rfc3339(record.created),
            "program": self._program,
            "level": record.levelname.lower(),
            "event": message,
            "logger": record.name,
        }
        error = record.exc_info[1] if record.exc_info else None
        if _is_a_peers_fault(error):
            line |= {"level": "warning", "event": "a client broke off, or broke HTTP", "error": repr(error)}
        elif record.exc_info:
            line["exception"] = _Trace(_exception(record.exc_info))
        self._stream.write(json_line(line) + "\n")
        self._stream.flush()


def _is_a_peers_fault(error: BaseException | None) -> bool:
    """Tell what uvicorn takes for a defect of the application: a client that left, or was already answered 400."""
    kind = type(error)
    return (kind.__module__.partition(".")[0], kind.__name__) in _PEERS_FAULTS


class _Trace(str):
    """A traceback, which may be longer than other texts."""

    __slots__ = ()


def _plain_mapping(value: Mapping[object, object], depth: int) -> dict[str, object]:
    plain: dict[str, object] = {}
    for key, member in list(value.items())[:MAX_MEMBERS]:
        name = _plain_text(key if isinstance(key, str) else _as_text(key), 64)
        hide = member is not None and not isinstance(member, bool) and _SECRET_KEY.fullmatch(name)
        plain[name] = HIDDEN if hide else _plain(member, depth)
    return plain


def _plain(value: object, depth: int) -> object:
    """Return the nearest JSON value."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < 1 << 63 else str(_as_text(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(float(value))
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        return _plain_mapping(value, depth + 1)
    if depth < MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth + 1) for item in list(value)[:MAX_MEMBERS]]
    if isinstance(value, _Trace):
        return _plain_text(value, MAX_TRACE)
    return _plain_text(_as_text(value), MAX_TEXT)


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a foreign __str__ must not cost the line
        return f"<{type(value).__name__} without text: {type(error).__name__}>"


def _plain_text(text: str, limit: int) -> str:
    """Hide secrets before cutting, since half a token would not be recognised."""
    hidden = _SECRET_VALUE.sub(HIDDEN, text[: 4 * MAX_TRACE])
    return hidden if len(hidden) <= limit else f"{hidden[:limit]}…"


def _exception(information: object) -> str:
    error = sys.exc_info()[1] if information is True else information
    if isinstance(error, tuple):
        error = error[1]
    if not isinstance(error, BaseException):
        return ""
    trace: TracebackType | None = error.__traceback__
    return "".join(traceback.format_exception(type(error), error, trace))


def _now() -> str:
    return rfc3339(time.time())
