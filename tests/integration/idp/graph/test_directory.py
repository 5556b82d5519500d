"""Users and groups: passwords, members, deletion and return, what guests see, and logs in pages."""

from __future__ import annotations

import pytest

from tests.integration.idp.graph.admin import PARTNERS, Admin, administrator, error
from tests.integration.idp.world import ALEX, ALEX_F, BOB, CONTOSO, FABRIKAM, STAFF, VAULT, WOODGROVE, World, answer
from tunneld.policy.guests.collaboration import GUEST_AS_MEMBER, GUEST_LIMITED, GUEST_RESTRICTED

CAROL = {
    "userPrincipalName": "carol@contoso.example", "displayName": "Carol", "accountEnabled": True,
    "mailNickname": "carol", "passwordProfile": {"password": "tulips and 7 bells"},
}
DEFAULT = "/v1.0/policies/crossTenantAccessPolicy/default"
USERS, GROUPS = "/v1.0/users", "/v1.0/groups"


def reference(oid: str) -> dict[str, str]:
    return {"@odata.id": f"https://idp.test/v1.0/directoryObjects/{oid}"}


async def test_a_new_user_signs_in(world: World) -> None:
    """In force for the next sign-in; disabled for the next one after that; no password is on record anywhere."""
    admin = await administrator(world)
    made = await admin.send("POST", USERS, CAROL)
    assert made.status_code == 201, made.text
    oid = made.json()["id"]
    browser = world.browser()
    assert "code" in answer(await browser.sign_in("contoso", "carol@contoso.example", "tulips and 7 bells"))
    assert (await admin.get(f"{USERS}/carol@contoso.example"))["id"] == oid
    assert (await admin.send("PATCH", f"{USERS}/{oid}", {"accountEnabled": False})).status_code == 204
    page = await world.browser().sign_in("contoso", "carol@contoso.example", "tulips and 7 bells")
    assert page.status_code == 200, "the page says no, and sends nobody anywhere"
    text = (world.root / "state" / "audit.jsonl").read_text()
    assert "tulips" not in text
    assert "scrypt" not in text
    short = {**CAROL, "userPrincipalName": "dave@contoso.example", "passwordProfile": {"password": "short"}}
    assert error(await admin.send("POST", USERS, short)) == (400, "BadRequest")
    assert error(await admin.send("POST", USERS, CAROL))[0] == 400, "the name is taken"


async def test_members_of_a_group(world: World) -> None:
    """References in and out, each on record, and in force at once."""
    admin = await administrator(world)
    made = await admin.send("POST", GROUPS, {
        "displayName": "Sales", "members@odata.bind": [f"https://idp.test/v1.0/users/{ALEX}"],
    })
    assert made.status_code == 201, made.text
    assert "members" not in made.json()
    group = f"{GROUPS}/{made.json()['id']}"
    assert (await admin.send("POST", f"{group}/members/$ref", reference(BOB))).status_code == 204
    members = (await admin.get(f"{group}/members?$select=id,displayName&$orderby=displayName"))["value"]
    assert [(one["@odata.type"], one["id"]) for one in members] == [
        ("#microsoft.graph.user", ALEX), ("#microsoft.graph.user", BOB),
    ]
    assert [one["id"] for one in (await admin.get(f"{USERS}/{BOB}/memberOf"))["value"]] == [made.json()["id"]]
    ids = await admin.send("POST", f"{USERS}/{ALEX}/getMemberObjects", {"securityEnabledOnly": False})
    assert set(ids.json()["value"]) == {made.json()["id"], STAFF}
    assert (await admin.send("DELETE", f"{group}/members/{BOB}/$ref")).status_code == 204
    assert error(await admin.send("DELETE", f"{group}/members/{BOB}/$ref"))[0] == 404
    assert error(await admin.send("POST", f"{group}/members/$ref", reference(CONTOSO))) == (400, "unknownMember")
    for body in ({}, {"@odata.id": 5}, {"@odata.id": "x"}, {"@odata.id": "https://x/users/"}):
        assert error(await admin.send("POST", f"{group}/members/$ref", body))[0] == 400
    activities = [line["activityDisplayName"] for line in await admin.audits(world)]
    assert activities[-4:-1].count("Add member to group") == 1
    assert "Remove member from group" in activities


async def test_a_deleted_user_comes_back(world: World) -> None:
    """Gone from groups and sign-in, kept for 30 days, restored with the password, or deleted for good."""
    admin = await administrator(world)
    oid = (await admin.send("POST", USERS, CAROL)).json()["id"]
    await admin.send("POST", f"{GROUPS}/{STAFF}/members/$ref", reference(oid))
    assert (await admin.send("DELETE", f"{USERS}/{oid}")).status_code == 204
    members = (await admin.get(f"{GROUPS}/{STAFF}/members"))["value"]
    assert oid not in [one["id"] for one in members]
    kept = "/v1.0/directory/deletedItems/microsoft.graph.user"
    listed = (await admin.get(kept))["value"]
    assert [one["userPrincipalName"] for one in listed] == ["carol@contoso.example"]
    assert "scrypt" not in str(listed)
    assert (await admin.send("POST", f"{kept}/{oid}/restore")).status_code == 200
    assert "code" in answer(await world.browser().sign_in("contoso", "carol@contoso.example", "tulips and 7 bells"))
    await admin.send("DELETE", f"{USERS}/{oid}")
    world.clock.now += 31 * 24 * 3600
    assert (await Admin.mint(world).get(kept))["value"] == []
    world.clock.now -= 31 * 24 * 3600
    assert (await admin.send("DELETE", f"{kept}/{oid}")).status_code == 204
    assert error(await admin.send("POST", f"{kept}/{oid}/restore"))[0] == 404


