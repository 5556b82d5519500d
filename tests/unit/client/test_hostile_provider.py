"""A provider that answers anything at all: every call ends in a value or in Denied, and nothing else gets out."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tunneld.client.enrolment import DeviceKey, enrol
from tunneld.client.oidc import CLIENT_ID, Attempt, Metadata, Provider, identity_claims
from tunneld.client.ports import Denied
from tunneld.model.reasons import Reason

BASE = "https://idp.test"
TENANT = "11111111-1111-4111-8111-111111111111"
ISSUER = f"{BASE}/{TENANT}/v2.0"
AUTHORIZE, TOKEN, DEVICE = f"{BASE}/authorize", f"{BASE}/token", f"{BASE}/device"
DOCUMENT = {"issuer": ISSUER, "authorization_endpoint": AUTHORIZE, "token_endpoint": TOKEN}
METADATA = Metadata(ISSUER, TENANT, AUTHORIZE, TOKEN, DEVICE, None, True)
ATTEMPT = Attempt("state", "nonce", "verifier")
CLAIMS = {"iss": ISSUER, "aud": CLIENT_ID, "tid": TENANT, "oid": "o", "nonce": "nonce"}
GRANT = {"access_token": "a", "expires_in": 60}
CODE = {"device_code": "d", "user_code": "u", "verification_uri": f"{BASE}/type"}

Call = Callable[[Provider], Awaitable[object]]
CALLS: dict[str, Call] = {
    "metadata": lambda p: p.metadata("contoso"),
    "silent": lambda p: p.silent_code(METADATA, ATTEMPT, "session"),
    "redeem": lambda p: p.redeem_code(METADATA, ATTEMPT, "code", "http://127.0.0.1/callback"),
    "refresh": lambda p: p.refresh(METADATA, "r", "audience", None),
    "device": lambda p: p.device_authorization(METADATA),
    "poll": lambda p: p.device_poll(METADATA, "d"),
    "certificate": lambda p: p.certificate(TENANT, "csr", "t"),
    "tenants": lambda p: p.tenants("t"),
}
BODIES: dict[str, bytes] = {
    "deep list": b"[" * 100_000,
    "deep list, closed": b"[" * 50_000 + b"]" * 50_000,
    "deep object": b'{"error":' * 50_000,
    "deep enough for the parser, too deep for a reader": b'{"error":' * 400 + b"1" + b"}" * 400,
    "endless number": b'{"error":' + b"9" * 5_000 + b"}",
    "lone surrogate": json.dumps({"error": "\ud800", "error_description": "\udfff"}).encode(),
    "surrogate in a nested error": json.dumps({"error": {"code": "\ud800", "message": ["\ud800"]}}).encode(),
    "not a number": b'{"error": NaN}',
    "not UTF-8": b'{"error": "\xff\xfe"}',
    "odd types": json.dumps({"error": [], "value": {}, "access_token": 7, "certificate": 1, "ca": []}).encode(),
    "nothing": b"",
    "null": b"null",
}


async def denial(call: Call, answer: httpx.Response) -> Denied:
    provider = Provider(BASE, transport=httpx.MockTransport(lambda _: answer))
    try:
        with pytest.raises(Denied) as caught:
            await call(provider)
    finally:
        await provider.close()
    caught.value.detail.encode()  # it is written to logs and sockets
    return caught.value


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_malformed_body_is_a_denial(call: Call, body: bytes, status: int) -> None:
    assert (await denial(call, httpx.Response(status, content=body))).reason is not Reason.INTERNAL_ERROR


@pytest.mark.parametrize("name", [*DOCUMENT, "device_authorization_endpoint", "end_session_endpoint"])
@pytest.mark.parametrize(
    "value", [f"{BASE}/\n", f"{BASE}/\ud800", f"{BASE}/\x00", f"{BASE}/é", f"{BASE}/" + "a" * 70_000, 7, [], {}, True]
)
async def test_an_endpoint_that_is_no_address_is_refused_with_its_document(name: str, value: Any) -> None:
    answer = httpx.Response(200, content=json.dumps(DOCUMENT | {name: value}).encode())
    assert (await denial(CALLS["metadata"], answer)).reason is Reason.LOGIN_FAILED


@pytest.mark.parametrize("endpoint", [f"{BASE}/\n", f"{BASE}/\ud800", f"{BASE}/" + "a" * 70_000, 7])
async def test_an_address_that_cannot_be_asked_is_an_outage(endpoint: Any) -> None:
    broken = METADATA._replace(token_endpoint=endpoint)
    answer = await denial(lambda p: p.refresh(broken, "r", "audience", None), httpx.Response(200, json=GRANT))
    assert answer.reason is Reason.IDP_UNREACHABLE


@pytest.mark.parametrize("name", ["access_token", "refresh_token", "id_token", "session_credential"])
@pytest.mark.parametrize("value", [7, ["a"], {"a": 1}, True, "a\r\nb", "é", "\ud800"])
async def test_a_credential_that_cannot_be_sent_is_refused(name: str, value: Any) -> None:
    answer = httpx.Response(200, content=json.dumps(GRANT | {name: value}).encode())
    assert (await denial(CALLS["refresh"], answer)).reason is Reason.LOGIN_FAILED


@pytest.mark.parametrize(
    ("lifetime", "expected"),
    [("9" * 400, 366 * 86_400.0), ("1e999", 366 * 86_400.0), ("-1", 0.0), ('"x"', 0.0), ("true", 0.0), ("60", 60.0)],
)
async def test_a_lifetime_is_a_sensible_number(lifetime: str, expected: float) -> None:
    body = b'{"access_token": "a", "expires_in": %s}' % lifetime.encode()
    provider = Provider(BASE, transport=httpx.MockTransport(lambda _: httpx.Response(200, content=body)))
    assert (await provider.refresh(METADATA, "r", "audience", None)).expires_in == expected
    await provider.close()


@pytest.mark.parametrize(
    ("member", "value", "interval", "lifetime"),
    [
        ("interval", "soon", 5.0, 900.0),
        ("interval", -1, 5.0, 900.0),
        ("interval", 0, 1.0, 900.0),
        ("interval", 10**400, 60.0, 900.0),
        ("expires_in", "late", 5.0, 900.0),
        ("expires_in", [], 5.0, 900.0),
        ("expires_in", 60, 5.0, 60.0),
    ],
)
async def test_a_device_code_has_sensible_times(member: str, value: Any, interval: float, lifetime: float) -> None:
    answer = httpx.Response(200, json=CODE | {member: value})
    provider = Provider(BASE, transport=httpx.MockTransport(lambda _: answer))
    started = await provider.device_authorization(METADATA)
    assert (started.interval_s, started.expires_in_s) == (interval, lifetime)
    await provider.close()


@pytest.mark.parametrize("member", ["device_code", "user_code", "verification_uri", "verification_uri_complete"])
async def test_a_device_code_is_made_of_texts(member: str) -> None:
    assert (await denial(CALLS["device"], httpx.Response(200, json=CODE | {member: 7}))).reason is Reason.LOGIN_FAILED


@pytest.mark.parametrize(
    "payload",
    [b"[" * 100_000, b'{"a":' * 50_000, json.dumps(CLAIMS | {"nonce": "\ud800"}).encode(), b"\xff", b"7", b"9" * 5_000],
)
async def test_an_identity_token_that_cannot_be_read_is_refused(payload: bytes) -> None:
    token = f"e30.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}.c2ln"
    with pytest.raises(Denied, match="login_failed"):
        identity_claims(token, METADATA)
    assert (await denial(CALLS["redeem"], httpx.Response(200, json=GRANT | {"id_token": token}))).reason is (
        Reason.LOGIN_FAILED
    )


async def test_an_entity_tag_that_headers_cannot_carry_is_not_kept() -> None:
    answer = httpx.Response(200, content=b"{}", headers=[(b"etag", b'"\xe9"')])
    provider = Provider(BASE, transport=httpx.MockTransport(lambda _: answer))
    assert await provider.profile("t", None) == ("{}", None)
    await provider.close()


@pytest.mark.parametrize(
    "broken", ["\ud800", "", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
@pytest.mark.parametrize("place", ["certificate", "ca"])
def test_a_certificate_that_cannot_be_read_is_refused(broken: str, place: str) -> None:
    good = "-----BEGIN CERTIFICATE-----\n"
    certificate, ca = (broken, good) if place == "certificate" else (good, broken)
    with pytest.raises(Denied) as caught:
        enrol(DeviceKey(), certificate, ca, None)
    assert caught.value.reason is Reason.CERTIFICATE_REFUSED
