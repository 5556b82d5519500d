"""A whole policy out, and plans of changes in: all of a tenant's, or nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.idp.graph.admin import PARTNERS, Admin, administrator, error
from tests.integration.idp.world import ALEX_F, BOB, FABRIKAM, TAILSPIN, WOODGROVE, World

EXPORT, APPLY = "/v1.0/policies/export", "/v1.0/policies/apply"
BLOCKED = {
    "usersAndGroups": {"accessType": "blocked", "targets": [{"target": "AllUsers", "targetType": "user"}]},
    "applications": {
        "accessType": "blocked", "targets": [{"target": "AllApplications", "targetType": "application"}],
    },
}
PARTNER = "crossTenantAccessPartner"


def partner(tenant: str, **members: Any) -> dict[str, Any]:
    """A change that writes a partner."""
    return {"kind": PARTNER, "id": tenant, "body": {"tenantId": tenant, **members}}


async def exported(admin: Admin) -> dict[tuple[str, str], dict[str, Any]]:
    answer = await admin.get(EXPORT)
    return {(entry["kind"], entry["id"]): entry for entry in answer["value"]}


async def apply(admin: Admin, *changes: dict[str, Any], dry_run: bool = False) -> Any:
    return await admin.send("POST", APPLY, {"changes": list(changes), "dryRun": dry_run})


async def test_a_plan_of_many_objects_is_one_commit(world: World) -> None:
    """With one audit record an object, and in the words of each kind."""
    admin = await administrator(world)
    done = await apply(admin, partner(FABRIKAM, b2bCollaborationInbound=BLOCKED), partner(WOODGROVE))
    assert done.status_code == 200, done.text
    assert done.json()["changes"] == 2
    assert (await admin.get(f"{PARTNERS}/{FABRIKAM}"))["b2bCollaborationInbound"] is not None
    activities = [line["activityDisplayName"] for line in await admin.audits(world)]
    assert activities.count("Add a partner to cross-tenant access setting") == 2


async def test_one_contradiction_leaves_everything_as_it_was(world: World) -> None:
    """Also the changes before it, in memory and after a restart."""
    admin = await administrator(world)
    before = await exported(admin)
    half = {**BLOCKED, "applications": {**BLOCKED["applications"], "accessType": "allowed"}}
    refused = await apply(admin, partner(WOODGROVE), partner(FABRIKAM, b2bCollaborationInbound=half))
    assert error(refused) == (400, "conflictingAccess")
    assert await exported(admin) == before
    await world.close()
    await world.open()
    assert await exported(Admin.mint(world)) == before


async def test_what_changed_since_the_plan_is_never_overwritten(world: World) -> None:
    """Drift is refused with 409, and nothing of the plan is applied."""
    admin = await administrator(world)
    await apply(admin, partner(FABRIKAM), partner(WOODGROVE))
    tags = {name: entry["etag"] for name, entry in (await exported(admin)).items()}
    changed = await admin.send("PATCH", f"{PARTNERS}/{FABRIKAM}", {"b2bCollaborationInbound": BLOCKED})
    assert changed.status_code == 204
    planned = [
        {**partner(tenant, isServiceProvider=True), "etag": tags[PARTNER, tenant]} for tenant in (WOODGROVE, FABRIKAM)
    ]
    before = await exported(admin)
    refused = await apply(admin, *planned)
    assert error(refused) == (409, "policyDrift")
    assert FABRIKAM in refused.json()["error"]["message"]
    assert await exported(admin) == before
    assert error(await apply(admin, partner(FABRIKAM))) == (409, "policyDrift")  # planned as new, and there already
    gone = {**partner(TAILSPIN), "body": None, "etag": "0" * 32}
    assert error(await apply(admin, gone)) == (409, "policyDrift")  # planned to go, and gone already


async def test_a_dry_run_checks_everything_and_saves_nothing(world: World) -> None:
    """Permissions, shape and contradictions alike."""
    admin = await administrator(world)
    before = await exported(admin)
    assert (await apply(admin, partner(FABRIKAM), dry_run=True)).json()["applied"] is False
    half = {**BLOCKED, "applications": {**BLOCKED["applications"], "accessType": "allowed"}}
    refused = await apply(admin, partner(FABRIKAM, b2bCollaborationInbound=half), dry_run=True)
    assert error(refused) == (400, "conflictingAccess")
    assert await exported(admin) == before


async def test_deleting_and_writing_in_one_plan(world: World) -> None:
    """What hangs on a deleted partner goes with it."""
    admin = await administrator(world)
    await apply(admin, partner(FABRIKAM))
    synchronization = f"{PARTNERS}/{FABRIKAM}/identitySynchronization"
    put = await admin.send("PUT", synchronization, {"userSyncInbound": {"isSyncAllowed": True}})
    assert put.status_code in (201, 204), put.text
    tag = (await exported(admin))[PARTNER, FABRIKAM]["etag"]
    done = await apply(admin, {"kind": PARTNER, "id": FABRIKAM, "etag": tag}, partner(WOODGROVE))
    assert done.status_code == 200, done.text
    assert {key for key in await exported(admin) if key[0] in (PARTNER, "identitySynchronization")} == {
        (PARTNER, WOODGROVE)
    }


async def test_an_export_applied_to_itself_changes_nothing(world: World) -> None:
    """Every kind can be written back as it was read: ids, first values and all."""
    admin = await administrator(world)
    await apply(admin, partner(FABRIKAM, b2bCollaborationInbound=BLOCKED))
    before = await exported(admin)
    again = [{"kind": kind, "id": key, "body": entry["body"], "etag": entry["etag"]}
             for (kind, key), entry in before.items() if kind == PARTNER]
    assert (await apply(admin, *again)).status_code == 200
    after = await exported(admin)
    assert {key: entry["body"] for key, entry in after.items()} == {key: e["body"] for key, e in before.items()}


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ([{"kind": "user", "id": BOB, "body": {}}], 400, "unknownKind"),
        ([{"kind": "nothing", "id": "x", "body": {}}], 400, "unknownKind"),
        ([{**partner(FABRIKAM), "kind": 3}], 400, "BadRequest"),
        ([{**partner(FABRIKAM), "surplus": 3}], 400, "BadRequest"),
        ([partner(FABRIKAM, surplus=True)], 400, "BadRequest"),
        ([partner(FABRIKAM), partner(FABRIKAM.upper())], 400, "duplicateObject"),
        ([{"kind": "crossTenantAccessDefault", "id": "default", "body": None}], 400, "cannotBeDeleted"),
        ([{"kind": "crossTenantAccessDefault", "id": "other", "body": {}}], 400, "unknownObject"),
        ([{**partner(FABRIKAM), "id": "x" * 200}], 400, "BadRequest"),
        ([{**partner(FABRIKAM), "id": "a\0b"}], 400, "BadRequest"),
        ("nonsense", 400, "BadRequest"),
    ],
)
async def test_bad_plans_are_refused_with_a_sentence(world: World, changes: Any, status: int, code: str) -> None:
    """And change nothing."""
    admin = await administrator(world)
    before = await exported(admin)
    assert error(await admin.send("POST", APPLY, {"changes": changes})) == (status, code)
    assert await exported(admin) == before


async def test_a_refusal_names_the_object(world: World) -> None:
    """So that a file can be named after it."""
    admin = await administrator(world)
    refused = await apply(admin, partner(WOODGROVE), partner(FABRIKAM, isServiceProvider="yes"))
    assert refused.json()["error"]["target"] == f"{PARTNER}/{FABRIKAM}: isServiceProvider"


async def test_each_kind_needs_its_own_permission(world: World) -> None:
    """As when its objects are written one by one; an export shows what the caller may read."""
    reader = await administrator(world, "Security Reader", oid=BOB)
    assert error(await apply(reader, partner(FABRIKAM))) == (403, "Authorization_RequestDenied")
    assert (PARTNER, FABRIKAM) not in await exported(reader)
    assert PARTNER in (await reader.get(EXPORT))["kinds"]
    nobody = Admin.mint(world, FABRIKAM, ALEX_F)
    assert PARTNER not in (await nobody.get(EXPORT))["kinds"]
    assert not {kind for kind, _ in await exported(reader)} & {"user", "group", "application"}
