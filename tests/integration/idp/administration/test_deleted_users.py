"""Deleted users: what comes back with them, by whichever way they went, and that they are forgotten after 30 days."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.idp.graph.admin import PARTNERS, Admin, administrator, give_role
from tests.integration.idp.world import (
    ALEX,
    ALEX_F,
    BOB,
    CONTOSO,
    FABRIKAM,
    STAFF,
    WIKI,
    WIKI_F,
    Clock,
    World,
    answer,
    scope_of,
)
from tunneld.idp.administration.upkeep import keep_up, purge_deleted
from tunneld.policy.roles import held_roles

KEPT = "/v1.0/directory/deletedItems/microsoft.graph.user"
REVIEWS = "/v1.0/identityGovernance/accessReviews/definitions"
ROLE = "99999999-0000-4000-8000-000000000001"
DAY = 86400


def tenant(world: World, name: str = CONTOSO) -> Any:
    assert world.provider is not None
    return world.provider.directory.tenants[name]


async def group(admin: Admin, name: str, *members: str, owners: tuple[str, ...] = ()) -> str:
    made = await admin.send("POST", "/v1.0/groups", {
        "displayName": name, "mailNickname": name, "securityEnabled": True, "mailEnabled": False,
        "members": list(members), "owners": list(owners),
    })
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def test_groups_ownerships_and_application_roles_come_back(world: World) -> None:
    """And no directory role."""
    admin = await administrator(world)
    readers = await group(admin, "Readers", BOB, owners=(BOB,))
    gone = await group(admin, "Gone", BOB)
    await give_role(world, "User Administrator", oid=BOB)
    patched = await admin.send("PATCH", f"/v1.0/applications/{WIKI}", {
        "owners": [BOB], "appRoleAssignments": [{"principalId": BOB}],
        "appRoles": [{"id": ROLE, "value": "Editor", "displayName": "Editor"}],
    })
    assert patched.status_code in (200, 204), patched.text
    added = await admin.send("PATCH", f"/v1.0/applications/{WIKI}", {
        "appRoleAssignments": [{"principalId": BOB, "appRoleId": ROLE}, {"principalId": ALEX}],
    })
    assert added.status_code in (200, 204), added.text
    assert "code" in answer(await world.browser().sign_in("contoso", "bob@contoso.example", scope=scope_of(WIKI)))
    assert (await admin.send("DELETE", f"/v1.0/users/{BOB}")).status_code == 204
    assert tenant(world).applications[WIKI].owners == frozenset()
    assert (await admin.send("DELETE", f"/v1.0/groups/{gone}")).status_code == 204
    restored = await admin.send("POST", f"{KEPT}/{BOB}/restore")
    assert restored.status_code == 200, restored.text
    bob = tenant(world).users[BOB]
    assert (bob.groups, held_roles(tenant(world), bob)) == ((readers,), [])
    document = tenant(world).object("group", readers).to_json()
    assert (document["members"], document["owners"]) == ([BOB], [BOB])
    application = tenant(world).object("application", WIKI).to_json()
    assert application["owners"] == [BOB]
    assert {"principalId": BOB, "appRoleId": ROLE} in application["appRoleAssignments"]
    assert len(application["appRoleAssignments"]) == 2
    assert "code" in answer(await world.browser().sign_in("contoso", "bob@contoso.example", scope=scope_of(WIKI)))


async def by_delete(world: World, admin: Admin) -> None:
    assert (await admin.send("DELETE", f"/v1.0/users/{ALEX_F}")).status_code == 204


async def by_review(world: World, admin: Admin) -> None:
    made = (await admin.send("POST", REVIEWS, {"displayName": "Guests", "defaultDecision": "Deny"})).json()
    applied = await admin.send("POST", f"{REVIEWS}/{made['id']}/applyDecisions")
    assert ALEX_F in applied.json()["removed"], applied.text


@pytest.mark.parametrize("way", [by_delete, by_review])
async def test_a_guest_comes_back_whole(world: World, way: Any) -> None:
    """The home link, which nobody is shown, survives with the groups: the guest signs in as before."""
    await give_role(world, "Global Administrator", tenant=FABRIKAM, oid=ALEX_F)
    setup = Admin.mint(world, FABRIKAM, ALEX_F)
    made = await setup.send("POST", "/v1.0/users", {
        "accountEnabled": True, "displayName": "Root", "userPrincipalName": "root@fabrikam.example",
        "passwordProfile": {"password": "tulips and 7 bells"},
    })
    root = made.json()["id"]
    admin = await administrator(world, tenant=FABRIKAM, oid=root)
    staff = await group(admin, "Partners", ALEX_F)
    before = tenant(world, FABRIKAM).users[ALEX_F]
    await way(world, admin)
    assert tenant(world, FABRIKAM).groups[staff].members == frozenset()
    refused = answer(await world.browser().sign_in("fabrikam", scope=scope_of(WIKI_F)))
    assert "AADSTS50020" in refused["error_description"]
    renamed = await admin.send("PATCH", f"/v1.0/groups/{staff}", {"description": "Still a group"})
    assert renamed.status_code in (200, 204), renamed.text
    assert (await admin.send("POST", f"{KEPT}/{ALEX_F}/restore")).status_code == 200
    after = tenant(world, FABRIKAM).users[ALEX_F]
    assert (after.home, after.upn, after.user_type) == (before.home, before.upn, before.user_type)
    assert after.groups == (staff,)
    assert held_roles(tenant(world, FABRIKAM), after) == []
    assert "code" in answer(await world.browser().sign_in("fabrikam", scope=scope_of(WIKI_F)))


async def test_a_password_survives_and_is_never_shown(world: World) -> None:
    """A member's hash is kept with the deleted object, out of sight."""
    admin = await administrator(world)
    before = tenant(world).users[BOB].password_hash
    await admin.send("DELETE", f"/v1.0/users/{BOB}")
    shown = await admin.get(f"{KEPT}/{BOB}")
    assert not {"passwordHash", "places", "alternativeSecurityId"} & shown.keys()
    await admin.send("POST", f"{KEPT}/{BOB}/restore")
    assert tenant(world).users[BOB].password_hash == before
    assert STAFF not in tenant(world).users[BOB].groups


