"""The world of these tests: its clock stands where the partner's certificates are valid, and one host may be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.idp.world import Browser, Clock, World, prepare
from tests.support.saml_partner import NOW
from tunneld.idp.federation_settings import FederationSettings
from tunneld.net.loops import LOOPS, LoopFactory


def pytest_asyncio_loop_factories() -> dict[str, LoopFactory]:
    return {"asyncio": LOOPS["asyncio"]}


@pytest.fixture
def clock() -> Clock:
    made = Clock()
    made.now = float(NOW)
    return made


@pytest.fixture(scope="session")
def prepared_outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("federation")
    prepare(root)
    return root


@pytest.fixture
async def world(prepared_outside: Path, tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    made = World.copy(prepared_outside, tmp_path, clock)
    made.settings = made.settings.model_copy(update={
        "federation": FederationSettings(hosts=("id.other.example",), resolver="127.0.0.1:1", timeout_s=2.0),
    })
    await made.open()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def browser(world: World) -> Browser:
    return world.browser()
