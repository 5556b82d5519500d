"""Signing in where the URL names no organization: `/common` and `/organizations`."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.integration.idp.factors import Authenticator, add_passkey
from tests.integration.idp.test_device_code import poll, start
from tests.integration.idp.test_hostile import code_of
from tests.integration.idp.world import (
    ALEX,
    ALEX_F,
    BASE,
    CONTOSO,
    FABRIKAM,
    PASSWORD,
    PRIVATE,
    PRIVATE_F,
    STAFF,
    TAILSPIN,
    Browser,
    PageForm,
    World,
    answer,
    claims,
    directory,
    password_hash,
    scope_of,
)

SHARED = ("common", "organizations")
ISSUER = f"{BASE}/{CONTOSO}/v2.0"
TEMPLATE = f"{BASE}/{{tenantid}}/v2.0"
CAROL = "aaaaaaaa-0000-4000-8000-000000000007"


@pytest.fixture
async def carol(world: World) -> World:
    """Somebody who is at home at Tailspin."""
    document = directory()
    document["tenants"][3]["users"] = [{
        "oid": CAROL, "upn": "carol@tailspin.example", "display_name": "Carol", "password_hash": password_hash(),
    }]
    world.write_directory(document)
    assert world.provider is not None
    await world.provider.refresh()
    return world


async def find_home(browser: Browser, page: httpx.Response, user: str = "alex@contoso.example") -> httpx.Response:
    """Answer the page that asks for an account alone."""
    assert set(PageForm(page.text).buttons) == {"find_home", "decline"}
    return await browser.submit(page, "find_home", username=user)


async def enter(browser: Browser, name: str = "common", user: str = "alex@contoso.example", **more: Any) -> str:
    """Sign in under a shared name and return the code."""
    page = await find_home(browser, await browser.authorize(name, **more), user)
    redirect = answer(await browser.submit(page, "sign_in", username=user, password=PASSWORD))
    assert redirect["iss"].endswith("/v2.0"), redirect
    return redirect["code"]


@pytest.mark.parametrize("name", SHARED)
async def test_the_account_tells_the_organization(browser: Browser, name: str) -> None:
    """First the account, then its organization's page; tokens and answer name that organization."""
    page = await find_home(browser, await browser.authorize(name))
    form = PageForm(page.text)
    assert form.action == f"/{name}/oauth2/v2.0/authorize"
    assert form.fields["username"] == "alex@contoso.example"
    assert "Contoso" in form.text
    redirect = answer(await browser.submit(page, "sign_in", username="alex@contoso.example", password=PASSWORD))
    assert redirect["iss"] == ISSUER
    tokens = (await browser.redeem(name, redirect["code"])).json()
    seen = claims(tokens["access_token"])
    assert (seen["iss"], seen["tid"], seen["oid"]) == (ISSUER, CONTOSO, ALEX)
    assert claims(tokens["id_token"])["iss"] == ISSUER


@pytest.mark.parametrize(
    ("issued", "redeemed", "code"),
    [
        ("common", "common", 0), ("common", "contoso", 0), ("common", CONTOSO, 0),
        ("common", "fabrikam", 700005), ("common", "tailspin", 700005), ("common", "organizations", 700005),
        ("organizations", "organizations", 0), ("organizations", "contoso", 0), ("organizations", "common", 700005),
    ],
)
async def test_where_a_code_is_good(browser: Browser, issued: str, redeemed: str, code: int) -> None:
    """A20: under the name that it was made under, or at its organization; never elsewhere."""
    response = await browser.redeem(redeemed, await enter(browser, issued))
    assert (code_of(response) if response.status_code != 200 else 0) == code


async def test_a_code_of_an_organization_is_not_good_under_a_shared_name(browser: Browser) -> None:
    """A20: a guest's code above all, which /common would never have made."""
    await browser.signed_in("contoso")
    for tenant in ("contoso", "fabrikam"):
        granted = answer(await browser.authorize(tenant))["code"]
        assert code_of(await browser.redeem("common", granted)) == 700005


