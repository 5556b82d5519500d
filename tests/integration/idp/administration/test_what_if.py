"""What-if over the API: the decision of the next real sign-in, without any trace of having been asked."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.integration.idp.administration.test_policy_code import APPLY, BLOCKED, partner
from tests.integration.idp.graph.admin import Admin, administrator, error
from tests.integration.idp.world import ALEX, ALEX_F, BOB, CONTOSO, FABRIKAM, WIKI_F, WOODGROVE, World, answer, scope_of

WHAT_IF = "/v1.0/policies/whatIf"


async def ask(admin: Admin, candidate: list[dict[str, Any]] | None = None, **sign_in: Any) -> dict[str, Any]:
    asked = {"user": "alex@contoso.example", **sign_in}
    response = await admin.send("POST", WHAT_IF, {"signIn": asked, "candidate": candidate or []})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def fabrikam_steps(body: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(step["step"], step["effect"], step["rule"]) for step in body["decisionTrace"]]


async def test_it_says_what_the_next_sign_in_meets(world: World) -> None:
    """Before and after the partner is blocked for real."""
    admin = await administrator(world, tenant=FABRIKAM, oid=ALEX_F)
    before = await ask(admin, application="Wiki")
    assert (before["decision"], before["errorCode"]) == ("grant", 0)
    supposed = await ask(admin, [partner(CONTOSO, b2bCollaborationInbound=BLOCKED)], application="Wiki")
    assert supposed["decision"] == "grant"
    assert supposed["withCandidate"]["errorCode"] == 500213
    assert supposed["withCandidate"]["policyVersion"] != supposed["policyVersion"]
    done = await admin.send("POST", APPLY, {"changes": [partner(CONTOSO, b2bCollaborationInbound=BLOCKED)]})
    assert done.status_code == 200, done.text
    after = await ask(admin, application="Wiki")
    assert after["decisionTrace"] == supposed["withCandidate"]["decisionTrace"]
    browser = world.browser()
    refused = answer(await browser.sign_in("fabrikam", scope=scope_of(WIKI_F)))
    assert "AADSTS500213" in refused["error_description"]


async def test_asking_leaves_no_trace(world: World) -> None:
    """No file changes, no row, no record; the policy keeps its version."""
    admin = await administrator(world, tenant=FABRIKAM, oid=ALEX_F)
    assert world.provider is not None
    before, directory = fingerprints(world.root), world.provider.directory
    candidate = [partner(CONTOSO, b2bCollaborationInbound=BLOCKED)]
    first = await ask(admin, candidate, application="Wiki")
    assert await ask(admin, candidate, application="Wiki") == first
    assert fingerprints(world.root) == before
    assert world.provider.directory is directory


def fingerprints(root: Path) -> dict[str, str]:
    """What every file holds; SQLite's shared-memory index moves on reading."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*")) if path.is_file() and not path.name.endswith("-shm")
    }


async def test_each_side_sees_its_own_settings_only(world: World) -> None:
    """Of the other it learns that the account passed, or that it did not."""
    at_home = await administrator(world)
    visited = await administrator(world, tenant=FABRIKAM, oid=ALEX_F)
    blocked = await visited.send("POST", APPLY, {"changes": [partner(CONTOSO, b2bCollaborationInbound=BLOCKED)]})
    assert blocked.status_code == 200
    home_view = await ask(at_home, application="Wiki", tenant=FABRIKAM)
    own_view = await ask(visited, application="Wiki")
    assert home_view["errorCode"] == own_view["errorCode"] == 500213
    assert home_view["decidedBy"] == "AADSTS500213 in the other tenant"
    assert "S5" in own_view["decidedBy"]
    settings = {step["tenant"] for step in home_view["decisionTrace"] if "setting" in step or "policyVersion" in step}
    assert settings == {"contoso"}
    settings = {step["tenant"] for step in own_view["decisionTrace"] if "setting" in step or "policyVersion" in step}
    assert settings == {"fabrikam"}


@pytest.mark.parametrize(
    ("sign_in", "status", "code"),
    [
        ({"user": "nobody@contoso.example"}, 404, "unknownUser"), ({"user": ""}, 400, "BadRequest"),
        ({"user": "alex@contoso.example", "tenant": "nowhere"}, 404, "unknownTenant"),
        ({"user": "alex@contoso.example", "tenant": WOODGROVE}, 403, "foreignSignIn"),
        ({"user": "alex@contoso.example", "methodsAtHome": "password"}, 400, "BadRequest"),
        ({"user": "alex@contoso.example", "methodsAgeSeconds": -1}, 400, "BadRequest"),
        ({"user": "alex@contoso.example", "signInRiskLevel": "terrible"}, 400, "BadRequest"),
        ({"user": "alex@contoso.example", "methodsAtHome": ["telepathy"]}, 400, "BadRequest"),
        ({"user": "alex@contoso.example", "ipAddress": "999"}, 400, "BadRequest"),
        ({"user": "alex@contoso.example", "country": "Germany"}, 400, "BadRequest"),
        ({"user": "alex@contoso.example", "devicePlatform": "toaster"}, 400, "BadRequest"),
        ({"user": "alex@contoso.example", "clientAppType": "fax"}, 400, "BadRequest"),
        ({"user": "alex@contoso.example", "unknown": 1}, 400, "BadRequest"), ({}, 400, "BadRequest"),
    ],
)
async def test_bad_questions(world: World, sign_in: dict[str, Any], status: int, code: str) -> None:
    """Each with a sentence."""
    admin = await administrator(world, tenant=FABRIKAM, oid=ALEX_F)
    assert error(await admin.send("POST", WHAT_IF, {"signIn": sign_in})) == (status, code)


async def test_asking_needs_a_permission(world: World) -> None:
    """A guest without a role learns nothing about policies."""
    nobody = Admin.mint(world, CONTOSO, BOB)
    refused = await nobody.send("POST", WHAT_IF, {"signIn": {"user": "alex@contoso.example"}})
    assert error(refused) == (403, "Authorization_RequestDenied")
    assert ALEX not in refused.text


async def test_a_candidate_that_contradicts_itself_is_refused(world: World) -> None:
    """As it would be when saved."""
    admin = await administrator(world, tenant=FABRIKAM, oid=ALEX_F)
    half = {**BLOCKED, "applications": {**BLOCKED["applications"], "accessType": "allowed"}}
    question = {"signIn": {"user": ALEX_F}, "candidate": [partner(CONTOSO, b2bCollaborationInbound=half)]}
    assert error(await admin.send("POST", WHAT_IF, question)) == (400, "conflictingAccess")
