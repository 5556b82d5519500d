"""How the answer reaches the client: in the query, in the fragment, or as a form that a page of ours sends."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from tests.integration.idp.world import BASE, CALLBACK, CONTOSO, Browser, PageForm, World, answer
from tunneld.idp.pages import reply_page

ISSUER = f"{BASE}/{CONTOSO}/v2.0"
NASTY = "\"><script>alert(1)</script>&amp;'"


def fragment(response: httpx.Response) -> dict[str, str]:
    assert response.status_code == 303, response.text
    parts = urlsplit(response.headers["location"])
    assert parts.query == ""
    assert response.headers["location"].startswith(f"{CALLBACK}#")
    return dict(parse_qsl(parts.fragment))


def posted(response: httpx.Response) -> dict[str, str]:
    """Return the fields of the page that posts an answer, after a look at where they go."""
    assert response.status_code == 200, response.text
    assert "location" not in response.headers
    form = PageForm(response.text)
    assert form.action == CALLBACK
    policy = response.headers["content-security-policy"]
    assert "form-action 'self' http://127.0.0.1:45123; " in policy
    assert "script-src 'self'; " in policy
    assert response.headers["cache-control"] == "no-store"
    return form.fields


READ = {"query": answer, "fragment": fragment, "form_post": posted}


@pytest.mark.parametrize("mode", READ)
async def test_codes_and_errors_go_where_the_client_wants_them(browser: Browser, mode: str) -> None:
    """Code, state and issuer, and the same for a refusal before and after the pages; the code is worth a token."""
    good = READ[mode](await browser.sign_in("contoso", response_mode=mode))
    assert (good["state"], good["iss"]) == ("st-1", ISSUER)
    assert good.keys() == {"code", "state", "iss"}
    assert (await browser.redeem("contoso", good["code"])).status_code == 200
    bad = READ[mode](await browser.authorize("contoso", response_mode=mode, response_type="token"))
    assert (bad["error"], bad["state"], bad["iss"]) == ("unsupported_response_type", "st-1", ISSUER)
    page = await browser.authorize("contoso", response_mode=mode, prompt="login")
    declined = READ[mode](await browser.submit(page, "decline"))
    assert (declined["error"], declined["iss"]) == ("access_denied", ISSUER)


async def test_the_metadata_tell_the_modes_that_there_are(browser: Browser) -> None:
    """Each mode that is advertised works; see above."""
    found = (await browser.http.get("/contoso/v2.0/.well-known/openid-configuration")).json()
    assert found["response_modes_supported"] == list(READ)


async def test_another_mode_is_refused_in_the_query(browser: Browser) -> None:
    """A mode that nobody knows is no place to answer to."""
    assert answer(await browser.authorize("contoso", response_mode="web_message"))["error"] == "invalid_request"


async def test_what_the_client_sent_cannot_leave_its_field(browser: Browser) -> None:
    """A state with markup comes back as it was, as the value of a field."""
    page = await browser.sign_in("contoso", response_mode="form_post", state=NASTY)
    assert "<script>alert" not in page.text
    assert posted(page)["state"] == NASTY


def test_the_page_may_be_sent_by_hand() -> None:
    """There is a button for those who have no script, and no field or button that would shadow the form's `submit`."""
    page = bytes(reply_page("https://client.example/in?a=1&b=2", {"code": "c"}).body).decode()
    assert "<button type=\"submit\" value" in page
    assert 'action="https://client.example/in?a=1&amp;b=2"' in page
    assert 'name="submit"' not in page


async def test_the_script_is_ours(world: World, browser: Browser) -> None:
    """Pages with the two scripts load them from here, and there are no others."""
    for name in ("reply.js", "passkey.js"):
        found = await browser.http.get(f"/assets/{name}")
        assert found.headers["content-type"].startswith("text/javascript")
    assert 'getElementById("reply")' in (await browser.http.get("/assets/reply.js")).text
    assert (await browser.http.get("/assets/other.js")).status_code == 404
