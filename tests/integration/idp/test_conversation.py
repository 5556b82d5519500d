"""The conversation that a decision leads: second factors by place, terms of use, frequency, step-up, silent answers."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest

from tests.integration.idp.factors import MFA, TERMS, code_now, policy, seed_of
from tests.integration.idp.world import (
    CONTOSO,
    WIKI,
    Browser,
    PageForm,
    World,
    answer,
    claims,
    directory,
    scope_of,
)

Objects = dict[int, dict[str, list[dict[str, Any]]]]


@pytest.fixture
async def configured(world: World) -> Any:
    """Give tenants objects: `await configured({index of tenant: {kind: [bodies]}})`."""
    async def configure(objects: Objects) -> None:
        document = directory()
        for index, kinds in objects.items():
            document["tenants"][index]["objects"] = kinds
        world.write_directory(document)
        assert world.provider is not None
        assert await world.provider.refresh()
    return configure


def ca(*policies: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {"conditionalAccessPolicy": list(policies)}


TRUST = {
    "crossTenantAccessPartner": [{"tenantId": CONTOSO, "inboundTrust": {
        "isMfaAccepted": True, "isCompliantDeviceAccepted": True, "isHybridAzureADJoinedDeviceAccepted": True,
    }}]
}


async def register(world: World, browser: Browser, tenant: str, **changes: Any) -> bytes:
    """Sign in, register the app that is asked for, and return its seed."""
    page = await browser.sign_in(tenant, **changes)
    seed = seed_of(page)
    answer(await browser.submit(page, "register", code=code_now(world, seed)))
    return seed


async def test_guest_registers_and_uses_a_code_at_the_visited_tenant(
    world: World, browser: Browser, configured: Any
) -> None:
    """Registered there, used there: home knows nothing of it, and a new session is asked again."""
    await configured({1: ca(policy(1, grant=MFA))})
    seed = await register(world, browser, "fabrikam")
    assert "code" in answer(await browser.authorize("fabrikam"))
    other = world.browser()
    page = await other.sign_in("fabrikam")
    assert "Verify your identity" in page.text
    world.clock.now += 30
    assert "code" in answer(await other.submit(page, "mfa", code=code_now(world, seed)))
    audits = [line for line in world.lines("audit.jsonl") if "security info" in json.dumps(line)]
    assert len(audits) == 1


async def test_code_done_for_one_tenant_is_worth_nothing_in_another(
    world: World, browser: Browser, configured: Any
) -> None:
    """A second factor of a guest belongs to the tenant that asked for it; home asks for its own."""
    await configured({0: ca(policy(1, grant=MFA)), 1: ca(policy(2, grant=MFA))})
    await register(world, browser, "fabrikam")
    page = await browser.authorize("contoso")
    assert "Set up an authenticator app" in page.text
    assert "Contoso" in PageForm(page.text).text


async def test_trusted_home_factor_is_challenged_at_home(world: World, browser: Browser, configured: Any) -> None:
    """With MFA trust the visited tenant takes home's code, and an unproven session is sent to use it."""
    await configured({0: ca(policy(1, grant=MFA)), 1: ca(policy(2, grant=MFA)) | TRUST})
    seed = await register(world, browser, "contoso")
    assert "code" in answer(await browser.authorize("fabrikam"))
    other = world.browser()
    page = await other.sign_in("fabrikam")
    assert "registered at" in PageForm(page.text).text
    world.clock.now += 30
    assert "code" in answer(await other.submit(page, "mfa", code=code_now(world, seed)))


async def test_code_is_good_once_and_guesses_are_limited(world: World, browser: Browser, configured: Any) -> None:
    """The same code a second time, a code of a minute ago and ten guesses are refused; then the right one, too."""
    await configured({0: ca(policy(1, grant=MFA))})
    seed = await register(world, browser, "contoso")
    page = await world.browser().sign_in("contoso")
    thief = world.browser()
    page = await thief.sign_in("contoso")
    again = await thief.submit(page, "mfa", code=code_now(world, seed))
    assert "used already" in again.text
    world.clock.now += 120
    assert "not right" in (await thief.submit(page, "mfa", code=code_now(world, seed, steps=-2))).text
    right = code_now(world, seed)
    wrong = "000000" if right != "000000" else "111111"
    for _ in range(10):
        page = await thief.submit(page, "mfa", code=wrong)
    assert "locked" in page.text
    assert "locked" in (await thief.submit(page, "mfa", code=right)).text
    world.clock.now += 120
    assert "code" in answer(await thief.submit(page, "mfa", code=code_now(world, seed)))