async def test_guests_land_at_home_and_visit_by_name(browser: Browser) -> None:
    """Alex is a guest of Fabrikam: /common never leads there, not even for a resource of Fabrikam."""
    tokens = (await browser.redeem("common", await enter(browser))).json()
    assert claims(tokens["access_token"])["tid"] == CONTOSO
    refused = answer(await browser.authorize("common", scope=scope_of(PRIVATE_F)))
    assert refused["error_description"].startswith("AADSTS500011")
    assert refused["iss"] == ISSUER
    visited = answer(await browser.authorize("fabrikam"))
    seen = claims((await browser.redeem("fabrikam", visited["code"])).json()["access_token"])
    assert (seen["tid"], seen["oid"]) == (FABRIKAM, ALEX_F)


async def test_a_pending_guest_redeems_at_the_resource_tenant(browser: Browser) -> None:
    """Having signed in at /common, the link of an organization that invited them asks for their consent as ever."""
    await enter(browser)
    page = await browser.authorize("woodgrove")
    assert "consent" in PageForm(page.text).buttons
    assert "code" in answer(await browser.submit(page, "consent"))


async def test_the_session_answers_silently(browser: Browser) -> None:
    """With a session nobody is asked; without one the answer names the issuer of the metadata."""
    unknown = answer(await browser.authorize("common", prompt="none"))
    assert (unknown["error"], unknown["iss"]) == ("login_required", TEMPLATE)
    hinted = answer(await browser.authorize("common", prompt="none", login_hint="alex@contoso.example"))
    assert (hinted["error"], hinted["iss"]) == ("login_required", ISSUER)
    await enter(browser)
    assert answer(await browser.authorize("common", prompt="none"))["iss"] == ISSUER
    assert "code" in answer(await browser.authorize("common"))
    again = await browser.authorize("common", prompt="login")
    assert "find_home" in PageForm(again.text).buttons


async def test_a_hint_leads_to_the_page_and_another_account_elsewhere(carol: World) -> None:
    """The hint saves the first page; a session of somebody else does not answer it, and a typed name outranks both."""
    browser = carol.browser()
    await enter(browser)
    page = await browser.authorize("common", login_hint="carol@tailspin.example")
    form = PageForm(page.text)
    assert "Tailspin" in form.text
    assert form.fields["realm"] == TAILSPIN
    redirect = answer(await browser.submit(page, "sign_in", username="carol@tailspin.example", password=PASSWORD))
    assert redirect["iss"] == f"{BASE}/{TAILSPIN}/v2.0"
    other = await carol.browser().authorize("common", login_hint="carol@tailspin.example")
    typed = await browser.submit(other, "sign_in", username="alex@contoso.example", password=PASSWORD)
    assert "out of date" in typed.text  # the page was another browser's
    mine = await browser.authorize("common", login_hint="carol@tailspin.example", prompt="login")
    typed = await browser.submit(mine, "sign_in", username="alex@contoso.example", password=PASSWORD)
    assert answer(typed)["iss"] == ISSUER


@pytest.mark.parametrize("user", ["nobody@contoso.example", "eve@contoso.example", "alex@contoso.example"])
async def test_the_page_is_the_same_for_accounts_that_do_not_exist(browser: Browser, user: str) -> None:
    """It goes by the domain; a wrong password says the same of all."""
    page = await find_home(browser, await browser.authorize("common"), user)
    assert "Contoso" in PageForm(page.text).text
    wrong = await browser.submit(page, "sign_in", username=user, password="wrong")
    assert "incorrect" in PageForm(wrong.text).text


async def test_names_of_no_organization_are_asked_for_again(browser: Browser) -> None:
    """No domain, an unknown one, or nothing at all: the same page with a sentence; cancelling ends it."""
    page = await browser.authorize("common", state="s")
    for user in ("", "alex", "contoso", "alex@nowhere.example", "\u00e9@\u00e9"):
        page = await find_home(browser, page, user)
        assert "No organization here" in PageForm(page.text).text
    declined = answer(await browser.submit(page, "decline"))
    assert (declined["error"], declined["iss"], declined["state"]) == ("access_denied", TEMPLATE, "s")


async def test_the_field_of_the_page_gives_nobody_another_organization(browser: Browser) -> None:
    """Who edits the hidden organization still lands where the account is at home."""
    page = await find_home(browser, await browser.authorize("common"))
    form = PageForm(page.text).fields | {
        "realm": FABRIKAM, "username": "alex@contoso.example", "password": PASSWORD, "action": "sign_in",
    }
    assert answer(await browser.http.post("/common/oauth2/v2.0/authorize", data=form))["iss"] == ISSUER


