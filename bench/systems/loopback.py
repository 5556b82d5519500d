"""No proxy at all: what the load generator and the origin reach by themselves, the ceiling of every other row."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.flows import NONE, Endpoint
from bench.systems.system import Running


class Loopback:
    """The load generator connected straight to the origin."""

    name = "loopback"
    title = "no proxy (ceiling of the harness)"

    def missing(self) -> str | None:
        """Loopback is always there."""
        return None

    @contextmanager
    def start(self, folder: Path, origin_port: int) -> Iterator[Running]:  # noqa: ARG002 - the folder is for the others
        """Nothing to start."""
        yield Running(
            tunnel=Endpoint(NONE, origin_port, "127.0.0.1", origin_port),
            client=(),
            edge=(),
            version=f"Linux {platform.release()}",
            cipher=None,
            checks="none",
        )
