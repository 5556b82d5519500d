"""What clients read first, and what the userinfo endpoint says."""

from __future__ import annotations

import pytest

from tests.integration.idp.world import ALEX, BASE, CONTOSO, FABRIKAM, WIKI, Browser, World, bearer, claims, scope_of


async def test_discovery_by_every_name(world: World, browser: Browser) -> None:
    """Id, name, domain and the older path give one document; the shared names a template that clients fill in."""
    path = "/v2.0/.well-known/openid-configuration"
    first = (await browser.http.get(f"/{CONTOSO}{path}")).json()
    for name in (f"/contoso{path}", f"/CONTOSO.example{path}", "/contoso/.well-known/openid-configuration"):
        assert (await browser.http.get(name)).json() == first
    assert first["issuer"] == f"{BASE}/{CONTOSO}/v2.0"
    assert first["subject_types_supported"] == ["pairwise"]
    for name in ("common", "organizations"):
        shared = (await browser.http.get(f"/{name}{path}")).json()
        assert shared["issuer"] == f"{BASE}/{{tenantid}}/v2.0"
        assert shared["jwks_uri"] == f"{BASE}/{name}/discovery/v2.0/keys"
        assert shared.keys() == first.keys()
        keys = (await browser.http.get(f"/{name}/discovery/v2.0/keys")).json()["keys"]
        assert {key["issuer"] for key in keys} >= {f"{BASE}/{CONTOSO}/v2.0", f"{BASE}/{FABRIKAM}/v2.0"}
    assert (await browser.http.get(f"/nobody{path}")).status_code == 400


async def test_an_application_may_ask_for_its_own_keys(world: World, browser: Browser) -> None:
    """`appid` comes back in the address of the keys; what is no GUID is refused, since it would be echoed."""
    path = "/contoso/v2.0/.well-known/openid-configuration"
    found = (await browser.http.get(path, params={"appid": WIKI})).json()
    assert found["jwks_uri"].endswith(f"/discovery/v2.0/keys?appid={WIKI}")
    assert (await browser.http.get(found["jwks_uri"])).json()["keys"]
    for bad in ("x", "<script>", WIKI + "&x=y"):
        assert (await browser.http.get(path, params={"appid": bad})).status_code == 400


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_userinfo_agrees_with_the_id_token(world: World, browser: Browser, method: str) -> None:
    """The subject is the ID token's, and a guest goes by the name of their home account."""
    body = await browser.signed_in("fabrikam")
    found = await browser.http.request(method, "/oidc/userinfo", headers=bearer(body["access_token"]))
    assert found.status_code == 200
    assert found.json() == {
        "sub": claims(body["id_token"])["sub"], "name": "Alex (guest)", "preferred_username": "alex@contoso.example",
    }


async def test_userinfo_takes_access_tokens_of_the_directory_only(world: World, browser: Browser) -> None:
    """ID tokens, tokens for other audiences and no token at all are refused."""
    body = await browser.signed_in("contoso")
    for token in (body["id_token"], "x", ""):
        assert (await browser.http.get("/oidc/userinfo", headers=bearer(token))).status_code == 401
    assert (await browser.http.get("/oidc/userinfo")).status_code == 401
    wiki = await browser.refresh("contoso", body["refresh_token"], scope=scope_of(WIKI))
    assert (await browser.http.get("/oidc/userinfo", headers=bearer(wiki.json()["access_token"]))).status_code == 401
    assert claims(body["access_token"])["oid"] == ALEX
