"""`tunneld run`: the daemon."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from tunneld.client.daemon import Ready
from tunneld.client.program import serve
from tunneld.client.settings import load_settings
from tunneld.journal.log import configure
from tunneld.net.loops import run as run_loop


def run(
    config: Annotated[Path, typer.Option("--config", help="Settings file (TOML).", metavar="FILE")],
    log_level: Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the daemon in the foreground until SIGTERM; prints one JSON line when it is ready."""
    if log_level.lower() not in ("debug", "info", "warning", "error"):
        raise typer.BadParameter("debug, info, warning or error", param_hint="--log-level")
    settings = load_settings(config)
    configure("daemon", level=log_level)
    run_loop(serve(settings, where=str(config), announce=_announce))


def _announce(ready: Ready) -> None:
    line = {"ready": True, "proxy": ready.proxy, "control": str(ready.control), "pid": os.getpid()}
    typer.echo(json.dumps(line))
