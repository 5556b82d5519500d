"""Microsoft's own client library for Python signs in here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import msal
import pytest
import requests

from tests.integration.idp.world import ALEX, CONTOSO, FABRIKAM, PASSWORD, Browser, PageForm, claims
from tests.interop.running_idp import MSAL_CLIENT, RunningIdp, directory_document, running_idp
from tunneld.policy.directory import DIRECTORY_API

# MSAL would rather have response_mode=form_post, which this program on loopback cannot take.
pytestmark = pytest.mark.filterwarnings("ignore:response_mode=:UserWarning")

SCOPES = [f"api://{DIRECTORY_API}/.default"]
REDIRECT = "http://127.0.0.1:45123/callback"


@pytest.fixture(scope="module")
def idp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningIdp]:
    with running_idp(tmp_path_factory.mktemp("msal"), directory_document()) as started:
        yield started


@pytest.fixture
def session(idp: RunningIdp) -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.verify = str(idp.trust)
        made.trust_env = False
        yield made


def application(
    idp: RunningIdp, session: requests.Session, tenant: str = CONTOSO, **options: Any
) -> msal.PublicClientApplication:
    """Return MSAL's application over our issuer."""
    return msal.PublicClientApplication(
        MSAL_CLIENT, oidc_authority=f"{idp.url}/{tenant}/v2.0", http_client=session, **options
    )


async def sign_in_page(browser: Browser, url: str) -> dict[str, str]:
    """Drive the page that a client's URL leads to, and return what comes back to it."""
    page = await browser.http.get(url)
    form = PageForm(page.text)
    fields = form.fields | {"username": "alex@contoso.example", "password": PASSWORD, "action": "sign_in"}
    answered = await browser.http.post(form.action, data=fields)
    assert answered.status_code == 303, answered.text
    return dict(parse_qsl(urlsplit(answered.headers["location"]).query))


async def by_code(
    idp: RunningIdp, app: msal.PublicClientApplication, **options: Any
) -> dict[str, Any]:
    """Sign in with MSAL's authorization code flow: PKCE, state and nonce are its own."""
    browser = idp.browser()
    flow = await asyncio.to_thread(app.initiate_auth_code_flow, SCOPES, REDIRECT, **options)
    answer = await sign_in_page(browser, flow["auth_uri"])
    await browser.http.aclose()
    result: dict[str, Any] = await asyncio.to_thread(app.acquire_token_by_auth_code_flow, flow, answer)
    assert "access_token" in result, result
    return result


async def test_code_flow_and_silent_refresh(idp: RunningIdp, session: requests.Session) -> None:
    """The account is cached; a forced refresh gives another token for the same person."""
    app = await asyncio.to_thread(application, idp, session)
    first = await by_code(idp, app)
    seen = claims(first["access_token"])
    assert (seen["tid"], seen["oid"], seen["azp"]) == (CONTOSO, ALEX, MSAL_CLIENT)
    assert first["id_token_claims"]["preferred_username"] == "alex@contoso.example"
    accounts = app.get_accounts()
    assert [account["username"] for account in accounts] == ["alex@contoso.example"]
    cached = await asyncio.to_thread(app.acquire_token_silent, SCOPES, accounts[0])
    assert cached["access_token"] == first["access_token"]
    fresh = await asyncio.to_thread(app.acquire_token_silent, SCOPES, accounts[0], force_refresh=True)
    assert fresh["access_token"] != first["access_token"]
    assert claims(fresh["access_token"])["oid"] == ALEX


async def test_capabilities_and_a_claims_challenge(idp: RunningIdp, session: requests.Session) -> None:
    """`cp1` arrives as `xms_cc`; a challenge makes MSAL drop its cached token and come with the claims."""
    app = await asyncio.to_thread(application, idp, session, client_capabilities=["cp1"])
    first = await by_code(idp, app)
    assert claims(first["access_token"])["xms_cc"] == ["cp1"]
    now = str(claims(first["access_token"])["iat"])
    challenge = json.dumps({"access_token": {"nbf": {"essential": True, "value": now}}})
    fresh = await asyncio.to_thread(
        app.acquire_token_silent, SCOPES, app.get_accounts()[0], claims_challenge=challenge
    )
    assert fresh["access_token"] != first["access_token"]
    assert claims(fresh["access_token"])["xms_cc"] == ["cp1"]


async def test_device_code(idp: RunningIdp, session: requests.Session) -> None:
    """The page is driven while MSAL polls."""
    app = await asyncio.to_thread(application, idp, session)
    flow = await asyncio.to_thread(app.initiate_device_flow, SCOPES)
    assert "verification_uri" in flow, flow
    browser = idp.browser()
    page = await browser.http.get(flow["verification_uri"], params={"user_code": flow["user_code"]})
    form = PageForm(page.text)
    page = await browser.http.post(form.action, data=form.fields | {"user_code": flow["user_code"], "action": "code"})
    form = PageForm(page.text)
    fields = form.fields | {"username": "alex@contoso.example", "password": PASSWORD, "action": "sign_in"}
    done = await browser.http.post(form.action, data=fields)
    assert done.status_code == 200
    await browser.http.aclose()
    result = await asyncio.to_thread(app.acquire_token_by_device_flow, flow)
    assert claims(result["access_token"])["oid"] == ALEX


async def test_a_guest_signs_in_to_the_visited_tenant(idp: RunningIdp, session: requests.Session) -> None:
    """A guest names the visited tenant as the authority and gets its token, with home in `idp`."""
    app = await asyncio.to_thread(application, idp, session, FABRIKAM)
    seen = claims((await by_code(idp, app))["access_token"])
    assert seen["tid"] == FABRIKAM
    assert seen["idp"] == f"{idp.url}/{CONTOSO}/v2.0"


async def test_refusals_reach_the_caller_as_errors(idp: RunningIdp, session: requests.Session) -> None:
    """A refusal is a result with error, codes and correlation id, as MSAL's users read it."""
    app = await asyncio.to_thread(application, idp, session)
    flow = await asyncio.to_thread(app.initiate_auth_code_flow, SCOPES, REDIRECT)
    answer = {"code": "nonsense", "state": parse_qs(urlsplit(flow["auth_uri"]).query)["state"][0]}
    refused = await asyncio.to_thread(app.acquire_token_by_auth_code_flow, flow, answer)
    assert refused["error"] == "invalid_grant"
    assert refused["error_codes"] == [9002313]
    assert refused["correlation_id"]
