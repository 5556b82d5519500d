"""Guests who sign in at a SAML or WS-Federation provider of their own."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import httpx
import pytest
from lxml import etree

from tests.integration.idp.federation.outsiders import GUEST, federation, invite, put, query
from tests.integration.idp.world import FABRIKAM, Browser, World, answer, claims
from tests.support.saml_partner import (
    EMAIL,
    ISSUER,
    MULTIPLE,
    SIGN_IN,
    assertion,
    good_token_response,
    response,
    signed,
)


async def leave(browser: Browser, mail: str = EMAIL) -> tuple[dict[str, str], str]:
    """Go to the provider and return what the browser carries there, and the request's id."""
    sent = query(await browser.authorize("fabrikam", login_hint=mail))
    if "wctx" in sent:
        return sent, sent["wctx"]
    request = etree.fromstring(zlib.decompress(base64.b64decode(sent["SAMLRequest"]), -15))
    return sent, str(request.get("ID"))


def proof(request: str, **changes: Any) -> bytes:
    """Return a response to a request; the keywords change the signed assertion."""
    return etree.tostring(response([signed(assertion(**{"request": request, **changes}))], request=request))


async def post(browser: Browser, document: bytes, state: str, **more: str) -> httpx.Response:
    """Do what the provider's page makes a browser do."""
    encoded = base64.encodebytes(document).decode()
    return await browser.http.post("/login.srf", data={"SAMLResponse": encoded, "RelayState": state} | more)


async def come_back(browser: Browser, arrived: httpx.Response) -> dict[str, Any]:
    """Accept the invitation and fetch the token."""
    assert arrived.status_code == 303, arrived.text
    page = await browser.http.get(arrived.headers["location"])
    if page.status_code == 200:
        page = await browser.submit(page, "consent")
    tokens = await browser.redeem("fabrikam", answer(page)["code"])
    assert tokens.status_code == 200, tokens.text
    return claims(tokens.json()["access_token"])


@pytest.fixture
async def invited(world: World) -> World:
    await put(world, "federationConfiguration", federation())
    await invite(world)
    return world


async def test_a_guest_signs_in_at_their_saml_provider_and_redeems(invited: World, browser: Browser) -> None:
    """From the hint to the token: the guest is who they are here, and the token names who vouched for them."""
    sent, request = await leave(browser)
    assert sent["RelayState"] == request
    seen = await come_back(browser, await post(browser, proof(request), request))
    assert (seen["oid"], seen["tid"], seen["acct"]) == (GUEST, FABRIKAM, 1)
    assert seen["idp"] == ISSUER
    assert seen["preferred_username"] == EMAIL
    assert "mfa" not in seen["urn:tunneld:x"]


async def test_who_redeemed_comes_back_as_the_same_subject_only(invited: World, browser: Browser) -> None:
    """The subject is remembered; another subject with the same address is nobody."""
    _, request = await leave(browser)
    await come_back(browser, await post(browser, proof(request), request))
    again = invited.browser()
    _, request = await leave(again)
    document = proof(request, context=MULTIPLE, id="_a2", email="new@partner.example")
    seen = await come_back(again, await post(again, document, request))
    assert seen["oid"] == GUEST
    assert seen["urn:tunneld:x"]["mfa"] == {
        "at": "home", "methods": ["federatedMultiFactor"], "time": int(invited.clock.now),
    }
    other = invited.browser()
    _, request = await leave(other)
    refused = await post(other, proof(request, subject="somebody-else", id="_a3"), request)
    assert "AADSTS50020" in refused.text


async def test_ws_federation(invited: World, browser: Browser) -> None:
    """The same guest over wsignin1.0, with a SAML 1.1 token."""
    await put(invited, "federationConfiguration", federation(preferredAuthenticationProtocol="WSFED"))
    sent, context = await leave(browser)
    assert (sent["wa"], sent["wtrealm"]) == ("wsignin1.0", f"https://idp.test/{FABRIKAM}/")
    form = {"wa": "wsignin1.0", "wresult": good_token_response().decode(), "wctx": context}
    seen = await come_back(browser, await browser.http.post("/login.srf", data=form))
    assert seen["oid"] == GUEST


