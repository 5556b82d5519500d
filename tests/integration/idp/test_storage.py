"""One contract for both databases: whole writes, their audit records, and what a kill in the middle leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import select, text

from tests.integration.idp.storage_world import BOB_REF, STAFF_REF, changed, entry, pair_commit
from tests.integration.idp.world import (
    ALEX,
    ALEX_F,
    BOB,
    CONTOSO,
    FABRIKAM,
    STAFF,
    WIKI,
    WIKI_F,
    World,
    directory,
    scope_of,
)
from tests.support.postgresql import server
from tunneld.idp import credentials, evidence
from tunneld.idp.audit_log import audits
from tunneld.idp.changes import ConflictError
from tunneld.idp.object_rows import revision
from tunneld.idp.provider import Provider
from tunneld.idp.sign_in_log import recorded_questions, sign_ins
from tunneld.policy.directory_objects import GroupObject
from tunneld.policy.facts import MethodUse
from tunneld.policy.objects import Change, ObjectRef
from tunneld.policy.views import fingerprint_of, view


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    with server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
async def stored(request: pytest.FixtureRequest, world: World) -> AsyncIterator[World]:
    """A world whose provider is open on either database, empty at first."""
    await world.close()
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql")
        name = f"t{uuid.uuid4().hex}"
        connection = await asyncpg.connect(url)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        world.settings = world.settings.model_copy(update={"database": url.replace("/postgres", f"/{name}")})
    await world.open()
    yield world
    await world.close()


def provider_of(world: World) -> Provider:
    assert world.provider is not None
    return world.provider


async def rows_of(world: World, table: Any = audits) -> list[Any]:
    await provider_of(world).records.flush()
    async with provider_of(world).database.connect() as connection:
        return list((await connection.execute(select(table).order_by(table.c.at))).all())


async def test_what_was_committed_is_there_after_a_restart_and_after_a_reload(stored: World) -> None:
    provider = provider_of(stored)
    nested = GroupObject(id="dddddddd-0000-4000-8000-000000000009", display_name="Inner", members=(BOB,))
    await provider.commit(
        [Change(ObjectRef(CONTOSO, "group", nested.id), nested),
         changed(provider, STAFF_REF, members=[ALEX, nested.id]), changed(provider, BOB_REF, displayName="Robert")],
        [entry("Update group")], correlation_id="0" * 32,
    )
    seen = provider.directory.tenants[CONTOSO]
    assert seen.users[BOB].groups == tuple(sorted((STAFF, nested.id)))
    await stored.close()
    await stored.open()
    again = provider_of(stored).directory.tenants[CONTOSO]
    assert (again.users[BOB], again.groups, again.version) == (seen.users[BOB], seen.groups, seen.version)
    stored.write_directory(directory())
    await provider_of(stored).refresh()
    assert provider_of(stored).directory.tenants[CONTOSO].users[BOB].display_name == "Robert"
    (row,) = [row for row in await rows_of(stored) if row.activity == "Update group"]
    assert (row.result, row.actor_id, row.correlation_id) == ("success", BOB, "00000000-0000-0000-0000-000000000000")


async def test_a_write_acts_on_the_very_next_token(stored: World) -> None:
    """Disabled, out of the group, deleted: each shows at once, to a session that was good a moment ago."""
    provider, browser = provider_of(stored), stored.browser()
    tokens = await browser.signed_in("contoso", scope=f"{scope_of(WIKI)} offline_access")

    async def refreshed() -> tuple[int, int]:
        answer = await browser.refresh("contoso", tokens["refresh_token"], scope=scope_of(WIKI))
        body = answer.json()
        tokens["refresh_token"] = body.get("refresh_token", tokens["refresh_token"])
        return answer.status_code, body.get("error_codes", [0])[0]

    assert await refreshed() == (200, 0)
    before = changed(provider, STAFF_REF)
    await provider.commit([changed(provider, STAFF_REF, members=[])], [entry("Update group")], correlation_id="")
    assert await refreshed() == (400, 50105)
    await provider.commit([before], [entry("Update group")], correlation_id="")
    assert await refreshed() == (200, 0)
    ref = ObjectRef(CONTOSO, "user", ALEX)
    await provider.commit([changed(provider, ref, accountEnabled=False)], [entry("Update user")], correlation_id="")
    assert await refreshed() == (400, 50057)
    await provider.commit([Change(ref, None)], [entry("Delete user")], correlation_id="")
    status, code = await refreshed()
    assert (status, code in (50034, 50173)) == (400, True)
    assert view(provider.directory, CONTOSO, "user", ALEX) is None


async def test_a_refused_write_changes_nothing_and_is_on_record(stored: World) -> None:
    provider = provider_of(stored)
    before = provider.directory
    changes = [changed(provider, BOB_REF, displayName="Robert"),
               changed(provider, STAFF_REF, members=[str(uuid.uuid4())])]
    with pytest.raises(ConflictError) as caught:
        await provider.commit(changes, [entry("Update group")], correlation_id="")
    assert caught.value.conflict.rule == "unknownMember"
    with pytest.raises(ConflictError) as stale:
        await provider.commit(changes[:1], [entry("Update user")], correlation_id="", expected={BOB_REF: "0" * 32})
    assert stale.value.conflict.status == 412
    assert provider.directory is before
    results = [(row.activity, row.result) for row in await rows_of(stored)]
    assert [each for each in results if each[0].startswith("Update")] == [
        ("Update group", "failure"), ("Update user", "failure")]
    expected = {BOB_REF: fingerprint_of(provider.directory, BOB_REF)}
    await provider.commit(changes[:1], [entry("Update user")], correlation_id="", expected=expected)
    assert provider.directory.tenants[CONTOSO].users[BOB].display_name == "Robert"


async def test_a_second_writer_is_noticed(stored: World) -> None:
    first = provider_of(stored)
    second = await Provider.open(stored.settings, "https://idp.test", stored.clock)
    try:
        await pair_commit(first, 1)
        with pytest.raises(ConflictError) as caught:
            await pair_commit(second, 2)
        assert caught.value.conflict.rule == "concurrentChange"
        assert second.directory.tenants[CONTOSO].users[BOB].display_name == "Bob 1"
        await pair_commit(second, 3)
        await first.refresh()
        assert first.directory.tenants[CONTOSO].users[BOB].display_name == "Bob 3"
    finally:
        await second.close()


async def test_a_write_that_was_cut_off_is_read_back(stored: World) -> None:
    """Whichever moment it is cancelled at: what is in force afterwards is what is stored."""
    provider = provider_of(stored)
    for number in range(1, 60):
        task = asyncio.ensure_future(pair_commit(provider, number))  # noqa: TID251 - cancelled from outside on purpose
        for _ in range(number):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await provider.refresh()
        tenant = provider.directory.tenants[CONTOSO]
        shown = view(provider.directory, CONTOSO, "group", STAFF)
        assert isinstance(shown, GroupObject)
        in_force = (tenant.users[BOB].display_name, shown.description)
        assert in_force == ("Bob", None) or in_force == (f"Bob {in_force[1]}", in_force[1])


async def test_an_object_that_no_longer_fits_is_kept_and_reported(stored: World) -> None:
    provider = provider_of(stored)
    await pair_commit(provider, 1)
    async with provider.database.transaction() as connection:
        for kind, key, body in (("user", "x", '{"id": 5}'), ("nonsense", "y", "{}"), ("group", "z", "no json")):
            await connection.execute(text(
                "INSERT INTO objects (tenant_id, kind, id, body, updated_at) VALUES (:t, :k, :i, :b, 0)"
            ), {"t": CONTOSO, "k": kind, "i": key, "b": body})
    await stored.close()
    await stored.open()
    live = provider_of(stored).live
    assert {misfit.ref.id for misfit in live.misfits} == {"x", "y", "z"}
    assert provider_of(stored).directory.tenants[CONTOSO].users[BOB].display_name == "Bob 1"


async def test_kill_in_the_middle_of_commits(stored: World, tmp_path: Path) -> None:
    """After each kill both objects and the audit log tell of one last write, and none that was promised is lost."""
    await stored.close()
    settings = tmp_path / "settings.json"
    values = stored.settings.model_dump(mode="json")
    settings.write_text(json.dumps(values))
    promised = 0
    for patience in (0.05, 0.15, 0.3):
        child = subprocess.Popen(  # noqa: ASYNC220 - it prints at once, and is killed
            [sys.executable, "-m", "tests.integration.idp.committing", str(settings), str(promised)],
            stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
        )
        assert child.stdout is not None
        try:
            line = await asyncio.to_thread(child.stdout.readline)
            assert line, "the program ended by itself"
            await asyncio.sleep(patience)
        finally:
            os.kill(child.pid, signal.SIGKILL)
            rest = child.stdout.read()
            child.wait()
            child.stdout.close()
        promised = int([*line.split(), *(part for part in rest.split("\n")[:-1] if part)][-1])
        await stored.open()
        provider = provider_of(stored)
        tenant = provider.directory.tenants[CONTOSO]
        shown = view(provider.directory, CONTOSO, "group", STAFF)
        assert isinstance(shown, GroupObject)
        last = int(shown.description or 0)
        assert tenant.users[BOB].display_name == f"Bob {last}"
        written = [int(row.activity.rsplit(" ")[-1]) for row in await rows_of(stored) if row.activity[-1].isdigit()]
        assert sorted(written) == list(range(1, last + 1))
        assert await revision(provider.database) == last
        assert promised <= last <= promised + 1
        promised = last
        await stored.close()
    await stored.open()


async def test_both_tenants_have_their_record_of_a_visit(stored: World) -> None:
    browser = stored.browser()
    await browser.signed_in("fabrikam", scope=f"{scope_of(WIKI_F)} offline_access")
    rows = [row for row in await rows_of(stored, sign_ins) if row.resource_id == WIKI_F]
    by_tenant = {row.tenant_id: row for row in rows}
    assert by_tenant.keys() == {CONTOSO, FABRIKAM}
    home, resource = by_tenant[CONTOSO], by_tenant[FABRIKAM]
    assert (home.user_id, resource.user_id) == (ALEX, ALEX_F)
    assert home.correlation_id in {row.correlation_id for row in rows if row.tenant_id == FABRIKAM}
    assert (home.access_type, home.error_code) == ("b2bCollaboration", 0)
    asked = await recorded_questions(provider_of(stored).database, FABRIKAM)
    assert asked[-1].request.account == (CONTOSO, ALEX)
    assert await recorded_questions(provider_of(stored).database, FABRIKAM, until=asked[0].at) == []
    await provider_of(stored).records.sweep(int(stored.clock()) + 5)
    assert await rows_of(stored, sign_ins) == []


async def test_facts_of_sessions_and_methods(stored: World) -> None:
    """What people registered and what sessions proved: written once, the latest use counts, gone with the session."""
    database, owner, other = provider_of(stored).database, (CONTOSO, ALEX), (FABRIKAM, ALEX_F)
    await credentials.add_app(database, credentials.AuthenticatorApp("app", owner, "Phone", "sealed", 7, 1))
    assert [await credentials.use_step(database, "app", step) for step in (7, 9, 8, 9)] == [False, True, False, False]
    kept = credentials.Passkey("key", other, "Key", "public", 2**32 - 2, 1)
    assert [await credentials.add_passkey(database, kept) for _ in range(2)] == [True, False]
    assert await credentials.count_use(database, "key", 2**32 - 2, 2**32 - 1)
    assert not await credentials.count_use(database, "key", 2**32 - 2, 2**32 - 1)
    assert await credentials.kinds_of(database, (owner, other)) == {owner: {"softwareOath"}, other: {"fido2"}}
    assert not await credentials.remove(database, owner, "key")  # it is somebody else's
    assert await credentials.remove(database, other, "key")
    for at in (5, 6):
        await evidence.record_method(database, "gone", "home", MethodUse("password", at))
        await evidence.record_device(database, "gone", f"device {at}", at)
        await evidence.accept_terms(database, owner, "terms", "1", at)
    found = await evidence.proved(database, "gone")
    assert (found.at("home"), found.at(FABRIKAM), found.device_id) == ((MethodUse("password", 6),), (), "device 6")
    assert await evidence.accepted_terms(database, owner) == {("terms", "1", 6)}
    await evidence.sweep(database)
    assert await evidence.proved(database, "gone") == evidence.Proved()
