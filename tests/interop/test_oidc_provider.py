"""A guest whose home is npm's oidc-provider: OpenID federation between two real programs on loopback."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.integration.idp.federation.outsiders import GUEST, invite, openid, put
from tests.integration.idp.world import FABRIKAM, Clock, World, answer, claims, prepare
from tests.support.foreign import needs_node
from tunneld.idp.federation_settings import FederationSettings

MAIL = "gail@other.example"
SECRET = "secret-of-the-test"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs_node()
    root = tmp_path_factory.mktemp("interop")
    prepare(root)
    return root


@pytest.fixture
def foreign_home(files: Path) -> Iterator[str]:
    """Start the program and return its issuer."""
    settings = {
        "certificate": str(files / "certs/idp/idp.pem"), "key": str(files / "certs/idp/idp.key"),
        "clientId": "fabrikam", "clientSecret": SECRET, "email": MAIL,
        "redirectUri": f"https://idp.test/{FABRIKAM}/federation/oauth2",
        "amr": ["pwd", "mfa"],
    }
    process = subprocess.Popen(
        ["node", "oidc_provider.mjs", json.dumps(settings)], cwd=needs_node(), stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )
    try:
        assert process.stdout is not None
        yield str(json.loads(process.stdout.readline())["issuer"])
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


async def test_a_foreign_home_signs_a_guest_in(files: Path, tmp_path: Path, foreign_home: str) -> None:
    """Discovery, PKCE, nonce, client secret, keys and ID token of a certified implementation; then our token."""
    trust = files / "certs/idp/ca.pem"
    world = World.copy(files, tmp_path, Clock())
    world.settings = world.settings.model_copy(update={
        "federation": FederationSettings(hosts=(urlsplit(foreign_home).netloc,), trust=trust),
    })
    await world.open()
    try:
        provider: dict[str, Any] = openid(issuer=foreign_home, clientId="fabrikam", clientSecret=SECRET)
        await put(world, "identityProvider", provider)
        await invite(world, MAIL)
        browser = world.browser()
        away = await browser.authorize("fabrikam", login_hint=MAIL)
        assert away.status_code == 303, away.text
        context = ssl.create_default_context(cafile=str(trust))
        async with httpx.AsyncClient(verify=context, trust_env=False) as outside:
            there = await outside.get(away.headers["location"])
            while not there.headers.get("location", "").startswith("https://idp.test/"):
                assert there.status_code in (302, 303), there.text
                there = await outside.get(httpx.URL(foreign_home).join(there.headers["location"]))
        back = await browser.http.get(there.headers["location"])
        assert back.status_code == 303, back.text
        page = await browser.http.get(back.headers["location"])
        accepted = await browser.submit(page, "consent")
        tokens = await browser.redeem("fabrikam", answer(accepted)["code"])
        seen = claims(tokens.json()["access_token"])
        assert (seen["oid"], seen["idp"]) == (GUEST, foreign_home)
    finally:
        await world.close()
