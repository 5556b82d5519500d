"""What an attacker or a broken client sends: each is refused by name, and never with a 500."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.integration.idp.world import (
    CALLBACK,
    CONTOSO,
    DIRECTORY_SCOPE,
    FABRIKAM,
    PRIVATE,
    Browser,
    PageForm,
    World,
    answer,
    bearer,
    claims,
    scope_of,
)
from tunneld.policy.directory import DAEMON_CLIENT

AUTHORIZE = "/contoso/oauth2/v2.0/authorize"
TOKEN = "/contoso/oauth2/v2.0/token"


def code_of(response: httpx.Response) -> int:
    """Return the AADSTS code of an OAuth error, after checking the form of its body."""
    body = response.json()
    assert response.status_code in (400, 401, 403, 405, 413), response.text
    assert {"error", "error_description", "error_codes", "timestamp", "trace_id", "correlation_id"} <= body.keys()
    assert body["error_description"].startswith(f"AADSTS{body['error_codes'][0]}: ")
    return int(body["error_codes"][0])


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:1/callback/../evil", "http://127.0.0.1:1/callbackx", "http://127.0.0.1:1/callback?x=1",
        "http://127.0.0.1:1/callback#x", "http://127.0.0.1.evil.example/callback", "http://127.0.0.1@evil.example/callback",
        "https://127.0.0.1:1/callback", "http://localhost:1/callback", "http://127.0.0.1:99999/callback",
        "http://127.0.0.1:1\\@evil.example/callback", "//evil.example/callback", "javascript:alert(1)", "",
        "http://127.0.0.1/Callback", "http://127.0.0.1:/callback", "http://127.1/callback", "HTTP://127.0.0.1/callback",
    ],
)
async def test_redirect_uri_is_compared_exactly(browser: Browser, uri: str) -> None:
    """Nothing is sent to an address that is not registered; the user sees a page instead."""
    response = await browser.authorize("contoso", redirect_uri=uri)
    assert response.status_code == 400
    assert "location" not in response.headers
    assert "AADSTS50011" in response.text


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": "A" * 42 + "="}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_mode": "web_message"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "https://graph.example/.default"}, "invalid_scope"),
        ({"scope": f"{scope_of(PRIVATE)} {DIRECTORY_SCOPE}"}, "invalid_scope"),
        ({"claims": "{"}, "invalid_request"),
        ({"claims": "[" * 5000}, "invalid_request"),
        ({"claims": '{"access_token":{"xms_cc":{"values":[{}]}}}'}, "invalid_request"),
        ({"nonce": "n" * 3000}, "invalid_request"),
    ],
)
async def test_bad_parameters_go_back_to_the_client(browser: Browser, changes: dict[str, Any], error: str) -> None:
    """With a good redirect URI the client learns what was wrong, with its state and the issuer."""
    redirect = answer(await browser.authorize("contoso", **changes))
    assert redirect["error"] == error
    assert redirect["state"] == "st-1"
    assert redirect["iss"].endswith(f"/{CONTOSO}/v2.0")
    assert "code" not in redirect


async def test_missing_state_is_allowed_and_not_invented(browser: Browser) -> None:
    """`state` is recommended, not required: PKCE and `iss` protect a client without it."""
    redirect = answer(await browser.sign_in("contoso", state=None))
    assert "code" in redirect
    assert "state" not in redirect


async def test_unknown_resource_is_refused_after_sign_in(browser: Browser) -> None:
    """An audience of another tenant is unknown here."""
    await browser.signed_in("contoso")
    redirect = answer(await browser.authorize("fabrikam", scope=scope_of(PRIVATE)))
    assert redirect["error"] == "invalid_scope"
    assert redirect["error_description"].startswith("AADSTS500011")


async def test_code_is_good_once_and_reuse_revokes(world: World, browser: Browser) -> None:
    """The second redemption is refused, and the refresh token of the first dies with it."""
    code = answer(await browser.sign_in("contoso"))["code"]
    first = (await browser.redeem("contoso", code)).json()
    assert code_of(await browser.redeem("contoso", code)) == 54005
    assert code_of(await browser.refresh("contoso", first["refresh_token"])) == 50173
    details = [detail for line in world.lines("audit.jsonl") for detail in line["additionalDetails"]]
    assert [detail["value"] for detail in details if detail["key"] == "because"] == ["code_reuse"]


async def test_concurrent_redemption_leaves_no_usable_token(browser: Browser) -> None:
    """Two at once: at most one answer has tokens, and its refresh token is revoked."""
    code = answer(await browser.sign_in("contoso"))["code"]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(browser.redeem("contoso", code)) for _ in range(2)]
    bodies = [task.result().json() for task in tasks]
    for body in bodies:
        if "refresh_token" in body:
            assert code_of(await browser.refresh("contoso", body["refresh_token"])) == 50173
    assert sum("error" in body for body in bodies) >= 1


@pytest.mark.parametrize(
    ("tenant", "changes", "code"),
    [
        ("fabrikam", {}, 700005),
        ("contoso", {"code_verifier": "x" * 43}, 50148),
        ("contoso", {"code_verifier": ""}, 50148),
        ("contoso", {"redirect_uri": "http://127.0.0.1:1/callback"}, 700009),
        ("contoso", {"client_id": "00000000-0000-4000-8000-000000000000"}, 700016),
        ("contoso", {"client_secret": "x"}, 700025),
        ("contoso", {"grant_type": "password"}, 70003),
        ("contoso", {"scope": "bad scope"}, 70011),
        ("contoso", {"cnf_jkt": "x"}, 700030),
        ("contoso", {"cnf_jkt": "A" * 43}, 700030),
        ("contoso", {"code": ""}, 900144),
        ("contoso", {"code": "unknown"}, 9002313),
        ("nowhere", {}, 90002),
        ("common", {}, 700005),
    ],
)
async def test_wrong_redemptions(browser: Browser, tenant: str, changes: dict[str, str], code: int) -> None:
    """Each wrong part of a redemption has its own code."""
    granted = answer(await browser.sign_in("contoso"))["code"]
    assert code_of(await browser.redeem(tenant, granted, **changes)) == code


async def test_code_expires(world: World, browser: Browser) -> None:
    """A code is good for a minute."""
    code = answer(await browser.sign_in("contoso"))["code"]
    world.clock.now += 61
    assert code_of(await browser.redeem("contoso", code)) == 70008


async def test_refresh_reuse_revokes_the_family(browser: Browser) -> None:
    """An old refresh token coming back kills the newest one too."""
    first = await browser.signed_in("contoso")
    second = (await browser.refresh("contoso", first["refresh_token"])).json()
    assert code_of(await browser.refresh("contoso", first["refresh_token"])) == 50173
    assert code_of(await browser.refresh("contoso", second["refresh_token"])) == 50173


async def test_refresh_is_bound_to_tenant_and_client_and_expires(world: World, browser: Browser) -> None:
    """A refresh token of one tenant is nothing in another; a forged one is nothing anywhere."""
    body = await browser.signed_in("contoso")
    assert code_of(await browser.refresh("fabrikam", body["refresh_token"])) == 700009
    handle, _, mac = body["refresh_token"].rpartition(".")
    forged = handle.replace("~1", "~2")
    assert code_of(await browser.refresh("contoso", f"{forged}.{mac}")) == 9002313
    assert code_of(await browser.refresh("contoso", body["session_credential"])) == 9002313
    assert code_of(await browser.refresh("contoso", "\u00e9" * 9)) == 9002313
    world.clock.now += 91 * 24 * 3600
    assert code_of(await browser.refresh("contoso", body["refresh_token"])) == 70008


async def test_refusal_does_not_use_up_the_refresh_token(browser: Browser) -> None:
    """A denied audience leaves the token as it was, so that the client can go on."""
    body = await browser.signed_in("contoso", user="bob@contoso.example")
    refused = await browser.refresh("contoso", body["refresh_token"], scope=scope_of(PRIVATE))
    assert (code_of(refused), refused.json()["suberror"]) == (50105, "profile_not_assigned")
    assert (await browser.refresh("contoso", body["refresh_token"])).status_code == 200


async def test_forms_need_the_page_that_made_them(world: World, browser: Browser) -> None:
    """A password posted without the page's token, or with somebody else's, signs nobody in."""
    fields = {**browser.request(), "username": "alex@contoso.example", "password": "correct horse", "action": "sign_in"}
    other = world.browser()
    foreign = PageForm((await other.authorize("contoso")).text).fields["csrf"]
    for token in ("", "x", foreign):
        response = await browser.http.post(AUTHORIZE, data=fields | {"csrf": token})
        assert response.status_code == 200
        assert "out of date" in response.text
        assert "__Host-tunneld-session" not in response.headers.get("set-cookie", "")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", TOKEN, 405), ("PUT", AUTHORIZE, 405), ("DELETE", "/v1.0/me/tenants", 405), ("GET", "/", 404),
        ("GET", "/contoso/../../etc/passwd", 404), ("GET", "/nowhere/v2.0/.well-known/openid-configuration", 400),
        ("GET", "/%00/discovery/v2.0/keys", 400), ("GET", "/%ff%fe/discovery/v2.0/keys", 400),
        ("GET", "/v1.0/me/nothing", 404), ("POST", "/contoso/tunnel/v1/certificate", 401),
    ],
)
async def test_wrong_methods_and_paths(browser: Browser, method: str, path: str, status: int) -> None:
    """Every answer is JSON of the API's own form."""
    response = await browser.http.request(method, path)
    assert response.status_code == status
    assert "error" in response.json()


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"grant_type=refresh_token&grant_type=authorization_code", "application/x-www-form-urlencoded"),
        (b"grant_type=refresh_token%00", "application/x-www-form-urlencoded"),
        (b"grant_type=%ff%fe", "application/x-www-form-urlencoded"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"&".join(b"a%d=1" % n for n in range(100)), "application/x-www-form-urlencoded"),
        (b"", "application/x-www-form-urlencoded"),
        (b'{"grant_type":"x"}', "application/json"),
        (b"--x\r\n", "multipart/form-data; boundary=x"),
    ],
)
async def test_malformed_forms(browser: Browser, content: bytes, content_type: str) -> None:
    """A form that can be read in two ways, or not at all, is refused."""
    response = await browser.http.post(TOKEN, content=content, headers={"content-type": content_type})
    assert code_of(response) in (90014, 900144)


