"""A18, A20 and A22 of the list in `docs/tokens.md`, as data: what is tried against the authorization server itself.

A row is a name, the class of the attack, what is done, and what comes of it: an AADSTS code, or a word. The same for
tokens by themselves is in `tests/support/attacks.py`; for tokens bound to another key in
`tests/integration/tunnel/test_sessions.py` and `tests/unit/policy/test_admission.py`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import httpx
import pytest

from tests.integration.idp.factors import TERMS, policy
from tests.integration.idp.graph.admin import Admin, give_role
from tests.integration.idp.world import (
    ALEX,
    BOB,
    CALLBACK,
    ENROLMENT_SCOPE,
    PASSWORD,
    Browser,
    PageForm,
    World,
    answer,
    bearer,
    claims,
    directory,
)

EVIL = "https://evil.example/callback"
PLAIN = "p" * 43
USER = "alex@contoso.example"


class Site(NamedTuple):
    """The world and the browser of whoever is attacked."""

    world: World
    browser: Browser


Attempt = Callable[[Site], Awaitable[httpx.Response]]


class Row(NamedTuple):
    """One attack and its outcome."""

    name: str
    kind: str
    attempt: Attempt
    outcome: int | str


def outcome_of(response: httpx.Response) -> int | str:
    """Return the AADSTS code of an answer in any of its forms, or what else became of it."""
    location = response.headers.get("location", "")
    assert "evil.example" not in location
    found = re.search(r"AADSTS([0-9]+)", f"{location} {response.text}")
    if found is not None:
        return int(found[1])
    if location:
        return "code" if "code=" in location else location.partition("?")[0]
    if response.headers["content-type"].startswith("application/json"):
        return "answered" if response.is_success else str(response.json()["error"]["code"])
    return "page"


def asked(**changes: Any) -> Attempt:
    """Ask with other parameters, and nothing more."""

    async def attempt(site: Site) -> httpx.Response:
        return await site.browser.authorize("contoso", **changes)

    return attempt


def redeemed(tenant: str = "contoso", **changes: Any) -> Attempt:
    """Sign in as it should be, and redeem the code with other parameters."""

    async def attempt(site: Site) -> httpx.Response:
        granted = answer(await site.browser.sign_in("contoso"))["code"]
        return await site.browser.redeem(tenant, granted, **changes)

    return attempt


async def code_twice(site: Site) -> httpx.Response:
    granted = answer(await site.browser.sign_in("contoso"))["code"]
    assert (await site.browser.redeem("contoso", granted)).status_code == 200
    return await site.browser.redeem("contoso", granted)


async def refresh_after_code_twice(site: Site) -> httpx.Response:
    granted = answer(await site.browser.sign_in("contoso"))["code"]
    first = (await site.browser.redeem("contoso", granted)).json()
    await site.browser.redeem("contoso", granted)
    return await site.browser.refresh("contoso", first["refresh_token"])


async def refresh_twice(site: Site) -> httpx.Response:
    first = (await site.browser.signed_in("contoso"))["refresh_token"]
    assert (await site.browser.refresh("contoso", first)).status_code == 200
    return await site.browser.refresh("contoso", first)


async def newest_after_refresh_twice(site: Site) -> httpx.Response:
    first = (await site.browser.signed_in("contoso"))["refresh_token"]
    newest = (await site.browser.refresh("contoso", first)).json()["refresh_token"]
    await site.browser.refresh("contoso", first)
    return await site.browser.refresh("contoso", newest)


async def unbound_token_elsewhere(site: Site) -> httpx.Response:
    """The directory API takes bearer tokens: whoever has one, has it, until it ends or is revoked."""
    token = (await site.browser.signed_in("contoso"))["access_token"]
    assert "cnf" not in claims(token)
    thief = site.world.browser()
    thief.http.headers["user-agent"] = "another device"
    return await thief.http.get("/v1.0/me/tenants", headers=bearer(token))


async def unbound_token_after_its_end(site: Site) -> httpx.Response:
    token = (await site.browser.signed_in("contoso"))["access_token"]
    site.world.clock.now = claims(token)["exp"]
    return await site.world.browser().http.get("/v1.0/me/tenants", headers=bearer(token))


async def unbound_token_after_signing_out_everywhere(site: Site) -> httpx.Response:
    token = (await site.browser.signed_in("contoso"))["access_token"]
    site.world.clock.now += 1
    await give_role(site.world, "Global Administrator", oid=BOB)
    admin = await Admin.sign_in(site.world, user="bob@contoso.example")
    done = await admin.send("POST", f"/v1.0/users/{ALEX}/revokeSignInSessions")
    assert done.is_success, done.text
    return await site.world.browser().http.get("/v1.0/me/tenants", headers=bearer(token))


async def certificate_for_a_thief_later(site: Site) -> httpx.Response:
    """What binds a key to somebody is made out of a token of these minutes only."""
    token = (await site.browser.signed_in("contoso", scope=ENROLMENT_SCOPE))["access_token"]
    site.world.clock.now += 1200
    return await site.browser.http.post("/contoso/tunnel/v1/certificate", headers=bearer(token), json={"csr": "x"})


async def other_redirect_on_the_page(site: Site) -> httpx.Response:
    page = await site.browser.authorize("contoso")
    return await site.browser.submit(page, "sign_in", username=USER, password=PASSWORD, redirect_uri=EVIL)


def at_the_terms(action: str, **changes: str) -> Attempt:
    """Answer the terms of use with the page's hidden fields changed."""

    async def attempt(site: Site) -> httpx.Response:
        document = directory()
        rules = {"id": TERMS, "displayName": "House rules", "text": "Wipe your feet.", "version": 1}
        document["tenants"][0]["objects"] = {
            "agreement": [rules], "conditionalAccessPolicy": [policy(1, grant={"termsOfUse": [TERMS]})],
        }
        site.world.write_directory(document)
        assert site.world.provider is not None
        await site.world.provider.refresh()
        page = await site.browser.sign_in("contoso")
        assert "accept" in PageForm(page.text).buttons
        return await site.browser.submit(page, action, **changes)

    return attempt


