"""Devices: registered by their user, proved by their key at home, and judged by what the home tenant says now."""

from __future__ import annotations

from typing import Any

import pytest
from joserfc.jwk import ECKey

from tests.integration.idp.factors import device_proof, enroll, nonce, policy
from tests.integration.idp.world import (
    ALEX,
    BOB,
    CONTOSO,
    ENROLMENT_SCOPE,
    Browser,
    World,
    answer,
    bearer,
    directory,
    password_hash,
)
from tunneld.idp.changes import SYSTEM, AuditEntry
from tunneld.policy.devices import DEVICE, Device
from tunneld.policy.objects import Change, ObjectRef

COMPLIANT = {"builtInControls": ["compliantDevice"]}


@pytest.fixture
def key() -> ECKey:
    return ECKey.generate_key("P-256")


async def change(world: World, device_id: str, **members: Any) -> None:
    """Change a device as an administrator would."""
    provider = world.provider
    assert provider is not None
    current = provider.directory.tenants[CONTOSO].object(DEVICE, device_id)
    assert current is not None
    changed = Device.model_validate(current.to_json() | members)
    entry = AuditEntry("Update device", "Device", CONTOSO, SYSTEM)
    await provider.commit([Change(ObjectRef(CONTOSO, DEVICE, device_id), changed)], [entry], correlation_id="0" * 32)


async def restrict(world: World, *policies: dict[str, Any], trust: bool = False) -> None:
    """Give contoso, or with `trust` fabrikam, policies that look at devices."""
    document = directory()
    objects: dict[str, Any] = {"conditionalAccessPolicy": list(policies)}
    if trust:
        objects["crossTenantAccessPartner"] = [
            {"tenantId": CONTOSO, "inboundTrust": {"isMfaAccepted": False, "isCompliantDeviceAccepted": True,
                                                   "isHybridAzureADJoinedDeviceAccepted": True}},
        ]
    document["tenants"][1 if trust else 0]["objects"] = objects
    world.write_directory(document)
    assert world.provider is not None
    assert await world.provider.refresh()


async def test_compliance_is_asked_of_the_home_tenant_at_each_decision(
    world: World, browser: Browser, key: ECKey
) -> None:
    """Without a proof a page asks for the device; compliant it opens, and stops opening when it is not any more."""
    device = await enroll(world, browser, key)
    assert (device["displayName"], device["registeredOwner"], device["isCompliant"]) == ("LAPTOP-1", ALEX, None)
    await restrict(world, policy(1, grant=COMPLIANT))
    person = world.browser()
    page = await person.sign_in("contoso")
    assert "managed devices only" in page.text
    assert "did not identify itself" in (await person.submit(page, "device")).text
    header = device_proof(world, device["id"], key, await nonce(person))
    refused = answer(await person.authorize("contoso", headers=header))
    assert "AADSTS53000" in refused["error_description"]
    await change(world, device["id"], isCompliant=True)
    granted = answer(await person.authorize("contoso"))
    body = (await person.redeem("contoso", granted["code"])).json()
    await change(world, device["id"], isCompliant=False)
    assert (await person.refresh("contoso", body["refresh_token"])).json()["error_codes"] == [53000]
    await change(world, device["id"], isCompliant=True, accountEnabled=False)
    assert (await person.refresh("contoso", body["refresh_token"])).json()["error_codes"] == [50097]


async def test_device_proves_itself_before_its_user_signs_in(world: World, browser: Browser, key: ECKey) -> None:
    """The proof comes with the first request, waits in this browser, and is the session's after the password."""
    device = await enroll(world, browser, key)
    await change(world, device["id"], isCompliant=True)
    await restrict(world, policy(1, grant=COMPLIANT))
    person = world.browser()
    header = device_proof(world, device["id"], key, await nonce(person))
    page = await person.authorize("contoso", headers=header)
    granted = await person.submit(page, "sign_in", username="alex@contoso.example", password="correct horse")
    assert "code" in answer(granted)


async def test_program_brings_its_device_to_a_visited_tenant(world: World, browser: Browser, key: ECKey) -> None:
    """The daemon's way: session credential and proof in headers; the visited tenant trusts what home says."""
    device = await enroll(world, browser, key)
    await change(world, device["id"], trustType="ServerAd")
    home = await browser.signed_in("contoso", prompt="login")
    await restrict(world, policy(1, grant={"builtInControls": ["domainJoinedDevice"]}), trust=True)
    browser.http.cookies.clear()
    credential = {"x-session-credential": home["session_credential"]}
    refused = answer(await browser.authorize("fabrikam", headers=credential, prompt="none"))
    assert "AADSTS53001" in refused["error_description"]
    header = credential | device_proof(world, device["id"], key, await nonce(browser))
    assert "code" in answer(await browser.authorize("fabrikam", headers=header, prompt="none"))
    assert "code" in answer(await browser.authorize("fabrikam", headers=credential, prompt="none"))
    replayed = answer(await browser.authorize("fabrikam", headers=header, prompt="none"))
    assert "AADSTS50155" in replayed["error_description"]


