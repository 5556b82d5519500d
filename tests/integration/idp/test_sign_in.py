"""Signing in through the pages, at home and as a guest, and what the tokens say."""

from __future__ import annotations

import jwt
import pytest

from tests.integration.idp.world import (
    ALEX,
    ALEX_F,
    ALEX_W,
    BASE,
    CONTOSO,
    FABRIKAM,
    PRIVATE,
    PRIVATE_F,
    STAFF,
    VAULT,
    WIKI,
    WIKI_F,
    Browser,
    PageForm,
    World,
    answer,
    bearer,
    claims,
    scope_of,
)
from tunneld.policy.directory import DAEMON_CLIENT, DIRECTORY_API


async def test_sign_in_at_home_gives_verifiable_tokens(world: World, browser: Browser) -> None:
    """The whole code flow; PyJWT verifies both tokens with the published keys."""
    body = await browser.signed_in("contoso")
    keys = jwt.PyJWKSet.from_dict((await browser.http.get(f"/{CONTOSO}/discovery/v2.0/keys")).json())
    for token, audience in ((body["access_token"], DIRECTORY_API), (body["id_token"], DAEMON_CLIENT)):
        header = jwt.get_unverified_header(token)
        assert set(header) == {"alg", "kid", "typ"}
        options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
        verified = jwt.decode(
            token, keys[header["kid"]], ["RS256"], audience=audience, issuer=f"{BASE}/{CONTOSO}/v2.0", options=options
        )
        assert verified["oid"] == ALEX
    access, identity = claims(body["access_token"]), claims(body["id_token"])
    assert access["tid"] == CONTOSO
    assert (access["ver"], access["acct"], access["azp"], access["azpacr"]) == ("2.0", 0, DAEMON_CLIENT, "0")
    assert access["scp"] == "Directory.Read Profile.Read"
    assert access["groups"] == [STAFF]
    assert 3600 <= access["exp"] - access["iat"] <= 5400
    assert "idp" not in access
    assert "nonce" not in access
    assert identity["nonce"] == "no-1"
    assert "scp" not in identity
    assert body["session_credential"]


async def test_guest_token_is_of_the_resource_tenant(browser: Browser) -> None:
    """tid, oid and acct are the resource tenant's; the home shows in idp and in the namespaced claim only."""
    body = await browser.signed_in("fabrikam")
    access = claims(body["access_token"])
    assert (access["tid"], access["oid"], access["acct"]) == (FABRIKAM, ALEX_F, 1)
    assert access["idp"] == f"{BASE}/{CONTOSO}/v2.0"
    assert access["urn:tunneld:x"] == {"home_tid": CONTOSO, "home_oid": ALEX, "user_type": "guest"}
    assert "session_credential" not in body


async def test_silent_sign_in_elsewhere_with_the_session_credential(browser: Browser) -> None:
    """The daemon's way to another tenant: prompt=none with the home session, then a code."""
    home = await browser.signed_in("contoso")
    browser.http.cookies.clear()
    redirect = await browser.silent("fabrikam", home["session_credential"], scope=scope_of(PRIVATE_F))
    assert redirect["state"] == "st-1"
    assert redirect["iss"] == f"{BASE}/{FABRIKAM}/v2.0"
    body = (await browser.redeem("fabrikam", redirect["code"])).json()
    assert claims(body["access_token"])["aud"] == PRIVATE_F
    assert (await browser.silent("fabrikam", home["session_credential"] + "x"))["error"] == "login_required"


async def test_refresh_token_serves_each_audience(browser: Browser) -> None:
    """One sign-in, then tokens for the application and the channel of the same tenant."""
    body = await browser.signed_in("contoso")
    for audience in (WIKI, PRIVATE):
        response = await browser.refresh("contoso", body["refresh_token"], scope=scope_of(audience))
        assert response.status_code == 200, response.text
        body = response.json()
        assert claims(body["access_token"])["aud"] == audience
        assert claims(body["access_token"])["scp"] == "user_impersonation"