async def test_two_guests_leave_one_group_together(world: World) -> None:
    """A review that denies both writes the group once, without either of them."""
    await give_role(world, "Global Administrator", tenant=FABRIKAM, oid=ALEX_F)
    setup = Admin.mint(world, FABRIKAM, ALEX_F)
    root = (await setup.send("POST", "/v1.0/users", {
        "accountEnabled": True, "displayName": "Root", "userPrincipalName": "root@fabrikam.example",
        "passwordProfile": {"password": "tulips and 7 bells"},
    })).json()["id"]
    admin = await administrator(world, tenant=FABRIKAM, oid=root)
    invited = (await admin.send("POST", "/v1.0/invitations", {
        "invitedUserEmailAddress": "bob@contoso.example", "inviteRedirectUrl": "https://wiki.fabrikam.example/",
    })).json()["invitedUser"]["id"]
    both = await group(admin, "Partners", ALEX_F, invited, root)
    made = (await admin.send("POST", REVIEWS, {"displayName": "Guests", "defaultDecision": "Deny"})).json()
    applied = await admin.send("POST", f"{REVIEWS}/{made['id']}/applyDecisions")
    assert set(applied.json()["removed"]) == {ALEX_F, invited}
    assert tenant(world, FABRIKAM).groups[both].members == {root}


async def test_after_30_days_they_are_purged(world: World, clock: Clock) -> None:
    """By the server itself and with an audit record; not a second before, and partners' settings alike."""
    admin = await administrator(world)
    await admin.send("POST", PARTNERS, {"tenantId": FABRIKAM})
    await admin.send("DELETE", f"{PARTNERS}/{FABRIKAM}")
    await admin.send("DELETE", f"/v1.0/users/{BOB}")
    assert world.provider is not None
    clock.now += 30 * DAY - 2
    assert await purge_deleted(world.provider) == 0
    assert tenant(world).object("deletedUser", BOB) is not None
    clock.now += 2
    assert await purge_deleted(world.provider) == 2
    assert tenant(world).object("deletedUser", BOB) is None
    assert tenant(world).object("deletedCrossTenantAccessPartner", FABRIKAM) is None
    lines = [line for line in world.lines("audit.jsonl") if line.get("activityDisplayName", "").startswith("Hard Del")]
    assert [(line["category"], line["targetResources"][0]["displayName"]) for line in lines] == [
        ("UserManagement", "bob@contoso.example"), ("CrossTenantAccessSettings", FABRIKAM),
    ]
    assert await purge_deleted(world.provider) == 0
    assert purge_deleted.__name__ in keep_up.__code__.co_names  # the endless work does it
