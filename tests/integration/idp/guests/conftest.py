"""One scene per test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.idp.guests.people import Scene
from tests.integration.idp.world import Clock, World


@pytest.fixture
async def scene(prepared: Path, tmp_path: Path, clock: Clock) -> AsyncIterator[Scene]:
    world = World.copy(prepared, tmp_path, clock)
    try:
        yield await Scene.open(world)
    finally:
        await world.close()