@pytest.mark.parametrize(
    ("user", "audience", "word"),
    [("alex", VAULT, "application_not_assigned"), ("bob", WIKI, "application_not_assigned"),
     ("bob", PRIVATE, "profile_not_assigned")],
)
async def test_what_is_not_assigned_is_refused_by_name(browser: Browser, user: str, audience: str, word: str) -> None:
    """The two halves of the double gate are refused with the same code and different reasons."""
    redirect = answer(await browser.sign_in("contoso", user=f"{user}@contoso.example", scope=scope_of(audience)))
    assert redirect["error"] == "access_denied"
    assert redirect["error_description"].startswith("AADSTS50105: ")
    assert word in redirect["error_description"]
    assert redirect["suberror"] == word


async def test_consent_page_once(world: World, browser: Browser) -> None:
    """A tenant that demands consent: silent fails, the page asks, and afterwards silent works."""
    home = await browser.signed_in("contoso")
    refused = await browser.silent("woodgrove", home["session_credential"])
    assert refused["error"] == "interaction_required"
    assert refused["suberror"] == "interaction_required"
    page = await browser.authorize("woodgrove")
    assert "Review permissions" in page.text
    assert "Woodgrove Bank" in page.text
    declined = answer(await browser.submit(page, "decline"))
    assert (declined["error"], declined["suberror"]) == ("access_denied", "login_failed")
    accepted = answer(await browser.submit(page, "consent"))
    assert (await browser.redeem("woodgrove", accepted["code"])).status_code == 200
    assert "code" in await browser.silent("woodgrove", home["session_credential"])
    lines = [line for line in world.lines("audit.jsonl") if "activityDisplayName" in line]
    assert [(line["activityDisplayName"], line["targetResources"][0]["id"]) for line in lines] == [
        ("Redeem external user invite", ALEX_W)
    ]


async def test_consent_follows_the_password_page(browser: Browser) -> None:
    """A guest who types the password in the resource tenant meets the consent page next."""
    page = await browser.sign_in("woodgrove")
    assert PageForm(page.text).buttons == ["consent", "decline"]
    assert "code" in answer(await browser.submit(page, "consent"))


async def test_wrong_password_stays_on_the_page(browser: Browser) -> None:
    """A wrong password and an unknown account look alike, and say nothing to the client."""
    pages = []
    for user in ("alex@contoso.example", "nobody@contoso.example"):
        page = await browser.sign_in("contoso", user=user, password="wrong")
        assert page.status_code == 200
        pages.append(PageForm(page.text).text)
        assert PageForm(page.text).fields["username"] == user
    assert pages[0] == pages[1]
    assert "incorrect" in pages[0]


async def test_lock_out_and_its_end(world: World, browser: Browser) -> None:
    """Ten wrong passwords lock the account, the right one too, until the time is over."""
    for _ in range(10):
        await browser.sign_in("contoso", password="wrong")
    page = await browser.sign_in("contoso")
    assert "locked" in PageForm(page.text).text
    world.clock.now += 61
    assert "code" in answer(await browser.sign_in("contoso"))


async def test_disabled_and_foreign_accounts(browser: Browser) -> None:
    """A disabled account gets nowhere; a stranger is refused after the password, by the tenant."""
    page = await browser.sign_in("contoso", user="eve@contoso.example")
    assert "incorrect" in PageForm(page.text).text
    refused = answer(await browser.sign_in("fabrikam", user="bob@contoso.example"))
    assert refused["error_description"].startswith("AADSTS50020")


