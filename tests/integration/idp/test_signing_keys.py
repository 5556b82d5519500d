"""Signing keys in the admin API: listed, and withdrawn in an emergency."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.idp.graph.admin import Admin, give_role
from tests.integration.idp.world import CONTOSO, FABRIKAM, World, bearer, claims

KEYS = f"/v1.0/organization/{CONTOSO}/signingKeys"
JWKS = "/contoso/discovery/v2.0/keys"


@pytest.fixture
async def admin(world: World) -> Admin:
    await give_role(world, "Global Administrator")
    return await Admin.sign_in(world)


async def published(admin: Admin) -> set[str]:
    return {key["kid"] for key in (await admin.http.get(JWKS)).json()["keys"]}


async def states(admin: Admin) -> dict[str, str]:
    return {key["state"]: key["id"] for key in (await admin.get(KEYS))["value"]}


async def test_keys_are_listed_with_their_dates(world: World, admin: Admin) -> None:
    """The same keys as in the set, and nothing of their private halves."""
    listed = (await admin.get(KEYS))["value"]
    assert {key["id"] for key in listed} == await published(admin)
    assert {key["state"] for key in listed} == {"signing", "next"}
    names = {"id", "state", "publishedDateTime", "signsFromDateTime", "retiredDateTime"}
    assert all(key.keys() == names for key in listed)


async def test_a_withdrawn_key_is_gone_at_once_and_for_good(world: World, admin: Admin) -> None:
    """The set has it no more, its tokens are refused with the next call, another key signs, and a restart agrees."""
    before = await states(admin)
    answer = await admin.send("POST", f"{KEYS}/{before['signing']}/withdraw")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["id"], answer.json()["state"]) == (before["next"], "signing")
    for _ in range(2):
        assert before["signing"] not in await published(admin)
        assert before["next"] in await published(admin)
        assert (await admin.send("GET", KEYS)).status_code == 401
        fresh = await Admin.sign_in(world)
        assert (await states(fresh))["signing"] == before["next"]
        assert (await fresh.send("GET", KEYS)).status_code == 200
        await world.close()
        await world.open()
        admin = Admin(world.browser().http, admin.token)


async def test_every_key_may_be_withdrawn_and_one_always_signs(world: World, admin: Admin) -> None:
    """Whoever withdraws all that there are gets new ones; the public set is never empty."""
    first = await published(admin)
    for _ in range(3):
        fresh = Admin.mint(world)
        for kid in await published(fresh):
            fresh = Admin.mint(world)
            assert (await fresh.send("POST", f"{KEYS}/{kid}/withdraw")).status_code == 200
            assert kid not in await published(fresh)
            assert set(await states(Admin.mint(world))) >= {"signing", "next"}
    assert not first & await published(admin)


async def test_the_schedule_does_not_bring_it_back(world: World, admin: Admin) -> None:
    """The watch on the files goes on every second, with the keys' schedule."""
    signing = (await states(admin))["signing"]
    await admin.send("POST", f"{KEYS}/{signing}/withdraw")
    assert world.provider is not None
    await world.provider.refresh()
    world.clock.now += 40 * 86400
    await world.provider.refresh()
    assert signing not in await published(admin)


async def test_it_is_on_record(world: World, admin: Admin) -> None:
    """Who, which key, and which one signs now."""
    keys = await states(admin)
    await admin.send("POST", f"{KEYS}/{keys['signing']}/withdraw")
    line = next(line for line in await admin.audits(world) if line["activityDisplayName"] == "Withdraw signing key")
    assert line["targetResources"][0]["id"] == keys["signing"]
    assert line["initiatedBy"]["user"]["userPrincipalName"] == "alex@contoso.example"
    assert {"key": "signing", "value": keys["next"]} in line["additionalDetails"]


@pytest.mark.parametrize("role", ["", "Security Administrator", "Global Reader", "Application Administrator"])
async def test_it_takes_a_global_administrator(world: World, role: str) -> None:
    """Whoever reads keys does not withdraw them."""
    if role:
        await give_role(world, role)
    someone = await Admin.sign_in(world)
    kid = next(iter(await published(someone)))
    assert (await someone.send("POST", f"{KEYS}/{kid}/withdraw")).status_code == 403
    assert kid in await published(someone)
    reads = role in ("Security Administrator", "Global Reader", "Application Administrator")
    assert (await someone.send("GET", KEYS)).status_code == (200 if reads else 403)


@pytest.mark.parametrize("kid", ["x", "..", "%00", "a" * 3000, "%2e%2e%2f", "\u00e9"])
async def test_unknown_keys_and_other_tenants(world: World, admin: Admin, kid: str) -> None:
    """Neither a key that is not there nor another tenant's, whatever its name."""
    before = await states(admin)
    assert (await admin.send("POST", f"{KEYS}/{kid}/withdraw")).status_code in (400, 404)
    assert world.provider is not None
    theirs: Any = world.provider.keys.kid(FABRIKAM)
    elsewhere = f"/v1.0/organization/{FABRIKAM}/signingKeys"
    assert (await admin.send("POST", f"{elsewhere}/{theirs}/withdraw")).status_code == 404
    assert (await admin.send("POST", f"{KEYS}/{theirs}/withdraw")).status_code == 404
    assert (await admin.send("GET", elsewhere)).status_code == 404
    assert await states(admin) == before
    assert world.provider.keys.kid(FABRIKAM) == theirs


async def test_refresh_tokens_outlive_the_key(world: World, admin: Admin) -> None:
    """Clients go on by themselves: only what the key signed is worthless."""
    browser = world.browser()
    body = await browser.signed_in("contoso")
    await admin.send("POST", f"{KEYS}/{(await states(admin))['signing']}/withdraw")
    fresh = (await browser.refresh("contoso", body["refresh_token"])).json()
    assert claims(fresh["access_token"])["tid"] == CONTOSO
    assert (await browser.http.get("/v1.0/me/tenants", headers=bearer(fresh["access_token"]))).status_code == 200