def signed_out(uri: str) -> Attempt:
    async def attempt(site: Site) -> httpx.Response:
        path = "/contoso/oauth2/v2.0/logout"
        return await site.browser.http.get(path, params={"post_logout_redirect_uri": uri, "state": "s"})

    return attempt


ROWS = (
    Row("a used refresh token", "A18", refresh_twice, 50173),
    Row("the newest of a line whose old token came back", "A18", newest_after_refresh_twice, 50173),
    Row("an unbound token from another device", "A18", unbound_token_elsewhere, "answered"),
    Row("an unbound token after its end", "A18", unbound_token_after_its_end, "InvalidAuthenticationToken"),
    Row("an unbound token after its user was signed out everywhere", "A18", unbound_token_after_signing_out_everywhere,
        "InvalidAuthenticationToken"),
    Row("a certificate out of an older token", "A18", certificate_for_a_thief_later, "token_not_fresh"),
    Row("a code at another tenant", "A20", redeemed("fabrikam"), 700005),
    Row("a code of a tenant under a shared name", "A20", redeemed("common"), 700005),
    Row("a longer path", "A22", asked(redirect_uri=CALLBACK + "/more"), 50011),
    Row("a longer name", "A22", asked(redirect_uri=CALLBACK + "x"), 50011),
    Row("a shorter path", "A22", asked(redirect_uri=CALLBACK[:-1]), 50011),
    Row("a query added", "A22", asked(redirect_uri=CALLBACK + "?next=https://evil.example"), 50011),
    Row("a host that begins alike", "A22", asked(redirect_uri="http://127.0.0.1.evil.example/callback"), 50011),
    Row("a user name in front", "A22", asked(redirect_uri="http://127.0.0.1@evil.example/callback"), 50011),
    Row("a path that climbs", "A22", asked(redirect_uri=CALLBACK + "/../evil"), 50011),
    Row("no redirect URI", "A22", asked(redirect_uri=None), 50011),
    Row("another one for the form", "A22", asked(redirect_uri=EVIL, response_mode="form_post"), 50011),
    Row("another one at the redemption", "A22", redeemed(redirect_uri="http://127.0.0.1:9/callback"), 700009),
    Row("plain", "A22", asked(code_challenge_method="plain", code_challenge=PLAIN), 50147),
    Row("no method, which would mean plain", "A22", asked(code_challenge_method=None, code_challenge=PLAIN), 50147),
    Row("no challenge", "A22", asked(code_challenge=None, code_challenge_method=None), 50147),
    Row("no verifier", "A22", redeemed(code_verifier=""), 50148),
    Row("another verifier", "A22", redeemed(code_verifier=PLAIN), 50148),
    Row("a code twice", "A22", code_twice, 54005),
    Row("what came of a code that was used twice", "A22", refresh_after_code_twice, 50173),
    Row("an implicit token", "A22", asked(response_type="token"), 700054),
    Row("another redirect URI on the page", "A22", other_redirect_on_the_page, 50011),
    Row("accepted terms, another redirect URI", "A22", at_the_terms("accept", redirect_uri=EVIL), 50011),
    Row("declined terms, another redirect URI", "A22", at_the_terms("decline", redirect_uri=EVIL), 50011),
    Row("accepted terms, another client", "A22", at_the_terms("accept", client_id="x"), 700016),
    Row("accepted terms, another mode of answering", "A22", at_the_terms("accept", response_mode="x"), 90014),
    Row("accepted terms", "", at_the_terms("accept"), "code"),
    Row("signing out to elsewhere", "A22", signed_out(EVIL), "page"),
    Row("signing out to a prefix", "A22", signed_out(CALLBACK + "/x"), "page"),
    Row("signing out to the program", "", signed_out(CALLBACK), CALLBACK),
)  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.kind} {row.name}".strip() for row in ROWS])
async def test_the_outcome_is_that_of_the_row(world: World, browser: Browser, row: Row) -> None:
    """Rows without a class are what must work, so that the others are not refused by chance."""
    assert outcome_of(await row.attempt(Site(world, browser))) == row.outcome


@pytest.mark.parametrize("missing", ["state", "nonce"])
async def test_what_the_client_left_out_is_not_made_up(browser: Browser, missing: str) -> None:
    """A22: both are the client's own protection. Left out they stay out; given they come back exactly once."""
    without = answer(await browser.sign_in("contoso", **{missing: None}))
    assert ("state" in without) is (missing != "state")
    tokens = (await browser.redeem("contoso", without["code"])).json()
    assert claims(tokens["id_token"]).get("nonce") == (None if missing == "nonce" else "no-1")
    assert "nonce" not in claims(tokens["access_token"])
    again = (await browser.refresh("contoso", tokens["refresh_token"])).json()
    assert "nonce" not in claims(again["id_token"])  # OpenID Connect Core §12.2: not that of the first sign-in