async def test_steps_cannot_be_skipped(world: World, browser: Browser, configured: Any) -> None:
    """Neither the code page before the password, nor registering where a method exists, nor a made-up consent."""
    await configured({0: ca(policy(1, grant=MFA)), 1: ca(policy(2, grant=MFA))})
    first = await browser.authorize("contoso")
    form = PageForm(first.text)
    stranger = await browser.http.post(form.action, data=form.fields | {"action": "mfa", "code": "123456"})
    assert "Password" in stranger.text
    seed = await register(world, browser, "contoso")
    thief = world.browser()
    page = await thief.sign_in("contoso")
    form = PageForm(page.text)
    for action in ("register", "consent", "accept", "device", "passkey_register", "add_app", "confirm"):
        fields = form.fields | {"action": action, "code": code_now(world, seed), "offer": "x"}
        skipped = await thief.http.post(form.action, data=fields)
        assert "Verify your identity" in skipped.text, action
    assert answer(await thief.authorize("contoso", prompt="none"))["error"] == "interaction_required"


async def test_registration_offer_belongs_to_its_session(world: World, browser: Browser, configured: Any) -> None:
    """A key that somebody else was shown cannot be registered here, nor can one that was shown long ago."""
    await configured({0: ca(policy(1, grant=MFA))})
    mine = await browser.sign_in("contoso")
    theirs = await world.browser().sign_in("contoso", user="bob@contoso.example")
    seed, offer = seed_of(theirs), PageForm(theirs.text).fields["offer"]
    refused = await browser.submit(mine, "register", code=code_now(world, seed), offer=offer)
    assert "open for too long" in refused.text
    elsewhere = await world.browser().sign_in("contoso")  # Alex again, or somebody who knows the password
    seed, offer = seed_of(elsewhere), PageForm(elsewhere.text).fields["offer"]
    refused = await browser.submit(mine, "register", code=code_now(world, seed), offer=offer)
    assert "open for too long" in refused.text
    world.clock.now += 901
    refused = await browser.submit(mine, "register", code=code_now(world, seed_of(mine)))
    assert "open for too long" in refused.text


async def test_a_mistyped_code_keeps_the_key_that_the_app_has_by_now(
    world: World, browser: Browser, configured: Any
) -> None:
    """Otherwise the app would hold two entries, and show codes of the one that is worth nothing."""
    await configured({0: ca(policy(1, grant=MFA))})
    page = await browser.sign_in("contoso")
    again = await browser.submit(page, "register", code="12345x")
    assert "does not belong to this key" in again.text
    assert seed_of(again) == seed_of(page)
    assert "code" in answer(await browser.submit(again, "register", code=code_now(world, seed_of(page))))


async def test_cancelled_second_factor_goes_back_to_the_client(browser: Browser, configured: Any) -> None:
    """AADSTS50074, as for a challenge that was not passed."""
    await configured({0: ca(policy(1, grant=MFA))})
    refused = answer(await browser.submit(await browser.sign_in("contoso"), "decline"))
    assert (refused["error"], refused["error_description"][:12]) == ("interaction_required", "AADSTS50074:")


async def test_form_without_the_pages_token_does_nothing(world: World, browser: Browser, configured: Any) -> None:
    """Cross-site posts of every action start the conversation anew."""
    await configured({0: ca(policy(1, grant=MFA))})
    page = await browser.sign_in("contoso")
    seed = seed_of(page)
    form = PageForm(page.text)
    for token in ("", form.fields["csrf"][:-1] + "x"):
        fields = form.fields | {"csrf": token, "action": "register", "code": code_now(world, seed)}
        refused = await browser.http.post(form.action, data=fields)
        assert "out of date" in refused.text
    with sqlite3.connect(world.root / "state" / "idp.sqlite") as database:
        assert database.execute("select count(*) from authenticator_apps").fetchone() == (0,)


async def test_sign_in_makes_a_new_session(world: World, browser: Browser) -> None:
    """A cookie that somebody planted is not the one that a sign-in leaves behind."""
    victim = world.browser()
    await browser.signed_in("contoso")
    planted = browser.http.cookies["__Host-tunneld-session"]
    victim.http.cookies.set("__Host-tunneld-session", planted, domain="idp.test", path="/")
    await victim.signed_in("contoso", prompt="login", user="bob@contoso.example")
    assert victim.http.cookies.get("__Host-tunneld-session") != planted
    kept = (await browser.redeem("contoso", answer(await browser.authorize("contoso"))["code"])).json()
    assert claims(kept["access_token"])["preferred_username"] == "alex@contoso.example"


