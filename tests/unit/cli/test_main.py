"""The command line: every command exists and explains itself; every error is one line and a status."""

from __future__ import annotations

from importlib import import_module

import pytest
import typer

from tunneld.cli import main as cli
from tunneld.model.errors import DocumentError, StreamError, TunneldError
from tunneld.model.reasons import Reason

CONTRACT = {
    "lab", "run", "edge", "idp", "certs", "init", "status", "tenants", "flows", "health", "login", "logout", "switch",
    "explain", "profile", "reasons", "policy", "logs",
}


def status(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return int(ended.value.code or 0)


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def command() -> None:
        raise error

    monkeypatch.setattr(cli, "_load", lambda _: command)


def test_the_table_has_every_command_once() -> None:
    """Names are a contract."""
    names = [command.name for command in cli.COMMANDS]
    assert set(names) == CONTRACT
    assert len(names) == len(set(names))


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda command: command.name)
def test_every_command_is_there_and_has_a_help_text(
    command: cli.Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own --help works, and what it stands for can be imported."""
    module, _, name = command.target.partition(":")
    target = getattr(import_module(module), name)
    assert callable(target) or isinstance(target, typer.Typer)
    assert status(command.name, "--help") == 0
    assert command.name in capsys.readouterr().out


def test_the_overview_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """With its line."""
    assert status("--help") == 0
    text = capsys.readouterr().out
    assert all(name in text for name in CONTRACT)


@pytest.mark.parametrize(
    ("error", "expected", "line"),
    [
        (DocumentError("f.toml", "a.b", "is wrong", "mend it"), 2, "tunneld: f.toml: a.b: is wrong (mend it)\n"),
        (StreamError(Reason.EDGE_LOST, "gone"), 1, "tunneld: edge_lost: gone\n"),
        (TunneldError("no"), 1, "tunneld: no\n"),
        (OSError(98, "Address already in use"), 1, "tunneld: [Errno 98] Address already in use\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_error_is_one_line_and_a_status(
    error: BaseException, expected: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bad input is 2, failure is 1, Ctrl-C is quiet."""
    failing(monkeypatch, error)
    assert status("status") == expected
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", line)


def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug of ours shows its trace."""
    failing(monkeypatch, ZeroDivisionError("bug"))
    with pytest.raises(ZeroDivisionError):
        cli.main(["status"])


def test_a_misspelt_command_is_corrected(capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, and the right word."""
    assert status("swich") == 2
    assert "switch" in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    """One line."""
    assert status("--version") == 0
    assert capsys.readouterr().out.startswith("tunneld ")
