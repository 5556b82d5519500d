"""What the commands of `tunneld policy` have in common: their options and how they print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

WIDE = 200  # of a pipe: nobody reads it in a terminal, so nothing is folded

Tenants = Annotated[
    list[str] | None,
    typer.Option("--tenant", "-t", metavar="T", help="Only this tenant; may be given again. Default: all of the lab."),
]
Folders = Annotated[
    list[str] | None,
    typer.Option("--tenant", "-t", metavar="T", help="Only this tenant; may be given again. Default: all in DIR."),
]
Tenant = Annotated[
    str | None, typer.Option("--tenant", "-t", metavar="T", help="As this tenant's administrator. Default: the first.")
]
State = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="State directory of a lab. Default: $TUNNELD_STATE, else the usual."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def console() -> Console:
    """Return where reports go: as wide as the terminal, and wide when there is none."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)


def print_json(value: Any) -> None:  # any JSON value
    """Print one JSON document."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))
