"""Cross-tenant synchronization over the API: from both tenants' consent to people who can sign in, and back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.idp.graph.admin import PARTNERS, Admin, administrator, error
from tests.integration.idp.world import (
    ALEX,
    ALEX_F,
    BOB,
    CONTOSO,
    EVE,
    FABRIKAM,
    STAFF,
    WOODGROVE,
    Clock,
    World,
    answer,
)
from tunneld.idp.administration import cycles
from tunneld.idp.administration.cycles import run_cycle, work_off
from tunneld.idp.administration.upkeep import keep_up
from tunneld.idp.changes import ConflictError
from tunneld.policy.objects import Conflict

JOBS = "/v1.0/tenantRelationships/synchronizationJobs"
KEY = (CONTOSO, FABRIKAM)
DAY = 86400


@pytest.fixture
async def source(world: World) -> Admin:
    """Both tenants' administrators have agreed; the job pushes everybody called bob or alex. Returns the source's."""
    admin = await administrator(world)
    there = await administrator(world, tenant=FABRIKAM, oid=ALEX_F)
    await consent(admin, FABRIKAM, outbound=True)
    await consent(there, CONTOSO, inbound=True)
    allow = {"userSyncInbound": {"isSyncAllowed": True}}
    put = await there.send("PUT", f"{PARTNERS}/{CONTOSO}/identitySynchronization", allow)
    assert put.status_code in (201, 204), put.text
    made = await admin.send("POST", JOBS, {"id": FABRIKAM, "scope": {"users": [ALEX, BOB]}})
    assert made.status_code == 201, made.text
    return admin


async def consent(admin: Admin, partner: str, *, inbound: bool = False, outbound: bool = False) -> None:
    settings = {"inboundAllowed": inbound, "outboundAllowed": outbound}
    body = {"tenantId": partner, "automaticUserConsentSettings": settings}
    assert (await admin.send("POST", PARTNERS, body)).status_code == 201


async def cycle(world: World) -> dict[str, Any]:
    assert world.provider is not None
    return (await run_cycle(world.provider, KEY)).to_json()


def actions(report: dict[str, Any]) -> dict[str, str]:
    return {step["sourceId"]: step["action"] for step in report["steps"] if step["action"] != "skip"}


def pushed(world: World, oid: str) -> Any:
    """The object of a source account in the target."""
    assert world.provider is not None
    directory = world.provider.directory
    return directory.presence(directory.tenants[FABRIKAM], (CONTOSO, oid))


async def patch(admin: Admin, oid: str, **members: Any) -> None:
    done = await admin.send("PATCH", f"/v1.0/users/{oid}", members)
    assert done.status_code in (200, 204), done.text


async def test_a_pushed_member_signs_in_without_being_asked_anything(world: World, source: Admin) -> None:
    """No invitation, no consent page; a guest who was there stays what they were."""
    report = await cycle(world)
    assert (report["status"], actions(report)) == ("succeeded", {ALEX: "update", BOB: "create"})
    bob = pushed(world, BOB)
    assert (str(bob.user_type), bob.pending, bob.upn) == ("member", False, "bob_contoso.example#ext#@fabrikam.example")
    assert str(pushed(world, ALEX).user_type) == "guest"
    reply = answer(await world.browser().sign_in("fabrikam", user="bob@contoso.example"))
    assert "code" in reply, reply
    assert actions(await cycle(world)) == {}
    assert (await source.get(f"{JOBS}/{FABRIKAM}/status"))["status"] == "succeeded"


async def test_a_report_outlives_a_restart(world: World, source: Admin) -> None:
    """The last one, and of its own job alone."""
    assert (await source.get(f"{JOBS}/{FABRIKAM}/status"))["status"] == "notRun"
    await cycle(world)
    second = await cycle(world)
    await world.close()
    await world.open()
    shown = await Admin.mint(world).get(f"{JOBS}/{FABRIKAM}/status")
    assert shown == second
    assert (shown["status"], shown["counts"]["skip"]) == ("succeeded", 3)
    made = await Admin.mint(world).send("POST", JOBS, {"id": WOODGROVE})
    assert made.status_code == 201, made.text
    assert (await Admin.mint(world).get(f"{JOBS}/{WOODGROVE}/status"))["status"] == "notRun"


async def test_a_dry_run_says_the_same_and_does_nothing(world: World, source: Admin) -> None:
    """Person by person, with the reason of each."""
    rehearsed = (await source.send("POST", f"{JOBS}/{FABRIKAM}/plan")).json()
    assert (rehearsed["dryRun"], pushed(world, BOB)) == (True, None)
    done = await cycle(world)
    assert rehearsed["counts"] == done["counts"]
    assert [(step["sourceId"], step["action"], step["reason"]) for step in rehearsed["steps"]] == [
        (step["sourceId"], step["action"], step["reason"]) for step in done["steps"]
    ]


async def test_disabled_deleted_and_restored(world: World, source: Admin, clock: Clock) -> None:
    """The target follows at the next cycle; the same object comes back within 30 days."""
    await cycle(world)
    first = pushed(world, BOB)
    await patch(source, BOB, accountEnabled=False)
    assert actions(await cycle(world)) == {BOB: "disable"}
    assert not pushed(world, BOB).enabled
    await patch(source, BOB, accountEnabled=True)
    assert actions(await cycle(world)) == {BOB: "update"}
    await source.send("PATCH", f"{JOBS}/{FABRIKAM}", {"scope": {"users": [ALEX]}})
    assert actions(await cycle(world)) == {BOB: "softDelete"}
    assert pushed(world, BOB) is None
    clock.now += 29 * DAY
    admin = Admin.mint(world)
    await admin.send("PATCH", f"{JOBS}/{FABRIKAM}", {"scope": {"users": [ALEX, BOB]}})
    assert actions(await cycle(world)) == {BOB: "restore"}
    again = pushed(world, BOB)
    assert (again.oid, again.upn, again.user_type) == (first.oid, first.upn, first.user_type)


async def test_after_30_days_a_new_object_is_made(world: World, source: Admin, clock: Clock) -> None:
    """The old one is gone for good."""
    await cycle(world)
    first = pushed(world, BOB).oid
    await source.send("PATCH", f"{JOBS}/{FABRIKAM}", {"scope": {"users": [ALEX]}})
    await cycle(world)
    clock.now += 31 * DAY
    assert actions(await cycle(world)) == {BOB: "hardDelete"}
    assert world.provider is not None
    assert world.provider.directory.tenants[FABRIKAM].object("deletedUser", first) is None
    admin = Admin.mint(world)
    await admin.send("PATCH", f"{JOBS}/{FABRIKAM}", {"scope": {"users": [ALEX, BOB]}})
    assert actions(await cycle(world)) == {BOB: "create"}
    assert pushed(world, BOB).oid != first


async def test_an_edit_at_the_target_lasts_until_the_source_changes(world: World, source: Admin) -> None:
    """Also a sign-in block, which the next change at home undoes."""
    await cycle(world)
    there = Admin.mint(world, FABRIKAM, ALEX_F)
    await patch(there, pushed(world, BOB).oid, displayName="Our Bob", accountEnabled=False)
    assert actions(await cycle(world)) == {}
    assert (pushed(world, BOB).display_name, pushed(world, BOB).enabled) == ("Our Bob", False)
    await patch(source, BOB, jobTitle="Director")
    assert actions(await cycle(world)) == {BOB: "update"}
    bob = pushed(world, BOB)
    assert (bob.display_name, bob.enabled, bob.attributes["jobTitle"]) == ("Bob", True, "Director")


async def test_cutting_the_relationship_leaves_everybody(world: World, source: Admin) -> None:
    """The next cycle fails with the setting's name, and nobody is deleted."""
    await cycle(world)
    there = Admin.mint(world, FABRIKAM, ALEX_F)
    gone = await there.send("DELETE", f"{PARTNERS}/{CONTOSO}/identitySynchronization")
    assert gone.status_code == 204, gone.text
    await source.send("PATCH", f"{JOBS}/{FABRIKAM}", {"scope": {"users": []}})
    report = await cycle(world)
    assert (report["status"], report["steps"]) == ("failed", [])
    assert "isSyncAllowed" in report["error"]
    assert pushed(world, BOB) is not None


