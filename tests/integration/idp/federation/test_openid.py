"""Guests of an OpenID provider, and everything that a badly behaved provider could answer."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import httpx
import pytest

from tests.integration.idp.federation.fake_openid import MAIL, FakeOpenId
from tests.integration.idp.federation.outsiders import GUEST, OPENID_CLIENT, OPENID_ISSUER, invite, openid, put, query
from tests.integration.idp.federation.test_passive import come_back
from tests.integration.idp.world import CONTOSO, FABRIKAM, Browser, World
from tests.support.tokens import public_jwk
from tunneld.policy.directory import ExternalIdentity, SignInWay

CALLBACK = f"/{FABRIKAM}/federation/oauth2"


@pytest.fixture
async def other(world: World) -> FakeOpenId:
    """The provider, configured, with a guest invited."""
    fake = FakeOpenId(world.clock)
    assert world.provider is not None
    world.provider.federation.transport = fake.transport
    await put(world, "identityProvider", openid())
    await invite(world, MAIL)
    return fake


async def leave(browser: Browser, fake: FakeOpenId) -> dict[str, str]:
    """Go to the provider; it remembers the nonce, as it would."""
    sent = query(await browser.authorize("fabrikam", login_hint=MAIL))
    fake.nonce = sent["nonce"]
    return sent


async def arrive(browser: Browser, sent: dict[str, str], **changes: Any) -> httpx.Response:
    """Come back with a code."""
    fields = {"code": "code-1", "state": sent["state"], "iss": OPENID_ISSUER} | changes
    return await browser.http.get(CALLBACK, params={name: value for name, value in fields.items() if value is not ...})


async def test_a_guest_signs_in_at_their_openid_provider(world: World, browser: Browser, other: FakeOpenId) -> None:
    """Code flow with PKCE, nonce, state and a secret; the guest is bound to the subject."""
    sent = await leave(browser, other)
    assert sent["redirect_uri"] == f"https://idp.test{CALLBACK}"
    assert (sent["login_hint"], sent["client_id"], sent["code_challenge_method"]) == (MAIL, OPENID_CLIENT, "S256")
    seen = await come_back(browser, await arrive(browser, sent))
    assert (seen["oid"], seen["idp"]) == (GUEST, OPENID_ISSUER)
    form = other.forms[0]
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == sent["code_challenge"]
    assert world.provider is not None
    guest = world.provider.directory.tenants[FABRIKAM].users[GUEST]
    assert guest.external == ExternalIdentity(SignInWay.FEDERATION, OPENID_ISSUER, "subject-1")


@pytest.mark.parametrize(
    ("claims", "header"), [({"nonce": "n"}, {}), ({"aud": "somebody-else"}, {}), ({}, {"alg": "none"})],
    ids=["another nonce", "another audience", "alg none"],
)
async def test_forged_tokens_sign_nobody_in(
    world: World, browser: Browser, other: FakeOpenId, claims: dict[str, Any], header: dict[str, Any]
) -> None:
    """What the policy refuses becomes a page and no session; the rest of the forgeries are tried without a server."""
    other.claims, other.header = claims, header
    await _refused(browser, other)


@pytest.mark.parametrize(
    "token", ["", "eyJhbGciOiJub25lIn0.e30."], ids=["nothing", "none"]
)
async def test_what_is_no_token_signs_nobody_in(
    world: World, browser: Browser, other: FakeOpenId, token: str
) -> None:
    """Whatever stands where the ID token should, the answer is a page."""
    other.token = token or " "
    await _refused(browser, other)


@pytest.mark.parametrize(
    ("key", "published"),
    [("stranger", None), ("other", [public_jwk("other", use="enc")]), ("other", [])],
    ids=["signed by a stranger", "a key for another use", "no keys"],
)
async def test_a_key_that_does_not_fit_signs_nobody_in(
    world: World, browser: Browser, other: FakeOpenId, key: str, published: list[dict[str, Any]] | None
) -> None:
    """Another key under the known id does not verify, and a key that is not for signatures is no key."""
    other.key, other.keys = key, published
    await _refused(browser, other)


async def _refused(browser: Browser, fake: FakeOpenId, **changes: Any) -> None:
    sent = await leave(browser, fake)
    response = await arrive(browser, sent, **changes)
    assert response.status_code == 400
    assert "AADSTS50008" in response.text
    assert "__Host-tunneld-session" not in response.headers.get("set-cookie", "")


@pytest.mark.parametrize(
    "changes",
    [{"iss": "https://evil.example"}, {"iss": ...}, {"code": ...}, {"code": "c" * 3000}, {"error": "access_denied"}],
    ids=["mix-up", "no issuer although promised", "no code", "an endless code", "declined"],
)
async def test_answers_that_lead_to_no_token_request(
    world: World, browser: Browser, other: FakeOpenId, changes: dict[str, Any]
) -> None:
    """RFC 9207 and the rest are judged before the code is sent anywhere."""
    await _refused(browser, other, **changes)
    assert not other.forms


async def test_states_are_used_once_and_by_their_browser(world: World, browser: Browser, other: FakeOpenId) -> None:
    """A state of another browser, of another tenant's address, or used before, is nothing."""
    sent = await leave(browser, other)
    assert (await arrive(world.browser(), sent)).status_code == 400
    assert (await arrive(browser, sent, state="_unknown")).status_code == 400
    assert (await arrive(browser, sent)).status_code == 303
    assert (await arrive(browser, sent)).status_code == 400
    another = world.browser()
    sent = await leave(another, other)
    elsewhere = await another.http.get(
        f"/{CONTOSO}/federation/oauth2", params={"code": "c", "state": sent["state"], "iss": OPENID_ISSUER}
    )
    assert elsewhere.status_code == 400


