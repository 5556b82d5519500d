"""The `tunneld` command: the table of commands, and what happens to errors.

A command's module is imported only when that command is asked for, so that `tunneld --help` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import typer

from tunneld.model.errors import DocumentError, TunneldError

BAD_INPUT = 2  # as for a wrong option
FAILED = 1
INTERRUPTED = 130  # 128 + SIGINT, as the shell reports it


class Command(NamedTuple):
    """One command: its name, where its function or typer application lives, its line in the overview."""

    name: str
    target: str
    summary: str
    panel: str


PROGRAMS, DAEMON, TOOLS = "The three programs", "Of a running daemon", "Tools"

COMMANDS = (
    Command("lab", "tunneld.cli.lab:app", "Start the whole world on this machine, or play the demo in it.", TOOLS),
    Command("run", "tunneld.cli.run:run", "Run the daemon.", PROGRAMS),
    Command("edge", "tunneld.cli.edge:edge", "Run an edge.", PROGRAMS),
    Command("idp", "tunneld.cli.idp:idp", "Run the identity provider.", PROGRAMS),
    Command("status", "tunneld.cli.control:status", "Show the active tenant, its channels and its profile.", DAEMON),
    Command("tenants", "tunneld.cli.control:tenants", "List the tenants that the user may switch to.", DAEMON),
    Command("flows", "tunneld.cli.control:flows", "List flows, live and closed, with rule and reason.", DAEMON),
    Command("health", "tunneld.cli.control:health", "Check every part that a flow depends on.", DAEMON),
    Command("login", "tunneld.cli.control:login", "Sign in with the home account.", DAEMON),
    Command("logout", "tunneld.cli.control:logout", "Sign out and drop every tunnel and token.", DAEMON),
    Command("switch", "tunneld.cli.control:switch", "Switch to another tenant and print the receipt.", DAEMON),
    Command("explain", "tunneld.cli.control:explain", "Say where a destination goes, and why not elsewhere.", DAEMON),
    Command("profile", "tunneld.cli.profile:app", "Check, compile and compare forwarding profiles.", TOOLS),
    Command("policy", "tunneld.cli.policy:app", "Export, plan, apply and try a tenant's policy.", TOOLS),
    Command("logs", "tunneld.cli.logs:app", "Read a tenant's sign-in and audit logs, or export them.", TOOLS),
    Command("certs", "tunneld.cli.certs:certs", "Make or renew the lab's authorities and certificates.", TOOLS),
    Command("init", "tunneld.cli.init:init", "Write a commented starting configuration.", TOOLS),
    Command("reasons", "tunneld.cli.reasons:reasons", "List every reason, with the sentence it stands for.", TOOLS),
)

ABOUT = """A private-access daemon, a mock edge and a mock identity provider for one Linux machine.

Begin with: tunneld lab demo
"""


def build(wanted: str | None) -> typer.Typer:
    """Return the application with the command `wanted` in full and the others as lines of the overview."""
    app = typer.Typer(help=ABOUT, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback(invoke_without_command=True)(_top)
    for command in COMMANDS:
        target = _load(command.target) if command.name == wanted else _listed
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=command.name, help=command.summary)
        else:
            summary = command.summary if target is _listed else None  # else its docstring, which says more
            app.command(command.name, help=summary, rich_help_panel=command.panel)(target)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 it failed, 2 bad input, one line of error either way."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        build(next((word for word in words if not word.startswith("-")), None))(words, prog_name="tunneld")
    except KeyboardInterrupt:  # while a module was being imported; typer sees to the rest
        sys.exit(INTERRUPTED)
    except DocumentError as error:
        _complain(error)
        sys.exit(BAD_INPUT)
    except (TunneldError, OSError) as error:
        _complain(error)
        sys.exit(FAILED)


def _top(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        from tunneld import __version__

        typer.echo(f"tunneld {__version__}")
        raise typer.Exit


def _listed() -> None:
    """Stand for a command that was not asked for."""


def _load(target: str) -> Callable[..., Any] | typer.Typer:
    module, _, name = target.partition(":")
    found: Callable[..., Any] | typer.Typer = getattr(import_module(module), name)
    return found


def _complain(error: BaseException) -> None:
    typer.echo(f"tunneld: {error}", err=True)