async def test_a_cycle_that_was_killed_is_finished_by_the_next(
    world: World, source: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any number of batches: the state in the end is that of an undisturbed cycle."""
    monkeypatch.setattr(cycles, "BATCH", 1)
    provider = world.provider
    assert provider is not None
    commit, left = provider.live.commit, [1]

    async def dies(*arguments: Any, **named: Any) -> None:
        if not left[0]:
            raise asyncio.CancelledError
        left[0] -= 1
        await commit(*arguments, **named)

    monkeypatch.setattr(type(provider.live), "commit", lambda self, *a, **n: dies(*a, **n))
    with pytest.raises(asyncio.CancelledError):
        await run_cycle(provider, KEY)
    monkeypatch.undo()
    await world.close()
    await world.open()
    assert pushed(world, BOB) is None  # alex comes first, and was all that one batch did
    assert actions(await cycle(world)) == {BOB: "create"}
    assert actions(await cycle(world)) == {}


async def test_everything_is_on_record_in_both_tenants(world: World, source: Admin) -> None:
    """The target sees each object, the source each cycle, under one correlation id."""
    await cycle(world)
    lines = [line for line in await source.audits(world) if line["initiatedBy"]["app"]]
    ours = [line for line in lines if line["initiatedBy"]["app"]["displayName"] == "Cross-tenant synchronization"]
    assert sorted(line["activityDisplayName"] for line in ours) == ["Add user", "Synchronization cycle", "Update user"]
    assert len({line["correlationId"] for line in ours}) == 1


async def test_an_enabled_job_runs_by_itself_and_on_demand(world: World, source: Admin, clock: Clock) -> None:
    """Every 40 minutes unless the job says otherwise; asking twice while it waits is refused."""
    provider = world.provider
    assert provider is not None
    await work_off(provider)
    assert pushed(world, BOB) is None  # not enabled, not asked for
    started = await source.send("POST", f"{JOBS}/{FABRIKAM}/start")
    assert (started.status_code, started.headers["location"]) == (
        202, f"https://idp.test{JOBS}/{FABRIKAM}/status"
    )
    assert error(await source.send("POST", f"{JOBS}/{FABRIKAM}/start")) == (409, "alreadyRunning")
    await work_off(provider)
    assert pushed(world, BOB) is not None
    await source.send("PATCH", f"{JOBS}/{FABRIKAM}", {"enabled": True})
    await work_off(provider)
    await patch(source, BOB, displayName="Robert")
    clock.now += 40 * 60 - 2
    await work_off(provider)
    assert pushed(world, BOB).display_name == "Bob"
    clock.now += 2
    await work_off(provider)
    assert pushed(world, BOB).display_name == "Robert"


async def test_the_endless_work_runs_what_was_asked_for(world: World, source: Admin) -> None:
    """And the report is there to be fetched meanwhile."""
    provider = world.provider
    assert provider is not None
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        work = group.create_task(keep_up(provider))
        await source.send("POST", f"{JOBS}/{FABRIKAM}/start")
        for _ in range(500):
            if (await source.get(f"{JOBS}/{FABRIKAM}/status"))["status"] in ("succeeded", "failed"):
                break
            await asyncio.sleep(0.01)
        work.cancel()
    assert pushed(world, BOB) is not None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"id": CONTOSO}, "sameTenant"), ({"id": STAFF}, "unknownTenant"),
        ({"id": FABRIKAM, "scope": {"users": [STAFF]}}, "unknownUser"),
        ({"id": FABRIKAM, "scope": {"groups": [ALEX]}}, "unknownGroup"),
        ({"id": FABRIKAM, "scope": {"users": [EVE], "filters": [{"attribute": "mail"}]}}, "mixedScope"),
        ({"id": FABRIKAM, "schedule": {"interval": "40 minutes"}}, "BadRequest"),
        ({"id": FABRIKAM, "schedule": {"interval": "PT0S"}}, "BadRequest"),
    ],
)
async def test_jobs_that_make_no_sense_are_refused(world: World, body: dict[str, Any], code: str) -> None:
    """With the rule's name."""
    admin = await administrator(world)
    assert error(await admin.send("POST", JOBS, body))[1] == code


async def test_a_job_is_its_own_tenants_business(world: World, source: Admin) -> None:
    """Nobody else starts it or sees it."""
    there = Admin.mint(world, FABRIKAM, ALEX_F)
    for path in (f"{JOBS}/{FABRIKAM}", f"{JOBS}/{FABRIKAM}/status"):
        assert (await there.send("GET", path)).status_code == 404
    refused = await Admin.mint(world, CONTOSO, BOB).send("POST", f"{JOBS}/{FABRIKAM}/start")
    assert refused.status_code == 403
    assert (await source.get(f"{JOBS}/{FABRIKAM}/status"))["status"] == "notRun"


async def test_one_refused_person_holds_nobody_up(
    world: World, source: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A contradiction at the target is reported for that person alone, and tried again at the next cycle."""
    provider = world.provider
    assert provider is not None
    await patch(source, EVE, accountEnabled=True)
    await source.send("PATCH", f"{JOBS}/{FABRIKAM}", {"scope": {"users": [BOB, EVE]}})
    commit = provider.live.commit

    async def picky(live: Any, changes: Any, audits: Any, **named: Any) -> None:
        del live
        if any(change.ref.id == f"{FABRIKAM}~{EVE}" for change in changes):
            raise ConflictError(Conflict("userPrincipalNameTaken", "Taken.", "Choose another name."))
        await commit(changes, audits, **named)

    with monkeypatch.context() as patched:
        patched.setattr(type(provider.live), "commit", picky)
        report = await cycle(world)
    assert (report["status"], report["failed"], pushed(world, EVE)) == ("succeeded", 1, None)
    (fault,) = [step for step in report["steps"] if step["error"]]
    assert (fault["sourceId"], fault["error"]) == (EVE, "userPrincipalNameTaken: Taken.")
    assert pushed(world, BOB) is not None
    assert actions(await cycle(world)) == {EVE: "create"}
