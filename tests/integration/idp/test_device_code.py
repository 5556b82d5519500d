"""Signing in without a browser of one's own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.idp.world import (
    DIRECTORY_SCOPE,
    PASSWORD,
    PRIVATE,
    Browser,
    PageForm,
    World,
    claims,
    scope_of,
)
from tunneld.policy.directory import DAEMON_CLIENT

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
PAGE = "/contoso/oauth2/v2.0/deviceauth"


async def start(browser: Browser, tenant: str = "contoso", scope: str = DIRECTORY_SCOPE) -> dict[str, Any]:
    form = {"client_id": DAEMON_CLIENT, "scope": scope}
    body: dict[str, Any] = (await browser.http.post(f"/{tenant}/oauth2/v2.0/devicecode", data=form)).json()
    return body


async def poll(browser: Browser, device_code: str, tenant: str = "contoso") -> dict[str, Any]:
    body: dict[str, Any] = (await browser.token(tenant, grant_type=GRANT, device_code=device_code)).json()
    return body


async def test_device_sign_in(world: World, browser: Browser) -> None:
    """Code, password, and the polling program gets its tokens, once."""
    begun = await start(browser)
    assert (await poll(browser, begun["device_code"]))["error"] == "authorization_pending"
    person = world.browser()
    page = await person.http.get(begun["verification_uri_complete"])
    assert begun["user_code"] in page.text
    page = await person.submit(page, "code", user_code=begun["user_code"].lower())
    wrong = await person.submit(page, "sign_in", username="alex@contoso.example", password="wrong")
    assert "incorrect" in PageForm(wrong.text).text
    done = await person.submit(wrong, "sign_in", username="alex@contoso.example", password=PASSWORD)
    assert "You are signed in" in done.text
    world.clock.now += 5
    body = await poll(browser, begun["device_code"])
    assert claims(body["access_token"])["preferred_username"] == "alex@contoso.example"
    assert body["session_credential"]
    assert (await poll(browser, begun["device_code"]))["error"] == "invalid_grant"


async def test_session_is_asked_to_confirm_and_may_decline(world: World, browser: Browser) -> None:
    """With a session there is a page that names program and code; declining ends the sign-in."""
    await browser.signed_in("contoso")
    for action, outcome in (("confirm", "access_token"), ("decline", "error")):
        begun = await start(browser)
        page = await browser.submit(await browser.http.get(PAGE), "code", user_code=begun["user_code"])
        assert begun["user_code"] in page.text
        assert "tunneld" in page.text
        await browser.submit(page, action)
        assert outcome in await poll(browser, begun["device_code"])


async def test_guest_consents_on_the_device_page(browser: Browser) -> None:
    """The consent page appears in this flow too."""
    begun = await start(browser, "woodgrove")
    page = await browser.http.get("/woodgrove/oauth2/v2.0/deviceauth")
    page = await browser.submit(page, "code", user_code=begun["user_code"])
    page = await browser.submit(page, "sign_in", username="alex@contoso.example", password=PASSWORD)
    assert "Review permissions" in page.text
    await browser.submit(page, "consent")
    assert "access_token" in await poll(browser, begun["device_code"], "woodgrove")


async def test_refused_sign_in_reaches_the_program(browser: Browser) -> None:
    """A user without the channel: the page says why, the program is denied."""
    begun = await start(browser, scope=scope_of(PRIVATE))
    page = await browser.submit(await browser.http.get(PAGE), "code", user_code=begun["user_code"])
    page = await browser.submit(page, "sign_in", username="bob@contoso.example", password=PASSWORD)
    assert "profile_not_assigned" in page.text
    assert (await poll(browser, begun["device_code"]))["error"] == "access_denied"


async def test_polling_too_fast_and_too_late(world: World, browser: Browser) -> None:
    """slow_down adds five seconds each time; an expired code says so."""
    begun = await start(browser)
    assert (begun["interval"], begun["expires_in"]) == (5, 900)
    answers = []
    for wait in (0, 1, 9, 16):
        world.clock.now += wait
        answers.append((await poll(browser, begun["device_code"]))["error"])
    assert answers == ["authorization_pending", "slow_down", "slow_down", "authorization_pending"]
    world.clock.now += 900
    assert (await poll(browser, begun["device_code"]))["error"] == "expired_token"
    assert (await poll(browser, begun["device_code"]))["error"] == "invalid_grant"


async def test_codes_of_another_tenant_and_guesses(world: World, browser: Browser) -> None:
    """A code is good in its tenant only, and after many wrong ones none is taken until the next minute."""
    begun = await start(browser)
    assert (await poll(browser, begun["device_code"], "fabrikam"))["error_codes"] == [70018]
    page = await browser.http.get("/fabrikam/oauth2/v2.0/deviceauth")
    assert "not known" in (await browser.submit(page, "code", user_code=begun["user_code"])).text
    page = await browser.http.get(PAGE)
    for _ in range(60):
        await browser.submit(page, "code", user_code="BBBB-BBBB")
    assert "not known" in (await browser.submit(page, "code", user_code=begun["user_code"])).text
    world.clock.now += 60
    assert "Sign in" in (await browser.submit(page, "code", user_code=begun["user_code"])).text


@pytest.mark.parametrize("fields", [{"scope": "x y"}, {"scope": ""}, {"client_id": "x"}, {"claims": "{"}])
async def test_bad_starts(browser: Browser, fields: dict[str, str]) -> None:
    """A device sign-in with wrong parameters does not begin."""
    form = {"client_id": DAEMON_CLIENT, "scope": DIRECTORY_SCOPE} | fields
    response = await browser.http.post("/contoso/oauth2/v2.0/devicecode", data=form)
    assert response.status_code == 400
    assert "device_code" not in response.json()


async def test_form_without_the_pages_token(browser: Browser) -> None:
    """A code typed by somebody else's page is not taken."""
    begun = await start(browser)
    response = await browser.http.post(PAGE, data={"user_code": begun["user_code"], "action": "confirm"})
    assert "out of date" in response.text
    assert (await poll(browser, begun["device_code"]))["error"] == "authorization_pending"