@pytest.mark.parametrize("name", ["token", "authorize", "deviceauth", "devicecode"])
async def test_huge_bodies(browser: Browser, name: str) -> None:
    """A body over 64 KiB is refused with 413, announced or chunked."""
    path = f"/contoso/oauth2/v2.0/{name}"

    async def chunks() -> Any:
        for _ in range(70):
            yield b"x" * 1024

    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert (await browser.http.post(path, content=b"x" * 70_000, headers=headers)).status_code == 413
    assert (await browser.http.post(path, content=chunks(), headers=headers)).status_code == 413


async def test_hostile_bearers(world: World, browser: Browser) -> None:
    """Tokens that are not exactly ours: tampered, of another audience, of the ID kind, twice, expired, not tokens."""
    body = await browser.signed_in("contoso")
    good = body["access_token"]
    head, payload, signature = good.split(".")
    other = (await browser.refresh("contoso", body["refresh_token"], scope=scope_of(PRIVATE))).json()["access_token"]
    forged = [
        "", "x", "a.b.c", f"{head}.{payload}.", f"{head}.{payload}", f"{good}.x",
        f"{head}.{payload}.{signature[:-4]}AAAA",
        f"{head}.{payload}.{signature}==", "e30.e30.e30", f"{'x' * 13000}.a.b", body["id_token"], other,
        f"eyJhbGciOiJub25lIn0.{payload}.", f"eyJhbGciOiJSUzI1NiIsImtpZCI6W119.{payload}.{signature}",
    ]
    for token in forged:
        response = await browser.http.get("/v1.0/me/tenants", headers=bearer(token))
        assert (response.status_code, response.json()["error"]["code"]) == (401, "InvalidAuthenticationToken"), token
        assert response.headers["www-authenticate"].startswith("Bearer error=")
    twice = [("authorization", f"Bearer {good}"), ("authorization", f"Bearer {good}")]
    assert (await browser.http.get("/v1.0/me/tenants", headers=twice)).status_code == 401
    assert (await browser.http.get("/v1.0/me/tenants", headers=bearer(good))).status_code == 200
    world.clock.now = claims(good)["exp"]
    assert (await browser.http.get("/v1.0/me/tenants", headers=bearer(good))).status_code == 401


