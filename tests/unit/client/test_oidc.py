"""Reading a provider's answers: what is believed, and the reason that each refusal becomes."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from tunneld.client.oidc import (
    CLIENT_ID,
    Attempt,
    Metadata,
    Provider,
    denied_by,
    identity_claims,
    read_answer,
    scope_of,
)
from tunneld.client.ports import Denied
from tunneld.model.reasons import Reason

BASE = "https://idp.test"
TENANT = "11111111-1111-4111-8111-111111111111"
ISSUER = f"{BASE}/{TENANT}/v2.0"
DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{BASE}/{TENANT}/authorize",
    "token_endpoint": f"{BASE}/{TENANT}/token",
    "authorization_response_iss_parameter_supported": True,
}
METADATA = Metadata(ISSUER, TENANT, DOCUMENT["authorization_endpoint"], f"{BASE}/{TENANT}/token", None, None, True)  # type: ignore[arg-type]
ATTEMPT = Attempt("state", "nonce", "verifier")


def id_token(**changes: Any) -> str:
    claims = {"iss": ISSUER, "aud": CLIENT_ID, "tid": TENANT, "oid": "o", "nonce": "nonce"} | changes
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{body}.c2ln"


def provider(*answers: httpx.Response) -> Provider:
    waiting = list(answers)
    return Provider(BASE, transport=httpx.MockTransport(lambda _: waiting.pop(0)))


@pytest.mark.parametrize(
    ("error", "description", "reason"),
    [
        ("access_denied", "AADSTS50105: not assigned to a role", Reason.APPLICATION_NOT_ASSIGNED),
        ("invalid_grant", "AADSTS50105: nope", Reason.APPLICATION_NOT_ASSIGNED),
        ("access_denied", "AADSTS50105: profile_not_assigned: no profile", Reason.PROFILE_NOT_ASSIGNED),
        ("interaction_required", "AADSTS50076: MFA", Reason.INTERACTION_REQUIRED),
        ("login_required", "", Reason.INTERACTION_REQUIRED),
        ("consent_required", "AADSTS65001", Reason.INTERACTION_REQUIRED),
        ("temporarily_unavailable", "", Reason.IDP_UNREACHABLE),
        ("access_denied", "AADSTS53003: blocked", Reason.LOGIN_FAILED),
        ("invalid_grant", "AADSTS50173", Reason.LOGIN_FAILED),
    ],
)
def test_an_oauth_error_becomes_a_reason(error: str, description: str, reason: Reason) -> None:
    assert denied_by(error, description).reason is reason


@pytest.mark.parametrize(
    ("error", "suberror", "reason"),
    [
        ("access_denied", "tenant_unknown", Reason.TENANT_UNKNOWN),
        ("access_denied", "conditional_access", Reason.CONDITIONAL_ACCESS),
        ("access_denied", "tenant_restricted", Reason.TENANT_RESTRICTED),
        ("access_denied", "completed", Reason.LOGIN_FAILED),  # a reason, but none for a refusal
        ("access_denied", "edge_unreachable", Reason.LOGIN_FAILED),  # may not pass for an outage
        ("access_denied", "no such reason", Reason.LOGIN_FAILED),
        ("invalid_grant", "conditional_access", Reason.LOGIN_FAILED),  # a fresh grant may still be had
        ("interaction_required", "conditional_access", Reason.INTERACTION_REQUIRED),
    ],
)
def test_the_stable_reason_refines_a_denial(error: str, suberror: str, reason: Reason) -> None:
    """The provider's own reason is the receipt's, where it is one of saying no."""
    assert denied_by(error, "sentence", "", suberror).reason is reason


def test_a_description_cannot_smuggle_lines_or_a_book_into_ours() -> None:
    detail = denied_by("access_denied", "a\r\nb\x1b[31m" + "x" * 1000).detail
    assert "\n" not in detail
    assert "\x1b" not in detail
    assert len(detail) <= 300


@pytest.mark.parametrize(
    ("query", "match"),
    [
        ({"state": "other", "code": "c", "iss": ISSUER}, "another request"),
        ({"code": "c", "iss": ISSUER}, "another request"),
        ({"state": "state", "code": "c", "iss": "https://evil/v2.0"}, "another issuer"),
        ({"state": "state", "code": "c"}, "another issuer"),
        ({"state": "state", "iss": ISSUER}, "no code"),
        ({"state": "state", "iss": ISSUER, "error": "interaction_required"}, "interaction_required"),
    ],
)
def test_an_answer_that_is_not_to_this_request_is_refused(query: dict[str, str], match: str) -> None:
    with pytest.raises(Denied, match=match):
        read_answer(METADATA, ATTEMPT, query)


def test_an_answer_without_issuer_passes_only_where_none_was_promised() -> None:
    silent = METADATA._replace(names_issuer=False)
    assert read_answer(silent, ATTEMPT, {"state": "state", "code": "c"}) == "c"
    with pytest.raises(Denied, match="another issuer"):
        read_answer(silent, ATTEMPT, {"state": "state", "code": "c", "iss": "https://evil/v2.0"})


@pytest.mark.parametrize(
    "token",
    [None, "", "a.b", "a.!!.c", id_token(iss="https://evil"), id_token(aud="x"), id_token(tid="x"), id_token(oid="")],
)
def test_an_identity_token_for_somebody_else_is_refused(token: str | None) -> None:
    with pytest.raises(Denied, match="login_failed"):
        identity_claims(token, METADATA)


def test_only_the_directory_is_asked_for_with_default() -> None:
    assert scope_of("00000003-0000-0000-c000-000000000000").endswith("/.default")
    assert scope_of("x") == "api://x/user_impersonation"


async def test_a_code_whose_identity_answers_another_request_is_refused() -> None:
    grant = {"access_token": "a", "expires_in": 60, "id_token": id_token(nonce="other")}
    asked = provider(httpx.Response(200, json=grant))
    with pytest.raises(Denied, match="nonce"):
        await asked.redeem_code(METADATA, ATTEMPT, "code", "http://127.0.0.1/callback")
    await asked.close()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(200, json={}), Reason.LOGIN_FAILED),
        (httpx.Response(200, json=DOCUMENT | {"issuer": "https://evil/v2.0"}), Reason.LOGIN_FAILED),
        (httpx.Response(200, json=DOCUMENT | {"token_endpoint": "https://evil/token"}), Reason.LOGIN_FAILED),
        (httpx.Response(200, json=DOCUMENT | {"issuer": f"{BASE}.evil/{TENANT}/v2.0"}), Reason.LOGIN_FAILED),
        (httpx.Response(200, text="<html>"), Reason.LOGIN_FAILED),
        (httpx.Response(404, json={"error": "invalid_tenant"}), Reason.LOGIN_FAILED),
        (httpx.Response(404), Reason.TENANT_UNKNOWN),
        (httpx.Response(503), Reason.IDP_UNREACHABLE),
    ],
)
async def test_metadata_must_name_the_provider_it_came_from(answer: httpx.Response, reason: Reason) -> None:
    asked = provider(answer)
    with pytest.raises(Denied) as caught:
        await asked.metadata("contoso")
    assert caught.value.reason is reason
    await asked.close()


async def test_metadata_is_asked_for_once_and_serves_name_and_id() -> None:
    asked = provider(httpx.Response(200, json=DOCUMENT))
    assert await asked.metadata("contoso") == await asked.metadata("contoso") == await asked.metadata(TENANT)
    assert asked.requests == 1
    await asked.close()


@pytest.mark.parametrize(
    ("status", "headers", "reason"),
    [
        (200, {}, Reason.INTERACTION_REQUIRED),
        (302, {"location": f"{BASE}/login"}, Reason.INTERACTION_REQUIRED),
        (303, {"location": "http://127.0.0.1/callback?state=state&iss=x&code=c"}, Reason.LOGIN_FAILED),
        (400, {}, Reason.LOGIN_FAILED),
    ],
)
async def test_a_silent_request_takes_nothing_but_a_redirect_to_us(
    status: int, headers: dict[str, str], reason: Reason
) -> None:
    asked = provider(httpx.Response(status, headers=headers))
    with pytest.raises(Denied) as caught:
        await asked.silent_code(METADATA, ATTEMPT, "session")
    assert caught.value.reason is reason
    await asked.close()


async def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunneld.client.oidc.MAX_BODY", 10)
    asked = provider(httpx.Response(200, text="x" * 11))
    with pytest.raises(Denied, match="too large"):
        await asked.metadata("contoso")
    await asked.close()


async def test_a_profile_answers_new_unchanged_or_none() -> None:
    asked = provider(
        httpx.Response(200, text="{}", headers={"etag": '"1"'}),
        httpx.Response(304),
        httpx.Response(404, json={"error": {"code": "no_profile", "message": "none"}}),
        httpx.Response(404, json={"error": {"code": "profile_not_assigned", "message": "not you"}}),
        httpx.Response(401, json={"error": {"code": "InvalidAuthenticationToken", "message": "old"}}),
    )
    assert await asked.profile("t", None) == ("{}", '"1"')
    assert await asked.profile("t", '"1"') is None
    for reason in (Reason.NO_PROFILE, Reason.PROFILE_NOT_ASSIGNED, Reason.LOGIN_FAILED):
        with pytest.raises(Denied) as caught:
            await asked.profile("t", None)
        assert caught.value.reason is reason
    await asked.close()
