"""The log: whatever goes in, one valid JSON line comes out, and no secret with it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import h11
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from tests.support.tokens import sign
from tunneld.journal.log import HIDDEN, MAX_TEXT, configure, json_line

TOKEN = sign()
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers(),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=8) | st.integers() | st.binary(max_size=4), inner, max_size=4)
    | st.tuples(inner),
    max_leaves=20,
)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    target = io.StringIO()
    configure("edge", level="debug", stream=target)
    yield target
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(text) for text in stream.getvalue().splitlines()]


def check(line: str) -> dict[str, Any]:
    """One line, ASCII, no control character, valid JSON by the letter."""
    assert "\n" not in line
    assert all(" " <= character <= "~" for character in line)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    parsed: dict[str, Any] = json.loads(line, parse_constant=refuse)
    return parsed


@given(event=st.dictionaries(st.text(max_size=10), ANYTHING, max_size=6))
def test_any_event_is_one_valid_line(event: dict[object, object]) -> None:
    """Bytes, surrogates, NaN, huge numbers, strange keys: one line of valid JSON each."""
    check(json_line(event))


@given(data=st.binary(max_size=2000))
def test_any_bytes_are_one_valid_line(data: bytes) -> None:
    """What a peer sent can be logged as it is."""
    check(json_line({"event": "bad request", "bytes": data, "text": data.decode("latin-1"), "view": memoryview(data)}))


@pytest.mark.parametrize("text", ["a\r\nb", "\x1b[2J", "\u2028", "\u202e", "\x00", "\ud800", "\x7f", "\x9b31m"])
def test_control_characters_are_escaped(text: str) -> None:
    """Neither a second line nor a terminal's command gets through."""
    assert check(json_line({"event": text}))["event"] == text


def test_awkward_values_become_text() -> None:
    """A value whose own text fails, or that contains itself, costs nothing but its text."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    loop: list[object] = []
    loop.append(loop)
    huge = 10**400
    shown = check(json_line({"event": "x", "broken": Broken(), "loop": loop, "huge": huge, "nan": float("nan"), 5: 1}))
    assert shown["broken"] == "<Broken without text: RuntimeError>"
    assert shown["nan"] == "nan"
    assert isinstance(shown["huge"], str)
    assert shown["5"] == 1


def test_long_texts_and_large_collections_are_cut() -> None:
    """A line stays readable, whatever a peer sends."""
    shown = check(json_line({"event": "x" * 10000, "list": list(range(1000)), **{f"k{n}": n for n in range(200)}}))
    assert len(shown["event"]) == MAX_TEXT + 1
    assert len(shown["list"]) == 64
    assert len(shown) == 64


@pytest.mark.parametrize(
    "event",
    [
        {"token": "hunter2"},
        {"refresh_token": "hunter2"},
        {"Authorization": "hunter2"},
        {"proxy-authorization": b"hunter2"},
        {"password": "hunter2"},
        {"client_secret": ["hunter2"]},
        {"set-cookie": "hunter2"},
        {"session_credential": "hunter2"},
        {"private_key": "hunter2"},
        {"code": "hunter2"},
        {"user_code": "hunter2"},
        {"code_verifier": "hunter2"},
        {"headers": {"x": [{"authorization": "hunter2"}]}},
        {"event": "sent authorization: Bearer hunter2hunter2"},
        {"event": "Basic aHVudGVyMg== was refused, hunter2 not shown".replace("hunter2", "it")},
        {"event": f"got {TOKEN} from a peer"},
        {"event": TOKEN.encode()},
        {"event": [TOKEN]},
        {TOKEN: 1},
        {"event": "x" * 500 + TOKEN},
        {"event": "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"},
        {"event": "-----BEGIN EC PRIVATE KEY-----\nhunter2 and no end"},
    ],
)
def test_secrets_are_hidden(event: dict[object, object]) -> None:
    """By the name of the field or by the look of the value, no secret reaches the log, whole or in part."""
    line = json_line(event)
    check(line)
    assert "hunter2" not in line
    assert "aHVudGVyMg" not in line
    assert TOKEN[:20] not in line
    assert HIDDEN in line


@pytest.mark.parametrize(
    "event",
    [
        {"token_expired": 3}, {"status_code": 403}, {"keyboard": "x"}, {"rule_key": "x"}, {"reason": "token_missing"},
        {"token": None}, {"token": True}, {"event": "the bearer of this"}, {"path": "/etc/edge.key"},
    ],
)  # fmt: skip
def test_what_is_no_secret_is_shown(event: dict[object, object]) -> None:
    """Names that only sound like secrets, and the fact that there is none, stay readable."""
    assert json.loads(json_line(event)) == event


def test_the_programs_log_says_when_who_and_what(stream: io.StringIO) -> None:
    """Every line has time, program, level and event; keyword arguments are fields; bound context comes along."""
    with structlog.contextvars.bound_contextvars(tenant="contoso"):
        structlog.get_logger().info("reload_refused", file="a.toml", problem="line 3")
    (shown,) = lines(stream)
    assert shown.pop("time").endswith("Z")
    assert shown == {
        "program": "edge", "level": "info", "event": "reload_refused", "file": "a.toml", "problem": "line 3",
        "tenant": "contoso",
    }  # fmt: skip


def test_a_traceback_is_one_field_without_secrets(stream: io.StringIO) -> None:
    """Newlines of a traceback are escaped, and a token in a message is hidden."""
    logger = structlog.get_logger()
    try:
        raise ValueError(f"cannot read {TOKEN}")
    except ValueError as error:
        logger.exception("internal_error")
        logger.error("again", exc_info=error)
    logger.error("nothing is wrong", exc_info=True)
    logging.getLogger("library").error("theirs", exc_info=(ValueError, ValueError("x"), None))
    first, second, third, fourth = lines(stream)
    assert "Traceback" in first["exception"]
    assert first["exception"] == second["exception"]
    assert HIDDEN in first["exception"]
    assert third.get("exception", "") == ""
    assert fourth["exception"] == "ValueError: x\n"


def test_libraries_log_in_the_same_form(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings of libraries appear as lines of ours, their chatter does not, and a wrong format is no error."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:1])  # without pytest's own, which takes offence
    library = logging.getLogger("some.library")
    library.info("chatter")
    library.warning("%d%%", "not a number")
    library.error("slow: %s ms", 5)
    shown = lines(stream)
    assert [(line["event"], line["level"], line["logger"]) for line in shown] == [
        ("%d%%", "warning", "some.library"),
        ("slow: 5 ms", "error", "some.library"),
    ]


@pytest.mark.parametrize("error", [ClientDisconnect(), h11.LocalProtocolError("MUST_CLOSE")])
def test_a_peers_fault_is_a_warning_without_a_trace(stream: io.StringIO, error: Exception) -> None:
    """uvicorn reports it as an exception of the application, which it is not."""
    logging.getLogger("uvicorn.error").error("Exception in ASGI application\n", exc_info=error)
    line = json.loads(stream.getvalue())
    assert line["level"] == "warning"
    assert type(error).__name__ in line["error"]
    assert "exception" not in line


def test_levels_filter(stream: io.StringIO) -> None:
    """A level below the configured one writes nothing."""
    configure("edge", level="warning", stream=stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_the_default_stream_is_stderr(stream: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output belongs to results."""
    configure("edge")
    structlog.get_logger().info("hello")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["event"] == "hello"
