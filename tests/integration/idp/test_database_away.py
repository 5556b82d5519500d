"""A database that is stopped or full: 503 and when to come again, never 500, and all is well when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from tests.integration.idp.graph.admin import Admin, administrator
from tests.integration.idp.world import BOB, WIKI, Browser, World, answer, scope_of
from tests.support.postgresql import Server, controlled_server
from tunneld.idp.application import RETRY_S
from tunneld.idp.database import Database, DatabaseAwayError
from tunneld.idp.server import _watch, sweep

SCOPE = f"{scope_of(WIKI)} offline_access"
FAULTS = ("unable to open database file", "database or disk is full", "disk I/O error", "database is locked")


@contextlib.contextmanager
def broken(world: World, words: str) -> Iterator[None]:
    """Let every statement fail as SQLite fails."""
    assert world.provider is not None
    engine = world.provider.database._engine.sync_engine

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError(words)

    event.listen(engine, "do_execute", fail)
    try:
        yield
    finally:
        event.remove(engine, "do_execute", fail)


def is_away(refused: httpx.Response) -> bool:
    body = refused.json()
    oauth = isinstance(body["error"], str)
    error = body["error"] if oauth else body["error"]["code"]
    assert not oauth or body["error_codes"] == [90024]
    assert refused.status_code == 503, refused.text
    assert refused.headers["retry-after"] == str(RETRY_S)
    return error in ("temporarily_unavailable", "serviceUnavailable")


Calls = list[Callable[[], Awaitable[httpx.Response]]]


def calls(browser: Browser, admin: Admin, tokens: dict[str, Any]) -> Calls:
    return [
        lambda: browser.refresh("contoso", tokens["refresh_token"], scope=SCOPE),
        lambda: browser.authorize("contoso", prompt="none"),
        lambda: browser.http.get("/contoso/mysecurityinfo"),
        lambda: admin.send("GET", "/v1.0/auditLogs/signIns"),
        lambda: admin.send("PATCH", f"/v1.0/users/{BOB}", {"city": "Berlin"}),
    ]


async def recovers(browser: Browser, admin: Admin, tokens: dict[str, Any]) -> None:
    refreshed = await browser.refresh("contoso", tokens["refresh_token"], scope=SCOPE)
    assert refreshed.status_code == 200, refreshed.text  # the line of refresh tokens did not suffer
    assert (await admin.send("PATCH", f"/v1.0/users/{BOB}", {"city": "Rome"})).status_code == 204
    assert (await admin.get(f"/v1.0/users/{BOB}"))["city"] == "Rome"


@pytest.mark.parametrize("words", FAULTS)
async def test_sqlite_fails_and_comes_back(world: World, words: str) -> None:
    browser, admin = world.browser(), await administrator(world)
    tokens = await browser.signed_in("contoso", scope=SCOPE)
    with broken(world, words):
        for call in calls(browser, admin, tokens):
            assert is_away(await call())
    await recovers(browser, admin, tokens)


async def test_a_code_survives_an_outage(world: World) -> None:
    """Nobody got tokens for it, so its second use is the first one that counts."""
    browser = world.browser()
    code = answer(await browser.sign_in("contoso", scope=SCOPE))["code"]
    with broken(world, "disk I/O error"):
        assert is_away(await browser.redeem("contoso", code))
    assert (await browser.redeem("contoso", code)).status_code == 200
    assert (await browser.redeem("contoso", code)).json()["error_codes"] == [54005]


async def test_the_server_s_own_work_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch outlives an outage: it would end the whole program otherwise."""
    assert world.provider is not None
    monkeypatch.setattr("tunneld.idp.server.WATCH_S", 0.01)
    with broken(world, "disk I/O error"):
        with pytest.raises(DatabaseAwayError):
            await sweep(world.provider)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await _watch(world.provider)
    await sweep(world.provider)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    with controlled_server() as running:
        yield running


@pytest.fixture
async def on_server(postgresql: Server, world: World) -> World:
    await world.close()
    world.settings = world.settings.model_copy(update={"database": postgresql.url})
    await world.open()
    return world


async def test_postgresql_stops_and_starts(on_server: World, postgresql: Server) -> None:
    browser, admin = on_server.browser(), await administrator(on_server)
    tokens = await browser.signed_in("contoso", scope=SCOPE)
    await asyncio.to_thread(postgresql.stop)
    try:
        for call in calls(browser, admin, tokens):
            assert is_away(await call())
    finally:
        await asyncio.to_thread(postgresql.start)
    await recovers(browser, admin, tokens)


async def test_what_is_no_outage_is_not_called_one(world: World) -> None:
    assert world.provider is not None
    database: Database = world.provider.database
    with pytest.raises(OperationalError, match="no such table"):  # as SQLite calls a wrong statement
        async with database.connect() as connection:
            await connection.exec_driver_sql("SELECT * FROM nothing_of_that_name")
