"""Second factors, devices and policies for the tests of the conversation."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.integration.idp.world import BASE, ENROLMENT_SCOPE, PASSWORD, Browser, World, bearer
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


@dataclass
class Authenticator:
    """A passkey authenticator in software (WebAuthn §6): it signs what it is told, also what no honest one would."""

    rp_id: str = "idp.test"
    origin: str = BASE
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    handle: bytes = b""
    count: int = 0
    flags: int = 0x05  # user present, user verified

    def create(self, page: httpx.Response) -> str:
        """Answer the page's request for a new passkey."""
        options = options_of(page)
        self.handle = unb64(options["user"]["id"])
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        attested = bytes(16) + len(self.credential_id).to_bytes(2) + self.credential_id + cbor2.dumps(cose)
        data = self._data(self.flags | 0x40) + attested
        answer = {
            "clientDataJSON": b64(self._client_data("webauthn.create", options["challenge"])),
            "attestationObject": b64(cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})),
        }
        return self._credential(answer)

    def get(self, page: httpx.Response) -> str:
        """Answer the page's request for a signature."""
        self.count += 1
        client_data = self._client_data("webauthn.get", options_of(page)["challenge"])
        data = self._data(self.flags)
        signature = self.key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(hashes.SHA256()))
        answer = {
            "clientDataJSON": b64(client_data), "authenticatorData": b64(data), "signature": b64(signature),
            "userHandle": b64(self.handle),
        }
        return self._credential(answer)

    def _data(self, flags: int) -> bytes:
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + self.count.to_bytes(4)

    def _client_data(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}).encode()

    def _credential(self, answer: dict[str, str]) -> str:
        own = b64(self.credential_id)
        return json.dumps({"id": own, "rawId": own, "type": "public-key", "response": answer})


def options_of(page: httpx.Response) -> dict[str, Any]:
    """Return the options that a passkey page hands to its script."""
    found = re.search(r'data-options="([^"]*)"', page.text)
    assert found, page.text
    options: dict[str, Any] = json.loads(html.unescape(found[1]))
    return options


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def add_passkey(browser: Browser, authenticator: Authenticator, user: str = "alex@contoso.example") -> None:
    """Register a passkey on the security info page, with a password sign-in."""
    page = await browser.http.get("/contoso/mysecurityinfo")
    page = await browser.submit(page, "sign_in", username=user, password=PASSWORD)
    page = await browser.submit(page, "add_passkey")
    page = await browser.submit(page, "passkey_register", credential=authenticator.create(page))
    assert "The passkey was added." in page.text