@pytest.mark.parametrize(
    ("metadata", "broken"),
    [
        ({"issuer": "https://evil.example"}, {}),
        ({"token_endpoint": "http://id.other.example/token"}, {}),
        ({"authorization_endpoint": "javascript:alert(1)"}, {}),
        ({"jwks_uri": 7}, {}),
        ({}, {"/.well-known/openid-configuration": httpx.Response(500)}),
        ({}, {"/.well-known/openid-configuration": httpx.Response(302, headers={"location": "https://127.0.0.1/"})}),
        ({}, {"/.well-known/openid-configuration": httpx.Response(200, content=b"[" * 300_000)}),
    ],
    ids=["another issuer", "http", "a script", "a number", "down", "a redirect", "endless"],
)
async def test_metadata_that_cannot_be_used(
    world: World, browser: Browser, other: FakeOpenId, metadata: dict[str, Any], broken: dict[str, httpx.Response]
) -> None:
    """Nobody is sent anywhere; a page says that the provider cannot be reached."""
    other.metadata, other.broken = metadata, broken
    response = await browser.authorize("fabrikam", login_hint=MAIL)
    assert response.status_code == 400
    assert "AADSTS40010" in response.text


@pytest.mark.parametrize("endpoint", ["token_endpoint", "jwks_uri"])
async def test_metadata_steers_us_to_no_host_of_its_choice(
    world: World, browser: Browser, other: FakeOpenId, endpoint: str
) -> None:
    """Only listed hosts are asked, whatever a document names: no request leaves for the machine's own network."""
    other.metadata = {endpoint: "https://169.254.169.254/latest"}
    sent = await leave(browser, other)
    response = await arrive(browser, sent)
    assert "AADSTS40010" in response.text
    assert not any("latest" in path for path in other.asked)


async def test_unknown_key_ids_cause_no_flood(world: World, browser: Browser, other: FakeOpenId) -> None:
    """Keys are looked up again for an unknown id, but not for each one; after the cool-down a new key is found."""
    sent = await leave(browser, other)
    assert (await arrive(browser, sent)).status_code == 303
    other.header = {"kid": "next"}
    for _ in range(3):
        fresh = world.browser()
        assert (await arrive(fresh, await leave(fresh, other))).status_code == 400
    assert other.asked.count("/keys") == 1
    assert other.asked.count("/.well-known/openid-configuration") == 1
    world.clock.now += 301
    other.keys = [public_jwk("other", issuer=..., kid="next")]
    fresh = world.browser()
    assert (await arrive(fresh, await leave(fresh, other))).status_code == 303
    assert other.asked.count("/keys") == 2


async def test_a_social_provider_is_a_button_and_needs_verified_addresses(
    world: World, browser: Browser, other: FakeOpenId
) -> None:
    """Google, played by a local provider: any address will do that it has verified."""
    mail = "gail@gmail.com"
    await put(world, "identityProvider", openid(identityProviderType="google", displayName="Google", domains=[]))
    await invite(world, mail)
    page = await browser.authorize("fabrikam")
    assert "Continue with Google" in page.text
    away = await browser.submit(page, "social_google")
    assert f'content="0; url={OPENID_ISSUER}/auth?' in away.text
    other.claims = {"email": mail}
    for verified, status in ((..., 400), ("true", 400), (True, 303)):
        fresh = world.browser()
        sent = query(await fresh.authorize("fabrikam", login_hint=mail))
        other.nonce = sent["nonce"]
        other.claims = {"email": mail, "email_verified": verified}
        assert (await arrive(fresh, sent)).status_code == status, verified
