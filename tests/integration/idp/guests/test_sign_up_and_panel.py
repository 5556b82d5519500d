"""Self-service sign-up with its connectors, and My Apps with its way out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.integration.idp.guests.people import CONTOSO, DANA, DANA_MAIL, FABRIKAM, STRANGER, Scene, text
from tests.integration.idp.world import PASSWORD, Browser, PageForm, answer
from tunneld.idp.federation_settings import FederationSettings
from tunneld.policy.directory import SignInWay

CONNECTOR = "12121212-0000-4000-8000-000000000001"
FLOW: dict[str, Any] = {
    "id": "B2X_1_Partners",
    "userAttributeAssignments": [
        {"id": "displayName"},
        {"id": "city", "isOptional": True},
        {"id": "country", "userInputType": "dropdownSingleSelect",
         "userAttributeValues": [{"name": "Norway", "value": "NO"}, {"name": "Chile", "value": "CL"}]},
    ],
}
ANSWERS = {"attribute_displayName": "Sam", "attribute_country": "NO"}
Answer = Callable[[httpx.Request], httpx.Response]


async def open_flow(scene: Scene, answer_: Answer | None = None, **hosts: Any) -> list[Any]:
    """Store the flow, and let a connector answer; return what it will have been asked."""
    asked: list[Any] = []
    flow = dict(FLOW)
    switch = {"selfServiceSignUp": {"isEnabled": True}}
    await scene.set("authenticationFlowsPolicy", "authenticationflowspolicy", switch)
    if answer_ is not None:
        assert scene.world.provider is not None
        url = hosts.pop("url", "https://api.partner.example/check")
        await scene.set("apiConnector", CONNECTOR, {"id": CONNECTOR, "displayName": "Check", "targetUrl": url})
        flow["apiConnectorConfiguration"] = {"postAttributeCollection": {"id": CONNECTOR}}

        async def serve(request: httpx.Request) -> httpx.Response:
            asked.append(json.loads(request.content))
            return answer_(request)

        settings = FederationSettings(**{"hosts": ("api.partner.example",), **hosts})
        scene.world.provider.settings = scene.world.provider.settings.model_copy(update={"federation": settings})
        scene.world.provider.federation.transport = httpx.MockTransport(serve)
    await scene.set("userFlow", "b2x_1_partners", flow)
    return asked


def continues(request: httpx.Request) -> httpx.Response:
    del request
    return httpx.Response(200, json={"version": "1.0.0", "action": "Continue", "city": "Bergen", "isAdmin": True})


async def questions(scene: Scene, address: str = STRANGER) -> tuple[Browser, httpx.Response]:
    """Come as far as the attributes."""
    browser = scene.world.browser()
    page = await browser.http.get("/contoso/signup/B2X_1_Partners")
    page = await browser.submit(page, "address", address=address)
    return browser, await browser.submit(page, "code", code=scene.code(address))


async def test_signing_up_with_a_mailbox(scene: Scene) -> None:
    asked = await open_flow(scene, continues)
    browser, page = await questions(scene)
    form = PageForm(page.text)
    assert form.buttons == ["attributes"]
    again = await browser.submit(page, "attributes", attribute_displayName="")
    assert "Display name is needed." in text(again)
    done = await browser.submit(page, "attributes", **ANSWERS)
    assert (done.status_code, done.headers["location"]) == (303, f"/{CONTOSO}/myapps")
    assert asked == [{
        "email": STRANGER, "displayName": "Sam", "country": "NO", "step": "PostAttributeCollection",
        "client_id": "B2X_1_Partners", "ui_locales": "en-US",
    }]
    panel = await browser.http.get(done.headers["location"])
    assert STRANGER in text(panel)
    assert scene.world.provider is not None
    guest = next(u for u in scene.world.provider.directory.tenants[CONTOSO].users.values() if u.mail == STRANGER)
    assert (guest.display_name, guest.way, str(guest.external_state)) == ("Sam", SignInWay.MAIL, "Accepted")
    assert guest.attributes["city"] == "Bergen"
    assert guest.attributes["creationType"] == "SelfServiceSignUp"
    assert not guest.roles
    assert ("Add user", "success") in scene.activities()
    repeated = await browser.submit(page, "attributes", **ANSWERS)
    assert "You are a guest of this organization already" in text(repeated)


async def test_signing_up_with_an_account_of_another_tenant(scene: Scene) -> None:
    await open_flow(scene)
    browser = scene.world.browser()
    page = await browser.http.get("/contoso/signup/B2X_1_Partners")
    page = await browser.submit(page, "address", address=DANA_MAIL)
    wrong = await browser.submit(page, "sign_in", username=DANA_MAIL, password="wrong")
    assert "incorrect" in text(wrong)
    page = await browser.submit(page, "sign_in", username=DANA_MAIL, password=PASSWORD)
    done = await browser.submit(page, "attributes", **ANSWERS)
    assert done.headers["location"] == f"/{CONTOSO}/myapps"
    assert scene.mails() == []
    assert scene.world.provider is not None
    tenant = scene.world.provider.directory.tenants[CONTOSO]
    guest = scene.world.provider.directory.presence(tenant, (FABRIKAM, DANA))
    assert guest is not None
    assert str(guest.external_state) == "Accepted"
    assert "code" in answer(await browser.authorize("contoso"))


def status(code: int, **body: Any) -> Answer:
    return lambda request: httpx.Response(code, json={"version": "1.0.0", **body})


@pytest.mark.parametrize(
    ("answer_", "shown", "record"),
    [
        (status(400, action="ValidationError", status=400, userMessage="Use <b>your</b> number."),
         "Use <b>your</b> number.", None),
        (status(200, action="ShowBlockPage", userMessage="You are on hold."), "You are on hold.", "You are on hold."),
        (status(200, action="Else"), "Try again later", "status 200, action without a usable userMessage"),
        (lambda request: httpx.Response(302, headers={"location": "https://x.example/"}), "Try again later", "status"),
        (lambda request: httpx.Response(200, content=b"x" * 70_000), "Try again later", "larger than"),
        (lambda request: httpx.Response(200, content=b"[" * 60_000), "Try again later", "status 200"),
    ],
)
async def test_what_a_connector_may_say(scene: Scene, answer_: Answer, shown: str, record: str | None) -> None:
    await open_flow(scene, answer_)
    browser, page = await questions(scene)
    before = len(scene.activities())
    page = await browser.submit(page, "attributes", **ANSWERS)
    assert shown in text(page)
    assert "<b>your" not in page.text
    assert scene.world.provider is not None
    assert all(user.mail != STRANGER for user in scene.world.provider.directory.tenants[CONTOSO].users.values())
    if record is None:
        assert scene.activities(before) == []
    else:
        assert scene.activities(before) == [("Add user", "failure")]
        assert record in str(scene.world.lines("audit.jsonl")[-1])


async def test_a_connector_that_nobody_listed_is_not_asked(scene: Scene) -> None:
    asked = await open_flow(scene, continues, url="https://169.254.169.254/latest")
    browser, page = await questions(scene)
    assert "Try again later" in text(await browser.submit(page, "attributes", **ANSWERS))
    assert asked == []


async def test_a_connector_that_is_slow(scene: Scene) -> None:
    await open_flow(scene, continues, timeout_s=0.05)

    async def wait(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30)
        return continues(request)

    assert scene.world.provider is not None
    scene.world.provider.federation.transport = httpx.MockTransport(wait)
    browser, page = await questions(scene)
    assert "Try again later" in text(await browser.submit(page, "attributes", **ANSWERS))


async def test_a_connector_is_asked_before_the_questions_too(scene: Scene) -> None:
    asked = await open_flow(scene, continues)
    await scene.set("userFlow", "b2x_1_partners", {
        **FLOW, "apiConnectorConfiguration": {"postFederationSignup": {"id": CONNECTOR}},
    })
    _, page = await questions(scene)
    assert PageForm(page.text).fields["attribute_city"] == "Bergen"
    assert [one["step"] for one in asked] == ["PostFederationSignup"]


async def test_sign_up_has_to_be_on(scene: Scene) -> None:
    await scene.set("userFlow", "b2x_1_partners", FLOW)
    browser = scene.world.browser()
    assert (await browser.http.get("/contoso/signup/B2X_1_Partners")).status_code == 404
    await open_flow(scene)
    assert (await browser.http.get("/contoso/signup/B2X_1_Partners")).status_code == 200
    assert (await browser.http.get("/contoso/signup/other")).status_code == 404
    assert (await browser.http.get("/nowhere/signup/other")).status_code == 400


async def test_sign_up_meets_the_gates(scene: Scene) -> None:
    await open_flow(scene)
    await scene.set("b2bManagementPolicy", "b2bmanagementpolicy", {
        "invitationsAllowedAndBlockedDomainsPolicy": {"blockedDomains": ["mail.example"]},
    })
    browser = scene.world.browser()
    page = await browser.http.get("/contoso/signup/B2X_1_Partners")
    refused = await browser.submit(page, "address", address=STRANGER)
    assert refused.status_code == 403
    assert scene.mails() == []
    own = await browser.submit(page, "address", address="new@contoso.example")
    assert own.status_code == 403
    odd = await browser.submit(page, "address", address="no address")
    assert "not a mail address" in text(odd)


async def test_a_proof_is_for_one_flow_and_a_while(scene: Scene) -> None:
    await open_flow(scene)
    browser, page = await questions(scene)
    form = PageForm(page.text)
    for proof in ("", "x", form.fields["proof"][:-4] + "AAAA"):
        reply = await browser.submit(page, "attributes", **{**ANSWERS, "proof": proof})
        assert PageForm(reply.text).buttons == ["address"]
    await scene.set("userFlow", "b2x_1_other", {**FLOW, "id": "B2X_1_Other"})
    data = form.fields | ANSWERS | {"action": "attributes"}
    reply = await browser.http.post("/contoso/signup/B2X_1_Other", data=data)
    assert PageForm(reply.text).buttons == ["address"]
    scene.world.clock.now += 1800
    reply = await browser.submit(page, "attributes", **ANSWERS)
    assert PageForm(reply.text).buttons == ["address"]
    stranger = scene.world.browser()
    reply = await stranger.http.post(form.action, data=data)
    assert "out of date" in text(reply)


async def test_my_apps(scene: Scene) -> None:
    """What is assigned here, where else to go, and what may be left; leaving is a soft delete with its record."""
    guest = await scene.invited()
    browser, _ = await guest.redeem_at_home()
    panel = await browser.http.get("/contoso/myapps")
    assert f'href="/{FABRIKAM}/myapps"' in panel.text
    assert PageForm(panel.text).buttons == ["leave"]
    assert "Contoso" in text(panel)
    before = len(scene.activities())
    left = await browser.submit(panel, "leave")
    assert "You left Contoso" in text(left)
    assert scene.user(guest.oid) is None
    assert scene.activities(before) == [("Delete external user", "success")]
    deleted = "/v1.0/directory/deletedItems/microsoft.graph.user"
    restored = await scene.admin.send("POST", f"{deleted}/{guest.oid}/restore")
    assert restored.status_code == 200, restored.text
    assert (guest.state, guest.user.home) == ("Accepted", (FABRIKAM, DANA))
    assert "code" in answer(await browser.authorize("contoso"))


async def test_leaving_from_home(scene: Scene) -> None:
    guest = await scene.invited()
    browser, _ = await guest.redeem_at_home()
    panel = await browser.http.get("/fabrikam/myapps")
    assert "None." in text(panel)
    left = await browser.submit(panel, "leave", organization=CONTOSO)
    assert "You left Contoso." in text(left)
    assert scene.user(guest.oid) is None
    again = await browser.submit(panel, "leave", organization=CONTOSO)
    assert "You are not a guest of that organization" in text(again)
    own = await browser.submit(panel, "leave", organization=FABRIKAM)
    assert "You are not a guest of that organization" in text(own)
    assert scene.user(DANA, FABRIKAM) is not None


async def test_leaving_where_it_is_not_allowed(scene: Scene) -> None:
    guest = await scene.invited()
    browser, _ = await guest.redeem_at_home()
    panel = await browser.http.get("/contoso/myapps")
    await scene.set("authorizationPolicy", "authorizationpolicy", {"externalUsersMayLeave": False})
    refused = await browser.submit(panel, "leave", organization=CONTOSO)
    assert "does not let its guests leave" in text(refused)
    assert PageForm(refused.text).buttons == []
    assert scene.user(guest.oid) is not None


async def test_a_guest_by_passcode_leaves_and_is_signed_out(scene: Scene) -> None:
    guest = await scene.invited(STRANGER)
    browser, _ = await guest.redeem_by_mail()
    panel = await browser.http.get("/contoso/myapps")
    assert STRANGER in text(panel)
    assert "You left Contoso" in text(await browser.submit(panel, "leave"))
    assert scene.user(guest.oid) is None
    assert "Sign in" in text(await browser.http.get("/contoso/myapps"))
