"""Fixtures: one world a test, closed and checked for internal errors afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.idp.world import Browser, Clock, World, prepare


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
