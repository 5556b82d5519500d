"""Second factors, devices and policies for the tests of the conversation."""

from __future__ import annotations

import base64
import re
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.integration.idp.world import BASE, ENROLMENT_SCOPE, Browser, World, bearer
from tunneld.idp.totp import code_at

TERMS = "abcdabcd-0000-4000-8000-000000000001"


def policy(number: int, *, grant: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return a policy for everybody and everything, as Graph has it."""
    conditions = {
        "users": {"includeUsers": ["All"]}, "applications": {"includeApplications": ["All"]}, "clientAppTypes": ["all"],
    } | more.pop("conditions", {})
    body: dict[str, Any] = {
        "id": f"abcdabcd-0000-4000-8000-0000000001{number:02}", "displayName": f"Policy {number}", "state": "enabled",
        "conditions": conditions, **more,
    }
    if grant is not None:
        body["grantControls"] = {"operator": "OR", **grant}
    return body


MFA = {"builtInControls": ["mfa"]}


def seed_of(page: httpx.Response) -> bytes:
    """Return the key that a registration page shows."""
    found = re.search(r'<code id="seed">([A-Z2-7 ]+)</code>', page.text)
    assert found, page.text
    return base64.b32decode(found[1].replace(" ", ""))


def code_now(world: World, seed: bytes, *, steps: int = 0) -> str:
    return code_at(seed, int(world.clock.now) // 30 + steps)


async def enroll(world: World, browser: Browser, key: ECKey) -> dict[str, Any]:
    """Register a device for the user who is signed in to the browser at home."""
    tokens = await browser.signed_in("contoso", prompt="login", scope=f"openid {ENROLMENT_SCOPE}")
    body = {"jwk": key.as_dict(private=False), "displayName": "LAPTOP-1", "operatingSystem": "Linux"}
    response = await browser.http.post(
        "/contoso/devices/v1/enroll", json=body, headers=bearer(tokens["access_token"])
    )
    assert response.status_code == 201, response.text
    device: dict[str, Any] = response.json()
    return device


async def nonce(browser: Browser) -> str:
    value: str = (await browser.http.post("/contoso/devices/v1/nonce")).json()["nonce"]
    return value


def device_proof(world: World, device_id: str, key: ECKey, nonce_text: str, **changes: Any) -> dict[str, str]:
    """Return the header by which a device proves itself."""
    claims = {"aud": BASE, "nonce": nonce_text, "iat": int(world.clock.now)} | changes
    header = {"alg": "ES256", "typ": "device-proof+jwt", "kid": device_id}
    return {"x-device-proof": jwt.encode(header, claims, key, algorithms=["ES256"])}