async def test_typing_the_address_leads_there_too(invited: World, browser: Browser) -> None:
    """After a form a page goes on, since form-action would forbid a redirect; the password is not looked at."""
    page = await browser.sign_in("fabrikam", user=EMAIL, password="whatever")
    assert page.status_code == 200
    assert f'content="0; url={SIGN_IN}?SAMLRequest=' in page.text
    assert "Partner" in page.text


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"email": "gail@elsewhere.example"}, "AADSTS5000819"),
        ({"email": None}, "AADSTS5000819"),
        ({"email": "hal@partner.example", "subject": "hal"}, "AADSTS50020"),
        ({"audience": "https://idp.test/"}, "AADSTS50008"),
        ({"confirm_end": -600}, "AADSTS50008"),
        ({"now": 1_700_000_000}, "AADSTS50008"),
    ],
    ids=["another domain", "no address", "nobody invited", "another audience", "confirmed long ago", "long ago"],
)
async def test_an_answer_that_is_not_good_enough(
    invited: World, browser: Browser, changes: dict[str, Any], code: str
) -> None:
    """Each is refused on a page with its code, and no session comes of it."""
    _, request = await leave(browser)
    refused = await post(browser, proof(request, **changes), request)
    assert refused.status_code == 400
    assert code in refused.text
    assert "__Host-tunneld-session" not in refused.headers.get("set-cookie", "")


async def test_an_answer_is_good_once_and_in_its_browser(invited: World, browser: Browser) -> None:
    """Replayed, in another browser, without a request, or too late, an answer signs nobody in."""
    _, request = await leave(browser)
    document = proof(request)
    assert (await post(invited.browser(), document, request)).status_code == 400
    assert (await post(browser, document, request)).status_code == 303
    assert (await post(browser, document, request)).status_code == 400
    assert (await post(browser, document, "")).status_code == 400
    browser = invited.browser()
    _, request = await leave(browser)
    invited.clock.now += 901
    assert (await post(browser, proof(request, now=int(invited.clock.now)), request)).status_code == 400


async def test_a_proof_is_used_once_even_for_two_requests(invited: World, browser: Browser) -> None:
    """WS-Federation binds no token to a request, so the token's own id is remembered."""
    await put(invited, "federationConfiguration", federation(preferredAuthenticationProtocol="wsFed"))
    token = good_token_response().decode()
    statuses = []
    for _ in range(2):
        _, context = await leave(browser)
        form = {"wa": "wsignin1.0", "wresult": token, "wctx": context}
        statuses.append((await browser.http.post("/login.srf", data=form)).status_code)
        browser = invited.browser()
    assert statuses == [303, 400]


async def test_a_configuration_that_changed_meanwhile_is_not_believed(invited: World, browser: Browser) -> None:
    """Whoever was away while the federation was changed starts again."""
    _, request = await leave(browser)
    await put(invited, "federationConfiguration", federation(displayName="Partner, renewed"))
    refused = await post(browser, proof(request), request)
    assert "AADSTS50107" in refused.text


@pytest.mark.parametrize(
    "form",
    [
        {}, {"SAMLResponse": "x"}, {"RelayState": "x"}, {"SAMLResponse": "\0", "RelayState": "y"},
        {"wresult": "<a/>", "wctx": "\ud83d"}, {"wresult": "é" * 100, "wctx": "x" * 5000},
    ],
)
async def test_hostile_forms_are_refused(world: World, browser: Browser, form: dict[str, str]) -> None:
    """Whatever is posted there, the answer is a page with status 400."""
    clean = {name: value.encode("utf-8", "surrogatepass") for name, value in form.items()}
    assert (await browser.http.post("/login.srf", data=clean)).status_code == 400
