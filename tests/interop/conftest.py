"""Programs and libraries of others on the other side. One loop is enough: the servers run in processes of their own."""

from __future__ import annotations

from tunneld.net.loops import LOOPS, LoopFactory


def pytest_asyncio_loop_factories() -> dict[str, LoopFactory]:
    return {"asyncio": LOOPS["asyncio"]}
