"""The demo tells a failed step from a passed one: it could not be trusted otherwise."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from tunneld.lab import demo
from tunneld.lab.clients import Answer
from tunneld.lab.story import STORY, Stage, Step, Unexpected, _expect_canary, _switch
from tunneld.model.errors import TunneldError

CANARIES = {"contoso": "canary-contoso-1", "fabrikam": "canary-fabrikam-2"}


class Programs:
    """Stands for the lab's children, none of which ended."""

    logs = Path("logs")

    def ended(self) -> list[Any]:
        return []


def stage(**replaced: Any) -> Stage:
    fields = {"proxy": "127.0.0.1:1", "state": Path(), "canaries": CANARIES, "web": None, "control": None}
    return Stage(**(fields | replaced))


def played(act: Any) -> tuple[demo.Result, str]:
    output = io.StringIO()
    result = demo._act(Step("a step", act), stage(), cast(Any, Programs()), Console(file=output, width=200))
    return result, output.getvalue()


def test_a_step_that_saw_what_it_should_passes() -> None:
    """What it saw is shown."""
    result, text = played(lambda _: "all is well")
    assert result.passed
    assert "all is well" in text


@pytest.mark.parametrize("error", [Unexpected("a cat", "a dog"), TunneldError("broken"), OSError("gone"), KeyError()])
def test_a_step_that_did_not_fails_and_says_why(error: Exception) -> None:
    """Expected, came, and where the logs are."""

    def act(_: Stage) -> str:
        raise error

    result, text = played(act)
    assert not result.passed
    assert "FAILED" in text
    assert "logs" in text
    if isinstance(error, Unexpected):
        assert "a cat" in text
        assert "a dog" in text


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, {"x-canary": CANARIES["fabrikam"]}), Answer(200), Answer(403), Answer(0, error="refused"),
        Answer(502, {"x-canary": CANARIES["contoso"]}),
    ],
)
def test_another_tenants_canary_is_not_accepted(answer: Answer) -> None:
    """Only a 200 with the right canary is."""
    with pytest.raises(Unexpected):
        _expect_canary(stage(), answer, "contoso")
    _expect_canary(stage(), Answer(200, {"x-canary": CANARIES["contoso"]}), "contoso")


GOOD = {
    "from": "contoso", "to": "fabrikam", "epoch": 2, "committed": True, "reason": None,
    "phases": {"prepare_ms": 1.0, "commit_ms": 0.1, "retire_ms": 1.0},
    "flows": {"terminated": 1, "drained": 0, "kept": 0}, "old_epoch_bytes_after_commit": 0,
}


@pytest.mark.parametrize(
    "fault",
    [
        {"committed": False}, {"reason": "probe_failed"}, {"to": "woodgrove"}, {"old_epoch_bytes_after_commit": 1},
        {"old_epoch_bytes_after_commit": None}, {"flows": {"terminated": 0, "drained": 0, "kept": 0}},
    ],
)
def test_a_receipt_that_is_not_perfect_is_not_accepted(fault: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte of the old tenant after the commit, or an edge that did not count, fails the demo."""
    monkeypatch.setattr(Stage, "command", lambda *_: GOOD | fault)
    with pytest.raises(Unexpected):
        _switch(stage(), "contoso", "fabrikam", least_terminated=1)
    monkeypatch.setattr(Stage, "command", lambda *_: GOOD)
    assert "0 bytes of contoso" in _switch(stage(), "contoso", "fabrikam", least_terminated=1)


def test_the_story_has_every_chapter() -> None:
    """What the command promises."""
    titles = " / ".join(step.title for step in STORY)
    for chapter in ("through the tunnel", "goes direct", "refused, and explained", "switch to fabrikam", "was reset",
                    "now reaches woodgrove", "switch back"):
        assert chapter in titles