async def test_session_cookie_is_used_and_hint_and_prompt_override_it(browser: Browser) -> None:
    """A second request needs no password; another account or prompt=login does."""
    await browser.signed_in("contoso")
    assert "code" in answer(await browser.authorize("contoso"))
    assert "code" in answer(await browser.authorize("fabrikam", prompt="none"))
    assert "Sign in" in (await browser.authorize("contoso", prompt="login")).text
    assert "Sign in" in (await browser.authorize("contoso", login_hint="bob@contoso.example")).text
    hinted = await browser.authorize("contoso", login_hint="bob@contoso.example", prompt="none")
    assert answer(hinted)["error"] == "login_required"


async def test_page_shows_both_tenants_and_is_locked_down(browser: Browser) -> None:
    """The page names the tenant and the home tenant, runs no script, and sets its cookies safely."""
    for hint in ("alex@contoso.example", "nobody@contoso.example"):
        page = await browser.authorize("fabrikam", login_hint=hint)
        assert "Use your <strong>Contoso</strong> account to continue to <strong>Fabrikam</strong>" in page.text
    assert "<script" not in page.text
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "form-action 'self' http://127.0.0.1:45123;" in policy
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store"
    for cookie in page.headers.get_list("set-cookie"):
        assert all(word in cookie for word in ("HttpOnly", "Secure", "SameSite=lax", "Path=/"))
        assert "Domain" not in cookie


async def test_page_escapes_what_comes_in(browser: Browser) -> None:
    """Markup in a parameter is shown as text."""
    page = await browser.authorize("contoso", login_hint='"><b>x</b>', state="<script>")
    assert "<b>x" not in page.text
    assert "<script>" not in page.text


async def test_logout_ends_session_and_refresh_tokens(browser: Browser) -> None:
    """After logout neither the cookie, nor the credential, nor the refresh token is good."""
    body = await browser.signed_in("contoso")
    await browser.http.get("/contoso/oauth2/v2.0/logout")
    assert (await browser.silent("contoso", body["session_credential"]))["error"] == "login_required"
    assert (await browser.refresh("contoso", body["refresh_token"])).json()["error_codes"] == [50173]
    evil = await browser.http.get(
        "/contoso/oauth2/v2.0/logout", params={"post_logout_redirect_uri": "https://evil.example/"}
    )
    assert evil.status_code == 200


async def test_tenants_of_an_account(browser: Browser) -> None:
    """Home first, then where the account is known; a guest's token is not asked."""
    home = await browser.signed_in("contoso")
    response = await browser.http.get("/v1.0/me/tenants", headers=bearer(home["access_token"]))
    assert [(t["name"], t["userType"], t["home"]) for t in response.json()["value"]] == [
        ("contoso", "Member", True), ("fabrikam", "Guest", False), ("woodgrove", "Member", False),
    ]
    guest = await browser.signed_in("fabrikam", prompt="login")
    refused = await browser.http.get("/v1.0/me/tenants", headers=bearer(guest["access_token"]))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_home_tenant")


async def test_forwarding_profile_with_etag(browser: Browser) -> None:
    """The assigned profile with its audiences, 304 on the same ETag, and named reasons for none."""
    url = "/v1.0/networkAccess/me/forwardingProfile"
    headers = bearer((await browser.signed_in("contoso"))["access_token"])
    response = await browser.http.get(url, headers=headers)
    assert response.status_code == 200
    assert response.json()["channels"]["private"]["audience"] == PRIVATE
    assert "Staff" not in response.text
    again = await browser.http.get(url, headers=headers | {"if-none-match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    guest = await browser.http.get(
        url, headers=bearer((await browser.signed_in("fabrikam", prompt="login"))["access_token"])
    )
    assert guest.json()["channels"]["private"]["audience"] == PRIVATE_F
    bob = bearer((await browser.signed_in("contoso", user="bob@contoso.example", prompt="login"))["access_token"])
    refused = await browser.http.get(url, headers=bob)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "profile_not_assigned")


async def test_guest_application_token(browser: Browser) -> None:
    """An application assigned to the guest object by its id."""
    body = await browser.signed_in("fabrikam", scope=scope_of(WIKI_F))
    assert claims(body["access_token"])["aud"] == WIKI_F
