"""`tunneld lab`: the whole world on one machine."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The whole world on this machine: tenants, edges, identity provider and real applications.")

StateOption = Annotated[
    Path | None,
    typer.Option(
        help="Directory for the lab's files. It is kept: a second start is the same world. "
        "Default for `up`: $TUNNELD_STATE, else ~/.local/state/tunneld-lab; for `demo`: a temporary one."
    ),
]


@app.command()
def up(state: StateOption = None) -> None:
    """Start the world and stay in the foreground.

    When the user is signed in and everything is ready, one JSON line on standard output says where everything is; all
    else goes to standard error. Ctrl-C stops it.
    """
    from tunneld.lab.up import up as run

    run(state or default_state(), say=_say, announce=typer.echo)


@app.command()
def demo(
    state: StateOption = None,
    identity: Annotated[
        bool, typer.Option("--identity", help="Play the story of two organizations: block, explain, trust, invite.")
    ] = False,
) -> None:
    """Play the story: start the world, use it with real clients, show what passed. Exit status 0 only if all did."""
    from tunneld.lab.demo import play

    directory = state or Path(tempfile.mkdtemp(prefix="tunneld-demo-"))
    passed = play(directory, identity=identity)
    if passed and state is None:
        shutil.rmtree(directory)  # after a failure it stays: the logs are in it
    raise typer.Exit(0 if passed else 1)


@app.command()
def applications(config: Annotated[Path, typer.Option(help="Settings document of the applications (JSON).")]) -> None:
    """Run the lab's applications. The lab starts this by itself."""
    from tunneld.lab.applications import load_settings, serve
    from tunneld.net.loops import loop_factory

    settings = load_settings(config)

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(settings, lambda: print_ready({"ready": True, "pid": os.getpid()}), stop)

    with asyncio.Runner(loop_factory=loop_factory("uvloop")) as runner:
        runner.run(main())


def default_state() -> Path:
    """Return where a lab keeps its files: $TUNNELD_STATE as for every command, else beside a real daemon's state."""
    if os.environ.get("TUNNELD_STATE"):
        return Path(os.environ["TUNNELD_STATE"])
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "tunneld-lab"


def print_ready(line: dict[str, object]) -> None:
    """Write a ready line at once: whoever started us waits for it."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _say(line: str) -> None:
    typer.echo(f"lab: {line}" if line else "", err=True)