async def test_correlation_id_goes_through(world: World, browser: Browser) -> None:
    """A trace id in `traceparent` comes back and is in the sign-in log; nonsense is replaced."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    response = await browser.authorize("contoso", headers=headers)
    assert response.headers["client-request-id"].replace("-", "") == trace
    await browser.signed_in("contoso")
    refused = await browser.http.post(TOKEN, data={"grant_type": "x"}, headers={"client-request-id": "x\ty"})
    assert len(refused.json()["correlation_id"]) == 36


async def test_no_secret_is_written_down(world: World, browser: Browser) -> None:
    """Logs and database hold neither passwords nor anything that could be used as a token."""
    body = await browser.signed_in("contoso")
    fresh = (await browser.refresh("contoso", body["refresh_token"])).json()
    await browser.sign_in("contoso", password="wrong-password-of-somebody", prompt="login")
    secrets = [
        "correct horse", "wrong-password-of-somebody", body["refresh_token"], fresh["refresh_token"],
        body["access_token"], body["session_credential"],
    ]
    state = world.root / "state"
    for path in state.iterdir():
        if path.is_file():
            text = path.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in text], path.name
    modes = {path.name: path.stat().st_mode & 0o777 for path in [*state.iterdir(), *(state / "idp-keys").iterdir()]}
    assert modes.pop("idp-keys") == 0o700
    assert modes.pop("idp-secret") == 0o600
    assert {mode for name, mode in modes.items() if name.endswith(".json")} == {0o600}
    assert (modes["sign-ins.jsonl"], modes["audit.jsonl"], modes["idp.sqlite"]) == (0o600, 0o600, 0o600)
    lines = world.lines("sign-ins.jsonl")
    assert {line["via"] for line in lines} == {"password", "code", "refresh"}
    assert lines[-1]["status"]["errorCode"] == 50126
    steps = {step["step"]: step["effect"] for step in lines[0]["decisionTrace"]}
    assert steps.keys() >= {"S0", "S3", "S6", "S7", "S8"}
    assert json.dumps(lines)


async def test_other_tenants_page_cannot_be_used(browser: Browser) -> None:
    """Unknown client and unknown tenant end on a page, never in a redirect."""
    for changes in ({"client_id": "x"}, {"client_id": None}):
        response = await browser.authorize("contoso", **changes)
        assert response.status_code == 400
        assert "AADSTS700016" in response.text
    assert "AADSTS90002" in (await browser.authorize("nowhere")).text
    twice = await browser.http.get(f"{AUTHORIZE}?client_id={DAEMON_CLIENT}&redirect_uri={CALLBACK}&redirect_uri=x")
    assert twice.status_code == 400


async def test_tenant_may_be_named_in_three_ways(browser: Browser) -> None:
    """Id, short name and verified domain lead to the same issuer."""
    found = set()
    for name in ("fabrikam", "FABRIKAM.example", FABRIKAM, FABRIKAM.upper()):
        found.add((await browser.http.get(f"/{name}/v2.0/.well-known/openid-configuration")).json()["issuer"])
    assert len(found) == 1
