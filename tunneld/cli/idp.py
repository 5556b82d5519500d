"""`tunneld idp`: run the mock identity provider."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunneld.idp.server import run


def idp(
    config: Annotated[Path, typer.Option("--config", help="Settings file, TOML or JSON.")],
) -> None:
    """Run the mock identity provider until SIGTERM; prints one JSON line when it is ready."""
    raise typer.Exit(run(config))