async def test_terms_of_use_by_version(world: World, browser: Browser, configured: Any) -> None:
    """Accepted once for a version; a new version asks again; both answers are audited."""
    def terms(version: int) -> Objects:
        agreement = {"id": TERMS, "displayName": "House rules", "text": "Wipe <b>your</b> feet.", "version": version}
        return {0: {"agreement": [agreement]} | ca(policy(1, grant={"termsOfUse": [TERMS]}))}
    await configured(terms(1))
    page = await browser.sign_in("contoso")
    assert "Wipe &lt;b&gt;your&lt;/b&gt; feet." in page.text
    declined = answer(await browser.submit(page, "decline"))
    assert declined["error_description"].startswith("AADSTS50158")
    assert "code" in answer(await browser.submit(page, "accept"))
    assert "code" in answer(await browser.authorize("contoso", prompt="none"))
    await configured(terms(2))
    refused = answer(await browser.authorize("contoso", prompt="none"))
    assert refused["error"] == "interaction_required"
    assert "have changed" in (await browser.submit(page, "accept")).text
    text = json.dumps(world.lines("audit.jsonl"))
    assert (text.count("Accept Terms Of Use"), text.count("Decline Terms Of Use")) == (1, 1)


async def test_sign_in_frequency_asks_for_the_password_again(world: World, browser: Browser, configured: Any) -> None:
    """After an hour the page asks again, with the name filled in; silently and by refresh token it is refused."""
    frequency = {"signInFrequency": {
        "isEnabled": True, "type": "hours", "value": 1, "frequencyInterval": "timeBased",
        "authenticationType": "primaryAndSecondaryAuthentication",
    }}
    await configured({0: ca(policy(1, sessionControls=frequency))})
    body = await browser.signed_in("contoso")
    world.clock.now += 3601
    refused = (await browser.refresh("contoso", body["refresh_token"])).json()
    assert (refused["error"], refused["error_codes"]) == ("invalid_grant", [70043])
    page = await browser.authorize("contoso")
    assert PageForm(page.text).fields["username"] == "alex@contoso.example"
    assert "sign in again" in page.text
    code = answer(await browser.submit(page, "sign_in", password="correct horse"))["code"]
    assert (await browser.redeem("contoso", code)).status_code == 200


async def test_persistent_browser_session(world: World, browser: Browser, configured: Any) -> None:
    """The session cookie gets an end of its own only where a policy says so."""
    def session_cookie(response: Any) -> str:
        cookies = [line for line in response.headers.get_list("set-cookie") if "session" in line]
        return str(cookies[-1])
    assert "Max-Age" not in session_cookie(await browser.sign_in("contoso"))
    control = {"persistentBrowser": {"isEnabled": True, "mode": "always"}}
    await configured({0: ca(policy(1, sessionControls=control))})
    assert "Max-Age=1209600" in session_cookie(await world.browser().sign_in("contoso"))


async def test_token_endpoint_names_the_policies(world: World, browser: Browser, configured: Any) -> None:
    """A policy that came after the sign-in stops the refresh, with the claims for the next sign-in."""
    body = await browser.signed_in("contoso")
    await configured({0: ca(policy(7, grant=MFA))})
    refused = (await browser.refresh("contoso", body["refresh_token"])).json()
    assert (refused["error"], refused["error_codes"]) == ("interaction_required", [50079])
    values = json.loads(refused["claims"])["access_token"]["capolids"]
    assert values == {"essential": True, "values": ["abcdabcd-0000-4000-8000-000000000107"]}
    await configured({0: ca(policy(8, grant={"builtInControls": ["block"]}))})
    refused = (await browser.refresh("contoso", body["refresh_token"])).json()
    assert (refused["error"], refused["error_codes"]) == ("invalid_grant", [53003])
    assert "000000000108" in refused["claims"]
    blocked = answer(await browser.authorize("contoso"))
    assert (blocked["error"], blocked["error_description"][:12]) == ("access_denied", "AADSTS53003:")