# level → list users, another user by id, oneself, a group by id, one's own groups
LEVELS = {
    GUEST_AS_MEMBER: (200, 200, 200, 200), GUEST_LIMITED: (403, 200, 200, 200), GUEST_RESTRICTED: (403, 403, 200, 403),
}


@pytest.mark.parametrize("level", LEVELS)
async def test_what_guests_see(world: World, level: str) -> None:
    """As a member, limited, or restricted, at the tenant that they visit."""
    admin = await administrator(world, tenant=FABRIKAM, oid=ALEX_F)
    changed = await admin.send("PATCH", "/v1.0/policies/authorizationPolicy", {"guestUserRoleId": level})
    assert changed.status_code == 204, changed.text
    other = (await admin.send("POST", USERS, {**CAROL, "userPrincipalName": "carol@fabrikam.example"})).json()["id"]
    assignments = (await admin.get("/v1.0/roleManagement/directory/roleAssignments"))["value"]
    path = f"/v1.0/roleManagement/directory/roleAssignments/{assignments[0]['id']}"
    assert (await admin.send("DELETE", path)).status_code == 204  # a guest like any other from here
    paths = (USERS, f"{USERS}/{other}", "/v1.0/me", "/v1.0/me/memberOf")
    assert tuple([(await admin.send("GET", path)).status_code for path in paths]) == LEVELS[level]
    if level == GUEST_LIMITED:
        card = await admin.get(f"{USERS}/{other}")
        assert set(card) == {"id", "displayName", "mail", "userPrincipalName", "userType"}


async def test_the_audit_log_in_pages(world: World) -> None:
    """Newest first, filtered, followed by links, each record once; and both of the documented categories."""
    admin = await administrator(world)
    for tenant in (FABRIKAM, WOODGROVE):
        world.clock.now += 1
        await admin.send("POST", PARTNERS, {"tenantId": tenant})
        world.clock.now += 1
        await admin.send("DELETE", f"{PARTNERS}/{tenant}")
    world.clock.now += 1
    await admin.send("PATCH", DEFAULT, {"inboundTrust": {"isMfaAccepted": True}})
    log = "/v1.0/auditLogs/directoryAudits"
    whole = (await admin.get(f"{log}?$filter=initiatedBy/user/id eq '{ALEX}'"))["value"]
    assert len(whole) == 5
    url, got = f"{log}?$filter=initiatedBy/user/id eq '{ALEX}'&$top=2", []
    while url:
        page = await admin.get(url)
        got += page["value"]
        url = page.get("@odata.nextLink", "")
    assert got == whole
    ours = "category eq 'CrossTenantAccessSettings'"
    deleted = await admin.get(f"{log}?$filter={ours} and startswith(activityDisplayName,'Delete')")
    assert len(deleted["value"]) == 2
    for category in ("CrossTenantAccessSettings", "CrossTenantIdentitySyncSettings"):
        asked = f"category eq '{category}' and contains(activityDisplayName,'company default')"
        found = await admin.get(f"{log}?$filter={asked}")
        assert len(found["value"]) == 1, category
    assert await admin.get(f"{log}/{whole[0]['id']}") == whole[0]
    times = [one["activityDateTime"] for one in whole]
    assert times == sorted(times, reverse=True)
    later = await admin.get(f"{log}?$filter=activityDateTime ge {times[2]} and initiatedBy/user/id eq '{ALEX}'")
    assert [one["id"] for one in later["value"]] == [one["id"] for one in whole[:3]]
    oldest = await admin.get(f"{log}?$orderby=activityDateTime asc&$filter=initiatedBy/user/id eq '{ALEX}'&$top=1")
    assert oldest["value"] == whole[-1:]
    for query in ("$count=true", "$orderby=category"):
        assert error(await admin.send("GET", f"{log}?{query}"))[0] == 400
    other = await administrator(world, tenant=FABRIKAM, oid=ALEX_F)
    assert error(await other.send("GET", f"{log}/{whole[0]['id']}"))[0] == 404


async def test_who_has_an_application(world: World) -> None:
    """Assigned and taken away one by one, each on record, and in force at once."""
    admin = await administrator(world)
    path = f"/v1.0/applications/{VAULT}/appRoleAssignedTo"
    made = await admin.send("POST", path, {"principalId": BOB, "resourceId": VAULT})
    assert made.status_code == 201, made.text
    assert (made.json()["principalDisplayName"], made.json()["principalType"]) == ("Bob", "User")
    assert world.provider is not None
    application = world.provider.directory.tenants[CONTOSO].applications[VAULT]
    assert application.assignments.closeness(world.provider.directory.tenants[CONTOSO].users[BOB]) == 0
    assert (await admin.get(path))["value"] == [made.json()]
    assert error(await admin.send("POST", path, {"principalId": BOB})) == (409, "objectExists")
    assert error(await admin.send("POST", path, {"principalId": CONTOSO})) == (400, "unknownPrincipal")
    assert error(await admin.send("POST", path, {"principalId": BOB, "resourceId": BOB}))[0] == 400
    assert (await admin.send("DELETE", f"{path}/{made.json()['id']}")).status_code == 204
    assert error(await admin.send("DELETE", f"{path}/{made.json()['id']}"))[0] == 404
    assert (await admin.get(path))["value"] == []
    assert error(await Admin.mint(world, oid=BOB).send("GET", path))[0] == 403
