"""The corpus of tokens against the verifier of the identity provider's own APIs: 401 each time, never a failure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from tests.integration.idp.world import CONTOSO, World, bearer, directory
from tests.support.attacks import Attack, attacks, smuggled
from tests.support.tokens import AUDIENCE, BASE, NOW, OTHER_TENANT, TENANT, USER, rsa_key, sign
from tunneld.idp.answers import ApiError
from tunneld.idp.keys import KeyRing, TenantKeys
from tunneld.idp.tokens import bearer_claims, verify_bearer
from tunneld.policy.key_schedule import KeyPolicy

CORPUS = list(attacks())

@pytest.fixture(scope="module")
def provider() -> Any:
    """What the verifier needs of a provider: its clock, its base and its keys."""
    ring = KeyRing(None, KeyPolicy(1, 1, 1))  # type: ignore[arg-type]
    for tenant in (TENANT, OTHER_TENANT):
        names = ("first", "bare") if tenant == TENANT else ("concrete",)
        ring._tenants[tenant] = TenantKeys(public={name: rsa_key(name).public_key() for name in names})
    user = SimpleNamespace(enabled=True, home=None, sessions_valid_from=0)
    tenants = {TENANT: SimpleNamespace(users={USER: user})}
    return SimpleNamespace(
        keys=ring, base_url=BASE, now=lambda: NOW, directory=SimpleNamespace(tenants=tenants)
    )


def request(*fields: tuple[bytes, bytes]) -> Request:
    return Request({"type": "http", "method": "GET", "path": "/", "headers": list(fields)})


@pytest.mark.parametrize("attack", CORPUS, ids=[attack.name for attack in CORPUS])
def test_an_attack_is_answered_401(provider: Any, attack: Attack) -> None:
    """Each token of the corpus, by the verifier that guards the admin API, enrolment and userinfo."""
    field = b"Bearer " + attack.token.encode("utf-8", "surrogatepass")
    with pytest.raises(ApiError) as refused:
        verify_bearer(provider, request((b"authorization", field)), AUDIENCE)
    assert refused.value.status == 401


def test_a_good_token_is_believed(provider: Any) -> None:
    """The corpus is refused for what is wrong with it, and not because nothing gets in."""
    caller = verify_bearer(provider, request((b"authorization", b"Bearer " + sign().encode())), AUDIENCE)
    assert caller.bound
    with pytest.raises(ApiError) as refused:
        verify_bearer(provider, request((b"authorization", b"Bearer " + sign().encode())), "another")
    assert refused.value.status == 401


def test_smuggled_headers_are_answered_401(provider: Any) -> None:
    """A21: a good token, said in any way but the one."""
    for header in smuggled(sign()):
        with pytest.raises(ApiError) as refused:
            bearer_claims(provider, request(*header.fields))
        assert refused.value.status == 401, header.name


async def test_a_withdrawn_key_is_dropped_at_once(world: World) -> None:
    """Emergency removal: a token of a withdrawn key is refused with the next look at the directory's file."""
    browser = world.browser()
    body = await browser.signed_in("contoso")
    headers = bearer(body["access_token"])
    assert (await browser.http.get("/v1.0/me/tenants", headers=headers)).status_code == 200
    assert world.provider is not None
    document = directory()
    document["tenants"][0]["withdrawn_keys"] = [world.provider.keys.kid(CONTOSO)]
    world.write_directory(document)
    await world.provider.refresh()
    assert (await browser.http.get("/v1.0/me/tenants", headers=headers)).status_code == 401
    fresh = await browser.refresh("contoso", body["refresh_token"])
    headers = bearer(fresh.json()["access_token"])
    assert (await browser.http.get("/v1.0/me/tenants", headers=headers)).status_code == 200
