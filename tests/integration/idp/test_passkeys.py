"""Passkeys by hand: what an honest authenticator signs is taken once, and what a dishonest one signs is not."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from tests.integration.idp.factors import MFA, Authenticator, add_passkey, b64, code_now, options_of, policy, seed_of
from tests.integration.idp.world import CONTOSO, Browser, PageForm, World, answer, claims, directory


async def ask(world: World) -> tuple[Browser, httpx.Response]:
    """Return a new browser at the page that asks for a passkey."""
    browser = world.browser()
    return browser, await browser.submit(await browser.authorize("contoso"), "passkey")


async def test_passkey_signs_in_without_a_password_and_counts_as_two_factors(world: World, browser: Browser) -> None:
    """One gesture satisfies a policy that asks for multifactor authentication."""
    authenticator = Authenticator()
    await add_passkey(browser, authenticator)
    document = directory()
    document["tenants"][0]["objects"] = {"conditionalAccessPolicy": [policy(1, grant=MFA)]}
    world.write_directory(document)
    assert world.provider is not None
    assert await world.provider.refresh()
    person, page = await ask(world)
    redirect = answer(await person.submit(page, "passkey_sign_in", credential=authenticator.get(page)))
    body = (await person.redeem("contoso", redirect["code"])).json()
    assert claims(body["access_token"])["preferred_username"] == "alex@contoso.example"


async def test_script_is_allowed_on_passkey_pages_only(world: World) -> None:
    """The content policy of every other page has no script at all."""
    person, page = await ask(world)
    assert "script-src 'self'" in page.headers["content-security-policy"]
    plain = await person.authorize("contoso")
    assert "script-src" not in plain.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    script = await person.http.get("/assets/passkey.js")
    assert script.headers["content-type"].startswith("text/javascript")


async def test_answer_is_good_once_and_in_its_browser(world: World, browser: Browser) -> None:
    """A captured answer is worthless again, in another browser, and after five minutes."""
    authenticator = Authenticator()
    await add_passkey(browser, authenticator)
    person, page = await ask(world)
    captured = authenticator.get(page)
    stranger = world.browser()
    other_page = await stranger.submit(await stranger.authorize("contoso"), "passkey")
    ceremony = PageForm(page.text).fields["ceremony"]
    stolen = await stranger.submit(other_page, "passkey_sign_in", credential=captured, ceremony=ceremony)
    assert "not recognized" in stolen.text
    used_up = await person.submit(page, "passkey_sign_in", credential=captured)
    assert "not recognized" in used_up.text
    person, page = await ask(world)
    good = authenticator.get(page)
    assert "code" in answer(await person.submit(page, "passkey_sign_in", credential=good))
    person.http.cookies.delete("__Host-tunneld-session")
    assert "not recognized" in (await person.submit(page, "passkey_sign_in", credential=good)).text
    person, page = await ask(world)
    late = authenticator.get(page)
    world.clock.now += 301
    assert "not recognized" in (await person.submit(page, "passkey_sign_in", credential=late)).text


def _replace(**changes: object) -> Callable[[str], str]:
    def change(credential: str) -> str:
        document = json.loads(credential)
        document["response"] |= changes
        return json.dumps(document)
    return change


WRONG: dict[str, Callable[[Authenticator], None]] = {
    "another origin": lambda a: setattr(a, "origin", "https://idp.test.evil.example"),
    "another relying party": lambda a: setattr(a, "rp_id", "evil.example"),
    "user not verified": lambda a: setattr(a, "flags", 0x01),
    "counter that stands still": lambda a: setattr(a, "count", a.count - 1),
    "another key": lambda a: setattr(a, "key", Authenticator().key),
    "unknown credential": lambda a: setattr(a, "credential_id", b"0123456789abcdef"),
    "another user": lambda a: setattr(a, "handle", bytes(32)),
}


@pytest.mark.parametrize("name", WRONG)
async def test_dishonest_authenticators(world: World, browser: Browser, name: str) -> None:
    """Each lie is refused with the same sentence, and leaves no session."""
    authenticator = Authenticator()
    await add_passkey(browser, authenticator)
    person, page = await ask(world)
    assert "code" in answer(await person.submit(page, "passkey_sign_in", credential=authenticator.get(page)))
    WRONG[name](authenticator)
    person, page = await ask(world)
    refused = await person.submit(page, "passkey_sign_in", credential=authenticator.get(page))
    assert "not recognized" in refused.text
    assert "__Host-tunneld-session" not in person.http.cookies


MANGLED = {
    "nothing": "", "no json": "{", "a list": "[]", "no members": "{}", "numbers": '{"id": 1, "response": 2}',
    "deep": "[" * 9000, "long": '{"id": "' + "a" * 17_000 + '"}', "null": "null",
    "no cbor": json.dumps({"id": "AA", "rawId": "AA", "type": "public-key", "response": {
        "clientDataJSON": "AA", "attestationObject": "gA", "authenticatorData": "AA", "signature": "AA"}}),
}


@pytest.mark.parametrize("name", MANGLED)
async def test_mangled_answers(world: World, browser: Browser, name: str) -> None:
    """Whatever a browser sends is an answer that was not recognized; nothing fails."""
    page = await browser.http.get("/contoso/mysecurityinfo")
    page = await browser.submit(page, "sign_in", username="alex@contoso.example", password="correct horse")
    page = await browser.submit(page, "add_passkey")
    refused = await browser.submit(page, "passkey_register", credential=MANGLED[name])
    assert "was not created" in refused.text
    person, page = await ask(world)
    assert "not recognized" in (await person.submit(page, "passkey_sign_in", credential=MANGLED[name])).text


async def test_passkey_of_somebody_else_is_no_second_factor(world: World, browser: Browser) -> None:
    """Bob's passkey does not open the page that asks for Alex's."""
    mine, theirs = Authenticator(), Authenticator()
    await add_passkey(browser, mine)
    await add_passkey(world.browser(), theirs, "bob@contoso.example")
    person = world.browser()
    page = await person.http.get("/contoso/mysecurityinfo")
    page = await person.submit(page, "sign_in", username="alex@contoso.example", password="correct horse")
    assert [known["id"] for known in options_of(page)["allowCredentials"]] == [b64(mine.credential_id)]
    refused = await person.submit(page, "passkey_mfa", credential=theirs.get(page))
    assert "not recognized" in refused.text
    page = await person.http.get("/contoso/mysecurityinfo")
    opened = await person.submit(page, "passkey_mfa", credential=mine.get(page))
    assert "Security info" in opened.text


async def test_methods_change_only_after_a_fresh_second_factor(world: World, browser: Browser) -> None:
    """A password adds the first method and no other; ten minutes later it has to be used again."""
    authenticator = Authenticator()
    await add_passkey(browser, authenticator)
    world.clock.now += 601
    page = await browser.http.get("/contoso/mysecurityinfo")
    assert "Verify with your passkey" in page.text
    form = PageForm(page.text)
    method = b64(authenticator.credential_id)
    for action in ("remove", "add_app", "add_passkey"):
        refused = await browser.http.post(form.action, data=form.fields | {"action": action, "method": method})
        assert "Verify with your passkey" in refused.text, action
    page = await browser.http.get("/contoso/mysecurityinfo")
    page = await browser.submit(page, "passkey_mfa", credential=authenticator.get(page))
    assert "The method was removed." in (await browser.submit(page, "remove", method=method)).text
    assert "There is no such method." in (await browser.submit(page, "remove", method=method)).text


async def conflict(world: World, **more: object) -> None:
    """Let fabrikam ask for a second factor, and give it more objects."""
    document = directory()
    document["tenants"][1]["objects"] = {"conditionalAccessPolicy": [policy(1, grant=MFA)]} | more
    world.write_directory(document)
    assert world.provider is not None
    assert await world.provider.refresh()


def trust(accepted: bool) -> dict[str, object]:
    return {"crossTenantAccessPartner": [{"tenantId": CONTOSO, "inboundTrust": {
        "isMfaAccepted": accepted, "isCompliantDeviceAccepted": False, "isHybridAzureADJoinedDeviceAccepted": False,
    }}]}


async def test_passwordless_home_and_a_second_factor_abroad(world: World, browser: Browser) -> None:
    """The known conflict, seen silently and on the page; trust solves it, and so does registering there once."""
    authenticator = Authenticator()
    await add_passkey(browser, authenticator)
    person, page = await ask(world)
    assert "code" in answer(await person.submit(page, "passkey_sign_in", credential=authenticator.get(page)))
    await conflict(world, **trust(False))
    refused = answer(await person.authorize("fabrikam", prompt="none"))
    assert (refused["error"], refused["error_description"][:12]) == ("interaction_required", "AADSTS50079:")
    await conflict(world, **trust(True))
    assert "code" in answer(await person.authorize("fabrikam", prompt="none"))
    await conflict(world, **trust(False))
    page = await person.http.get("/fabrikam/mysecurityinfo")
    assert "add_passkey" not in PageForm(page.text).buttons
    page = await person.submit(page, "add_app")
    page = await person.submit(page, "register", code=code_now(world, seed_of(page)))
    assert "The authenticator app was added." in page.text
    assert "code" in answer(await person.authorize("fabrikam", prompt="none"))


async def test_phishing_resistant_without_trust_locks_guests_out(world: World, browser: Browser) -> None:
    """No method of that strength is usable at a visited tenant, so nothing is asked of the guest in vain."""
    authenticator = Authenticator()
    await add_passkey(browser, authenticator)
    strength = {"authenticationStrength": {"id": "00000000-0000-0000-0000-000000000004"}}
    demand = {"conditionalAccessPolicy": [policy(1, grant=strength)]}
    await conflict(world, **demand)
    refused = answer(await browser.authorize("fabrikam"))
    assert refused["error_description"].startswith("AADSTS53003")
    await conflict(world, **demand, **trust(True))
    # Registering it was using it; somebody with the password alone is asked for it.
    assert "code" in answer(await browser.authorize("fabrikam"))
    other = world.browser()
    page = await other.sign_in("fabrikam")
    assert "code" in answer(await other.submit(page, "passkey_mfa", credential=authenticator.get(page)))
