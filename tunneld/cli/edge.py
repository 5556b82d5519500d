"""`tunneld edge`: run the mock edge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunneld.edge.server import run


def edge(
    config: Annotated[Path, typer.Option("--config", help="Settings file (TOML).")],
) -> None:
    """Run the mock edge until SIGTERM; prints one JSON line when it is ready."""
    raise typer.Exit(run(config))
