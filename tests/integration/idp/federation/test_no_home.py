"""Guests from outside all organizations have no home that `/common` could lead to."""

from __future__ import annotations

import httpx

from tests.integration.idp.federation.outsiders import federation, invite, put
from tests.integration.idp.federation.test_passive import come_back, leave, post, proof
from tests.integration.idp.world import Browser, PageForm, World, answer
from tests.support.saml_partner import EMAIL


async def test_their_session_does_not_answer_there(world: World, browser: Browser) -> None:
    """They name the organization that they visit; under a shared name they are asked for an account as if new."""
    await put(world, "federationConfiguration", federation())
    await invite(world)
    _, request = await leave(browser)
    await come_back(browser, await post(browser, proof(request), request))
    assert "code" in answer(await browser.authorize("fabrikam"))
    page = await browser.authorize("common")
    assert "find_home" in PageForm(page.text).buttons
    assert answer(await browser.authorize("common", prompt="none"))["error"] == "login_required"
    page = await browser.submit(page, "find_home", username=EMAIL)
    assert "No organization here" in PageForm(page.text).text


async def test_pages_under_a_shared_name_offer_accounts_of_the_organization_only(
    world: World, browser: Browser
) -> None:
    """Passcodes, personal accounts and outside providers are for visitors of a named organization."""

    def offered(page: httpx.Response) -> set[str]:
        return set(PageForm(page.text).buttons)

    visited = offered(await browser.authorize("contoso"))
    shared = offered(await browser.authorize("common", login_hint="alex@contoso.example"))
    assert visited - shared >= {"passcode_send"}
    assert shared <= {"sign_in", "decline", "passkey"}