async def test_step_up_by_authentication_context(world: World, browser: Browser, configured: Any) -> None:
    """A context that an API names asks for a second factor, and then stands in `acrs`."""
    context = {"id": "c1", "displayName": "Payments", "isAvailable": True}
    conditions = {"applications": {"includeAuthenticationContextClassReferences": ["c1"]}}
    await configured({0: {"authenticationContextClassReference": [context]}
                      | ca(policy(1, grant=MFA, conditions=conditions))})
    body = await browser.signed_in("contoso", scope=f"openid offline_access {scope_of(WIKI)}")
    assert "acrs" not in claims(body["access_token"])
    challenge = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'
    refused = (await browser.refresh("contoso", body["refresh_token"], claims=challenge)).json()
    assert refused["error"] == "interaction_required"
    page = await browser.authorize("contoso", claims=challenge, scope=f"openid offline_access {scope_of(WIKI)}")
    code = answer(await browser.submit(page, "register", code=code_now(world, seed_of(page))))["code"]
    stepped = (await browser.redeem("contoso", code)).json()
    assert claims(stepped["access_token"])["acrs"] == ["c1"]


async def test_a_step_up_lasts_as_long_as_what_was_shown_in_it(world: World, browser: Browser, configured: Any) -> None:
    """Refreshes that name no context keep `acrs`, over a restart too, until a policy finds the facts too old."""
    names = [{"id": each, "displayName": each, "isAvailable": True} for each in ("c1", "c2")]

    def policies(hours: int) -> Any:
        def conditions(context: str) -> Any:
            return {"applications": {"includeAuthenticationContextClassReferences": [context]}}

        often = {"signInFrequency": {"isEnabled": True, "type": "hours", "value": hours,
                                     "frequencyInterval": "timeBased",
                                     "authenticationType": "primaryAndSecondaryAuthentication"}}
        both = (policy(1, grant=MFA, conditions=conditions("c1"), sessionControls=often),
                policy(2, grant=MFA, conditions=conditions("c2")))
        return {0: {"authenticationContextClassReference": names} | ca(*both)}

    async def refreshed(body: dict[str, Any], **form: str) -> tuple[dict[str, Any], Any]:
        response = await browser.refresh("contoso", body["refresh_token"], **form)
        assert response.status_code == 200, response.text
        return response.json(), claims(response.json()["access_token"]).get("acrs")

    await configured(policies(2))
    scope = f"openid offline_access {scope_of(WIKI)}"
    challenge = '{"access_token":{"acrs":{"essential":true,"values":["c1"]}}}'
    page = await browser.authorize("contoso", claims=challenge, scope=scope)
    page = await browser.submit(page, "sign_in", username="alex@contoso.example", password="correct horse")
    code = answer(await browser.submit(page, "register", code=code_now(world, seed_of(page))))["code"]
    body = (await browser.redeem("contoso", code)).json()
    body, contexts = await refreshed(body)
    assert contexts == ["c1"]
    body, contexts = await refreshed(body, claims='{"access_token":{"acrs":{"value":"c2"}}}')
    assert contexts == ["c1", "c2"]
    body, contexts = await refreshed(body, claims='{"access_token":{"xms_cc":{"values":["cp1"]}}}')
    assert contexts == ["c1", "c2"]
    await world.close()
    await world.open()
    browser.http = world.browser().http
    body, contexts = await refreshed(body)
    assert contexts == ["c1", "c2"]
    world.clock.now += 2 * 3600
    body, contexts = await refreshed(body)
    assert contexts == ["c2"]  # it is not refused: what no longer holds is left out


@pytest.mark.parametrize("bad", [
    '{"access_token":{"acrs":{"values":["c100"]}}}', '{"access_token":{"acrs":{"value":"c1","values":[]}}}',
    '{"access_token":{"nbf":{"value":1}}}', '{"access_token":{},"access_token":{}}', "[" * 4000,
    '{"access_token":{"nbf":{"value":"999999999999"}}}',
])
async def test_malformed_claims_are_refused(browser: Browser, bad: str) -> None:
    """At the token endpoint with a sentence, never with a failure."""
    body = await browser.signed_in("contoso")
    refused = await browser.refresh("contoso", body["refresh_token"], claims=bad)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")


async def test_seeds_are_encrypted_at_rest(world: World, browser: Browser, configured: Any) -> None:
    """Neither the seed nor a code is in the database or in a log, in any of the forms that it has."""
    await configured({1: ca(policy(1, grant=MFA))})
    seed = await register(world, browser, "fabrikam")
    code = code_now(world, seed)
    for path in (world.root / "state").iterdir():
        if path.is_file():
            content = path.read_bytes()
            for form in (seed, seed.hex().encode()):
                assert form not in content, path.name
    for name in ("sign-ins.jsonl", "audit.jsonl"):
        assert not [line for line in world.lines(name) if f'"{code}"' in json.dumps(line)]
