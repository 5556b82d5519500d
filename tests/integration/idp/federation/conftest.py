"""The world of these tests: its clock stands where the partner's certificates are valid, and one host may be asked."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.idp.world import CONTOSO, FABRIKAM, TAILSPIN, WOODGROVE, Browser, Clock, World, prepare
from tests.support.saml_partner import NOW
from tunneld.idp.federation_settings import FederationSettings
from tunneld.idp.keys import KeyRing
from tunneld.net.loops import LOOPS, LoopFactory
from tunneld.policy.key_schedule import KeyPolicy


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
    # Keys of the day on which these tests take place, or each of them would make new ones.
    shutil.rmtree(root / "state" / "idp-keys")
    ring = KeyRing(root / "state" / "idp-keys", KeyPolicy(1, 1, 1))
    ring.advance(dict.fromkeys((CONTOSO, FABRIKAM, WOODGROVE, TAILSPIN), ()), NOW)
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