async def test_refresh_tokens_go_on_where_they_began(browser: Browser) -> None:
    """At the organization or under a shared name, for an account that is at home there; a guest's only where it is."""
    tokens = (await browser.redeem("common", await enter(browser))).json()
    second = (await browser.refresh("common", tokens["refresh_token"])).json()
    assert claims(second["access_token"])["tid"] == CONTOSO
    third = await browser.refresh("contoso", second["refresh_token"])
    assert third.status_code == 200
    visited = await browser.redeem("fabrikam", answer(await browser.authorize("fabrikam"))["code"])
    assert code_of(await browser.refresh("common", visited.json()["refresh_token"])) == 700009
    assert code_of(await browser.refresh("fabrikam", third.json()["refresh_token"])) == 700009


@pytest.mark.parametrize("place", ["common", "contoso", "fabrikam"])
async def test_device_codes(world: World, browser: Browser, place: str) -> None:
    """Nobody knows whose organization it will be until somebody has signed in."""
    begun = await start(browser, "common")
    assert begun["verification_uri"] == f"{BASE}/common/oauth2/v2.0/deviceauth"
    assert (await poll(browser, begun["device_code"], "common"))["error"] == "authorization_pending"
    assert (await poll(browser, begun["device_code"], "contoso"))["error_codes"] == [70018]
    person = world.browser()
    page = await person.submit(await person.http.get(begun["verification_uri_complete"]), "code")
    page = await find_home(person, page)
    done = await person.submit(page, "sign_in", username="alex@contoso.example", password=PASSWORD)
    assert "You are signed in" in done.text
    world.clock.now += 5
    body = await poll(browser, begun["device_code"], place)
    if place == "fabrikam":
        assert body["error_codes"] == [70018]
    else:
        assert claims(body["access_token"])["tid"] == CONTOSO


async def test_device_codes_may_be_declined_and_asked_again(world: World, browser: Browser) -> None:
    """Before the organization is known, too."""
    begun = await start(browser, "organizations")
    person = world.browser()
    page = await person.submit(await person.http.get(begun["verification_uri_complete"]), "code")
    page = await find_home(person, page, "alex@nowhere.example")
    assert "No organization here" in PageForm(page.text).text
    assert "cancelled" in (await person.submit(page, "decline")).text
    assert (await poll(browser, begun["device_code"], "organizations"))["error"] == "access_denied"
    elsewhere = await start(browser, "contoso")
    page = await person.http.get("/common/oauth2/v2.0/deviceauth")
    page = await person.submit(page, "code", user_code=elsewhere["user_code"])
    assert "not known" in PageForm(page.text).text


async def test_policies_and_profiles_are_those_of_home(browser: Browser) -> None:
    """The decision is the organization's own: its resources, its assignments."""
    tokens = await browser.redeem("common", await enter(browser, scope=scope_of(PRIVATE)))
    seen = claims(tokens.json()["access_token"])
    assert (seen["aud"], seen["groups"]) == (PRIVATE, [STAFF])
    other = answer(await browser.authorize("common", scope="x"))
    assert (other["error"], other["iss"]) == ("invalid_scope", TEMPLATE)


async def test_signing_out_and_personal_accounts(browser: Browser) -> None:
    """`logout` ends the session under a shared name too; `consumers` is no organization here."""
    await enter(browser)
    assert (await browser.http.get("/common/oauth2/v2.0/logout")).status_code == 200
    assert answer(await browser.authorize("common", prompt="none"))["error"] == "login_required"
    assert "AADSTS90002" in (await browser.authorize("consumers")).text
    assert (await browser.http.get("/consumers/v2.0/.well-known/openid-configuration")).status_code == 400


async def test_a_passkey_tells_the_organization_as_well(carol: World) -> None:
    """It names its owner after the page was shown; the answer is that of the owner's organization."""
    authenticator = Authenticator()
    await add_passkey(carol.browser(), authenticator)
    browser = carol.browser()
    page = await find_home(browser, await browser.authorize("common"), "carol@tailspin.example")
    page = await browser.submit(page, "passkey", username="")
    assert PageForm(page.text).fields["realm"] == TAILSPIN
    redirect = answer(await browser.submit(page, "passkey_sign_in", credential=authenticator.get(page)))
    assert redirect["iss"] == ISSUER
    seen = claims((await browser.redeem("contoso", redirect["code"])).json()["access_token"])
    assert (seen["tid"], seen["oid"]) == (CONTOSO, ALEX)
