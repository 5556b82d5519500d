"""Contracts of the data plane are kept on every loop that can be selected, not only on the usual ones."""

from __future__ import annotations

from tunneld.net.loops import LOOPS, LoopFactory


def pytest_asyncio_loop_factories() -> dict[str, LoopFactory]:
    """Run asynchronous tests of this directory once for each loop."""
    return LOOPS
