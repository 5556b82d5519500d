"""Client certificates for the tunnel, tokens bound to their keys, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.integration.idp.world import (
    ALEX,
    CONTOSO,
    ENROLMENT_SCOPE,
    PRIVATE,
    Browser,
    World,
    bearer,
    claims,
    scope_of,
)
from tunneld.wire.x509 import jwk_thumbprint, make_csr, read_client_identity, signed_by

URL = f"/{CONTOSO}/tunnel/v1/certificate"


def csr_of(key: Any) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


async def test_certificate_and_bound_tokens(world: World, browser: Browser) -> None:
    """A key is certified for (tenant, user); after that, and only then, tokens may be bound to it."""
    body = await browser.signed_in("contoso", scope=ENROLMENT_SCOPE)
    key = ec.generate_private_key(ec.SECP256R1())
    thumbprint = jwk_thumbprint(key.public_key())
    early = await browser.refresh("contoso", body["refresh_token"], scope=scope_of(PRIVATE), cnf_jkt=thumbprint)
    assert early.json()["error"] == "invalid_request"
    csr = make_csr(key).decode()
    response = await browser.http.post(URL, json={"csr": csr}, headers=bearer(body["access_token"]))
    assert response.status_code == 200, response.text
    issued = response.json()
    assert issued["thumbprint"] == thumbprint
    leaf, authority = x509.load_pem_x509_certificates(issued["certificate"].encode())
    assert signed_by(leaf.public_bytes(serialization.Encoding.PEM), issued["ca"].encode())
    assert authority.public_bytes(serialization.Encoding.PEM).decode() == issued["ca"]
    identity = read_client_identity(leaf.public_bytes(serialization.Encoding.DER))
    assert (identity.tenant_id, identity.oid, identity.jkt) == (CONTOSO, ALEX, thumbprint)
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).total_seconds() <= 8 * 3600
    bound = await browser.refresh("contoso", body["refresh_token"], scope=scope_of(PRIVATE), cnf_jkt=thumbprint)
    assert claims(bound.json()["access_token"])["cnf"] == {"jkt": thumbprint}
    world.clock.now += 8 * 3600
    late = await browser.refresh("contoso", bound.json()["refresh_token"], scope=scope_of(PRIVATE), cnf_jkt=thumbprint)
    assert late.json()["error_codes"] == [700030]
    assert {"key": "thumbprint", "value": thumbprint} in world.lines("audit.jsonl")[0]["additionalDetails"]


async def test_key_of_another_user_binds_nothing(browser: Browser) -> None:
    """A key certified for one user is unknown for another, and in another tenant."""
    body = await browser.signed_in("contoso", scope=ENROLMENT_SCOPE)
    key = ec.generate_private_key(ec.SECP256R1())
    await browser.http.post(URL, json={"csr": make_csr(key).decode()}, headers=bearer(body["access_token"]))
    thumbprint = jwk_thumbprint(key.public_key())
    bob = await browser.signed_in("contoso", user="bob@contoso.example", prompt="login")
    guest = await browser.signed_in("fabrikam", prompt="login")
    for tenant, other in (("contoso", bob), ("fabrikam", guest)):
        refused = await browser.refresh(tenant, other["refresh_token"], cnf_jkt=thumbprint)
        assert refused.json()["error_codes"] == [700030]


def _tampered() -> str:
    good = make_csr(ec.generate_private_key(ec.SECP256R1())).decode()
    at = good.index("\n") + 60
    return good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :]


@pytest.mark.parametrize(
    "make",
    [
        lambda: csr_of(rsa.generate_private_key(65537, 2048)), lambda: csr_of(ec.generate_private_key(ec.SECP384R1())),
        _tampered, lambda: "", lambda: "x", lambda: "\x00", lambda: "\ud800", lambda: None, lambda: 5, lambda: ["x"],
        lambda: "-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----", lambda: "A" * 20_000,
    ],
)
async def test_bad_requests_for_certificates(browser: Browser, make: Any) -> None:
    """Only a P-256 request signed by its own key is certified."""
    token = (await browser.signed_in("contoso", scope=ENROLMENT_SCOPE))["access_token"]
    response = await browser.http.post(URL, content=json.dumps({"csr": make()}), headers=bearer(token))
    assert (response.status_code, response.json()["error"]["code"]) == (400, "malformed_request")


async def test_bad_bodies_and_tokens(world: World, browser: Browser) -> None:
    """The body is a JSON object; the token is fresh, unbound, of this tenant and for enrolment."""
    body = await browser.signed_in("contoso", scope=ENROLMENT_SCOPE)
    headers = bearer(body["access_token"])
    for content in (b"", b"[]", b"null", b"{", b"[" * 30_000, b"\xff\xfe", b'{"csr":1}'):
        response = await browser.http.post(URL, content=content, headers=headers)
        assert response.status_code == 400, content
    csr = {"csr": make_csr(ec.generate_private_key(ec.SECP256R1())).decode()}
    elsewhere = await browser.http.post("/fabrikam/tunnel/v1/certificate", json=csr, headers=headers)
    assert (elsewhere.status_code, elsewhere.json()["error"]["code"]) == (403, "token_tenant")
    other = (await browser.refresh("contoso", body["refresh_token"], scope=scope_of(PRIVATE))).json()["access_token"]
    assert (await browser.http.post(URL, json=csr, headers=bearer(other))).status_code == 401
    world.clock.now += 301
    stale = await browser.http.post(URL, json=csr, headers=headers)
    assert (stale.status_code, stale.json()["error"]["code"]) == (401, "token_not_fresh")


async def test_tenant_without_authority(browser: Browser) -> None:
    """A tenant that has no certificate authority says so."""
    page = await browser.sign_in("woodgrove", scope=ENROLMENT_SCOPE)
    code = (await browser.submit(page, "consent")).headers["location"].split("code=")[1].split("&")[0]
    token = (await browser.redeem("woodgrove", code)).json()["access_token"]
    csr = {"csr": make_csr(ec.generate_private_key(ec.SECP256R1())).decode()}
    response = await browser.http.post("/woodgrove/tunnel/v1/certificate", json=csr, headers=bearer(token))
    assert (response.status_code, response.json()["error"]["code"]) == (404, "no_authority")
