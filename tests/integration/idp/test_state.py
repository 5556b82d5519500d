"""What changes while it runs and what survives: restarts, reloads, signing keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from joserfc import jwt as jose_jwt
from joserfc.errors import InvalidKeyIdError
from joserfc.jwk import KeySet

from tests.integration.idp.world import (
    CONTOSO,
    FABRIKAM,
    WIKI,
    Browser,
    Clock,
    World,
    answer,
    bearer,
    claims,
    directory,
    scope_of,
)
from tunneld.idp.provider import Provider
from tunneld.model.errors import DocumentError

DAY = 24 * 3600


async def key_ids(browser: Browser, tenant: str = CONTOSO) -> list[str]:
    return [key["kid"] for key in (await browser.http.get(f"/{tenant}/discovery/v2.0/keys")).json()["keys"]]


async def verifies(browser: Browser, token: str) -> bool:
    keys = KeySet.import_key_set((await browser.http.get(f"/{CONTOSO}/discovery/v2.0/keys")).json())
    try:
        return jose_jwt.decode(token, keys, algorithms=["RS256"]).claims["tid"] == CONTOSO
    except InvalidKeyIdError:
        return False


async def test_restart_keeps_sessions_refresh_tokens_consent_and_keys(world: World) -> None:
    """Close, open again over the same files: nobody has to sign in again, old tokens still verify."""
    before = world.browser()
    body = await before.signed_in("contoso")
    page = await before.authorize("woodgrove")
    await before.submit(page, "consent")
    unused = answer(await before.authorize("contoso"))["code"]
    cookies = dict(before.http.cookies)
    await world.close()
    await world.open()
    after = world.browser()
    assert (await after.http.get("/v1.0/me/tenants", headers=bearer(body["access_token"]))).status_code == 200
    assert "code" in await after.silent("woodgrove", body["session_credential"])
    assert (await after.refresh("contoso", body["refresh_token"])).status_code == 200
    after.http.cookies.update(cookies)
    assert "code" in answer(await after.authorize("contoso"))
    assert (await after.redeem("contoso", unused)).json()["error"] == "invalid_grant"


async def test_reuse_is_remembered_across_a_restart(world: World) -> None:
    """A used refresh token is still a used one after a restart."""
    browser = world.browser()
    body = await browser.signed_in("contoso")
    await browser.refresh("contoso", body["refresh_token"])
    await world.close()
    await world.open()
    assert (await world.browser().refresh("contoso", body["refresh_token"])).json()["error_codes"] == [50173]


async def test_rollover(world: World, browser: Browser) -> None:
    """The next key is published first, then signs; the old one stays for the longest life of a token, then goes."""
    assert world.provider
    first, following = await key_ids(browser)
    old = (await browser.signed_in("contoso"))["access_token"]
    assert await verifies(browser, old)
    world.clock.now += 31 * DAY
    await world.provider.refresh()
    assert world.provider.keys.kid(CONTOSO) in {first, following}
    rolled = await key_ids(browser)
    assert {first, following} < set(rolled)
    new = (await browser.signed_in("contoso", prompt="login"))["access_token"]
    assert new.split(".")[0] != old.split(".")[0]
    assert await verifies(browser, new)
    assert await verifies(browser, old)
    world.clock.now += 28 * 3600
    await world.provider.refresh()
    assert not await verifies(browser, old)
    assert await verifies(browser, new)
    stored = json.loads((world.root / "state" / "idp-keys" / f"{CONTOSO}.json").read_text())["keys"]
    assert [key["kid"] for key in stored] == await key_ids(browser)


async def test_emergency_withdrawal(world: World, browser: Browser) -> None:
    """A key named as withdrawn in the directory is gone at once, and the next one signs."""
    assert world.provider
    body = await browser.signed_in("contoso")
    kid = world.provider.keys.kid(CONTOSO)
    document = directory()
    document["tenants"][0]["withdrawn_keys"] = [kid]
    world.write_directory(document)
    assert await world.provider.refresh()
    assert kid not in await key_ids(browser)
    assert len(await key_ids(browser)) == 2
    response = await browser.http.get("/v1.0/me/tenants", headers=bearer(body["access_token"]))
    assert response.status_code == 401
    fresh = (await browser.refresh("contoso", body["refresh_token"])).json()["access_token"]
    assert await verifies(browser, fresh)


async def test_reload_takes_effect_in_the_next_token(world: World, browser: Browser) -> None:
    """Unassign an application, disable a user, add a tenant: each counts from the next request."""
    assert world.provider
    body = await browser.signed_in("contoso", scope=scope_of(WIKI))
    assert not await world.provider.refresh()
    document = directory()
    document["tenants"][0]["applications"][0]["assignments"] = {}
    document["tenants"].append({"id": "5" * 8 + "-5555-4555-8555-" + "5" * 12, "name": "new", "display_name": "New"})
    world.write_directory(document)
    assert await world.provider.refresh()
    refused = (await browser.refresh("contoso", body["refresh_token"])).json()
    assert (refused["error"], refused["suberror"]) == ("access_denied", "application_not_assigned")
    assert len(await key_ids(browser, "new")) == 2
    document["tenants"][0]["users"][0]["state"] = "disabled"
    world.write_directory(document)
    await world.provider.refresh()
    assert (await browser.refresh("contoso", body["refresh_token"])).json()["error_codes"] == [50057]


@pytest.mark.parametrize("name", ["directory.json", "fabrikam.json", "certs/contoso/ca.key"])
async def test_a_bad_file_changes_nothing(world: World, browser: Browser, name: str) -> None:
    """Whatever file goes bad is reported once by name, everything goes on, and mending it is noticed."""
    assert world.provider
    path = world.root / name
    good = path.read_text()
    path.write_text("{ not a document")
    with pytest.raises(DocumentError, match=path.name):
        await world.provider.refresh()
    assert not await world.provider.refresh()
    await browser.signed_in("contoso")
    path.write_text(good)
    assert await world.provider.refresh()


async def test_a_new_file_that_is_bad_is_watched(world: World) -> None:
    """A profile that the directory names for the first time, and which is missing, counts when it appears."""
    assert world.provider
    document = directory()
    document["tenants"][2]["forwarding_profiles"] = ["later.json"]
    world.write_directory(document)
    with pytest.raises(DocumentError, match=r"later\.json"):
        await world.provider.refresh()
    profile = json.loads((world.root / "fabrikam.json").read_text()) | {"id": "later", "tenant": "woodgrove"}
    profile["channels"]["private"]["audience"] = "99999999-0000-4000-8000-000000000001"
    (world.root / "later.json").write_text(json.dumps(profile))
    assert await world.provider.refresh()


@pytest.mark.parametrize(
    ("name", "content"),
    [("idp-secret", b"short"), (f"idp-keys/{CONTOSO}.json", b"{}"), ("idp.sqlite", b"not a database at all, really")],
)
async def test_damaged_state_is_reported(prepared: Path, tmp_path: Path, name: str, content: bytes) -> None:
    """A damaged file of state stops the start with its name, and its content is not shown."""
    world = World.copy(prepared, tmp_path, Clock())
    (world.root / "state" / name).write_bytes(content)
    with pytest.raises(DocumentError, match=Path(name).name) as caught:
        await Provider.open(world.settings, "https://idp.test", world.clock)
    assert content.decode() not in str(caught.value)


async def test_a_private_key_that_is_not_the_published_one_is_reported(prepared: Path, tmp_path: Path) -> None:
    """Nobody could verify what it signs."""
    world = World.copy(prepared, tmp_path, Clock())
    ours, theirs = (world.root / "state" / "idp-keys" / f"{tenant}.json" for tenant in (CONTOSO, FABRIKAM))
    mixed = json.loads(ours.read_text())
    mixed["keys"][0]["private"] = json.loads(theirs.read_text())["keys"][0]["private"]
    ours.write_text(json.dumps(mixed))
    with pytest.raises(DocumentError, match="not a usable key file"):
        await Provider.open(world.settings, "https://idp.test", world.clock)


async def test_token_lifetime_of_a_tenant(world: World, browser: Browser) -> None:
    """The directory may shorten a tenant's tokens."""
    assert world.provider
    document = directory()
    document["tenants"][0]["token_lifetime"] = [120, 120]
    world.write_directory(document)
    await world.provider.refresh()
    body = await browser.signed_in("contoso")
    access = claims(body["access_token"])
    assert (body["expires_in"], access["exp"] - access["iat"]) == (120, 120)


async def test_sweep_deletes_what_expired(world: World, browser: Browser) -> None:
    """Expired rows go; live ones stay."""
    assert world.provider
    body = await browser.signed_in("contoso")
    await world.provider.store.sweep(world.provider.now())
    assert (await browser.refresh("contoso", body["refresh_token"])).status_code == 200
    world.clock.now += 100 * DAY
    await world.provider.store.sweep(world.provider.now())
    assert (await browser.silent("contoso", body["session_credential"]))["error"] == "login_required"
