"""Fixtures: one world a test, closed and checked for internal errors afterwards.

These tests meet the application in memory, so one loop is enough; the program runs on its own loop in
`test_program.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.idp.world import Browser, Clock, World, prepare
from tunneld.net.loops import LOOPS, LoopFactory


def pytest_asyncio_loop_factories() -> dict[str, LoopFactory]:
    return {"asyncio": LOOPS["asyncio"]}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("idp")
    prepare(root)
    return root


@pytest.fixture
async def world(prepared: Path, tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    made = World.copy(prepared, tmp_path, clock)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def browser(world: World) -> Browser:
    return world.browser()