@pytest.mark.parametrize("lie", ["audience", "nonce", "old", "key", "device", "algorithm", "garbage", "long"])
async def test_proofs_that_prove_nothing(world: World, browser: Browser, key: ECKey, lie: str) -> None:
    """AADSTS50155, whatever is wrong, and no session has the device."""
    device = await enroll(world, browser, key)
    home = await browser.signed_in("contoso", prompt="login")
    fresh = await nonce(browser)
    if lie == "old":
        world.clock.now += 301
    good: dict[str, Any] = {"nonce_text": fresh, "key": key, "device_id": device["id"]}
    changes: dict[str, Any] = {
        "audience": {"aud": "https://idp.test.evil.example"}, "nonce": {"nonce": "1~x.y"},
        "key": {"key": ECKey.generate_key("P-256")}, "device": {"device_id": CONTOSO},
    }.get(lie, {})
    header = device_proof(world, **(good | changes))
    if lie == "algorithm":
        header = {"x-device-proof": "eyJhbGciOiJub25lIn0." + header["x-device-proof"].split(".")[1] + "."}
    if lie in ("garbage", "long"):
        header = {"x-device-proof": "a.b.c" if lie == "garbage" else "a" * 3000}
    header["x-session-credential"] = home["session_credential"]
    refused = answer(await browser.authorize("contoso", headers=header, prompt="none"))
    assert refused["error_description"].startswith("AADSTS50155")


async def test_enrolment_refuses_what_is_no_public_key(world: World, browser: Browser, key: ECKey) -> None:
    """Private keys, other curves, wrong types, unknown members, stale tokens, other tenants' tokens, and guests."""
    tokens = await browser.signed_in("contoso", scope=f"openid {ENROLMENT_SCOPE}")
    headers = bearer(tokens["access_token"])
    public = key.as_dict(private=False)
    bodies: list[Any] = [
        {}, [], None, {"jwk": "x"}, {"jwk": key.as_dict(private=True)}, {"jwk": public | {"crv": "P-384"}},
        {"jwk": public | {"x": "AA"}}, {"jwk": public, "displayName": 7}, {"jwk": public, "displayName": "a\nb"},
        {"jwk": public, "isCompliant": True}, {"jwk": public, "displayName": "x" * 257},
    ]
    for body in bodies:
        response = await browser.http.post("/contoso/devices/v1/enroll", json=body, headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (400, "malformed_request"), body
    good = {"jwk": public}
    assert (await browser.http.post("/fabrikam/devices/v1/enroll", json=good, headers=headers)).status_code == 403
    assert (await browser.http.post("/contoso/devices/v1/enroll", json=good)).status_code == 401
    guest = await browser.signed_in("fabrikam", prompt="login", scope=f"openid {ENROLMENT_SCOPE}")
    refused = await browser.http.post(
        "/fabrikam/devices/v1/enroll", json=good, headers=bearer(guest["access_token"])
    )
    assert refused.json()["error"]["code"] == "not_home_tenant"
    world.clock.now += 301
    assert (await browser.http.post("/contoso/devices/v1/enroll", json=good, headers=headers)).status_code == 401
    assert (await browser.http.post("/nowhere/devices/v1/nonce")).status_code == 404


async def test_registering_a_device_is_put_through_the_policies(world: World, browser: Browser, key: ECKey) -> None:
    """A policy for the user action asks for a second factor that the session has not used."""
    tokens = await browser.signed_in("contoso", scope=f"openid {ENROLMENT_SCOPE}")
    conditions = {"applications": {"includeUserActions": ["urn:user:registerdevice"]}}
    await restrict(world, policy(1, grant={"builtInControls": ["mfa"]}, conditions=conditions))
    refused = await browser.http.post(
        "/contoso/devices/v1/enroll", json={"jwk": key.as_dict(private=False)}, headers=bearer(tokens["access_token"])
    )
    assert (refused.status_code, refused.json()["error"]["message"][:12]) == (403, "AADSTS50079:")
    await restrict(world)
    assert (await enroll(world, browser, key))["trustType"] == "Workplace"


async def test_device_of_another_organization_is_not_taken(world: World, browser: Browser, key: ECKey) -> None:
    """Contoso's device says nothing of Tailspin's people: not with their session, and not before they sign in."""
    device = await enroll(world, browser, key)
    await change(world, device["id"], isCompliant=True)
    document = directory()
    document["tenants"][3] |= {
        "users": [
            {"oid": BOB, "upn": "tina@tailspin.example", "display_name": "Tina", "password_hash": password_hash()},
        ],
        "objects": {"conditionalAccessPolicy": [policy(1, grant=COMPLIANT)]},
    }
    world.write_directory(document)
    assert world.provider is not None
    assert await world.provider.refresh()
    tina = world.browser()
    page = await tina.authorize("tailspin", headers=device_proof(world, device["id"], key, await nonce(tina)))
    page = await tina.submit(page, "sign_in", username="tina@tailspin.example", password="correct horse")
    assert "managed devices only" in page.text
    header = device_proof(world, device["id"], key, await nonce(tina))
    assert "AADSTS50155" in answer(await tina.authorize("tailspin", headers=header))["error_description"]
