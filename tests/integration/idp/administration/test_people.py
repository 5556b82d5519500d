"""Signing people out, offboarding, access packages, reviews, ghosts and replay: over the API, to the next token."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.idp.administration.test_policy_code import BLOCKED, partner
from tests.integration.idp.graph.admin import Admin, administrator, error
from tests.integration.idp.world import (
    ALEX,
    ALEX_F,
    BOB,
    CONTOSO,
    FABRIKAM,
    VAULT,
    WIKI_F,
    Browser,
    Clock,
    World,
    answer,
    scope_of,
)
from tunneld.idp.administration.upkeep import sweep_assignments
from tunneld.policy.guests.governance import as_time

PACKAGES = "/v1.0/identityGovernance/entitlementManagement/accessPackages"
ASSIGNMENTS = "/v1.0/identityGovernance/entitlementManagement/assignments"
REVIEWS = "/v1.0/identityGovernance/accessReviews/definitions"
GHOSTS = "/v1.0/reports/ghostGuests"
REPLAY = "/v1.0/policies/replay"
DAY = 86400


async def refreshed(browser: Browser, tenant: str, token: str) -> tuple[int, str]:
    """Return status and first words of a refresh."""
    response = await browser.refresh(tenant, token, scope="openid offline_access")
    return response.status_code, response.json().get("error_description", "")[:12]


async def assign(admin: Admin, application: str, user: str, **times: Any) -> dict[str, Any]:
    made = await admin.send("POST", PACKAGES, {"displayName": "Kit", "applications": [application]})
    assert made.status_code == 201, made.text
    body = {"accessPackageId": made.json()["id"], "targetId": user, **times}
    given = await admin.send("POST", ASSIGNMENTS, body)
    assert given.status_code == 201, given.text
    found: dict[str, Any] = given.json()
    return found


async def test_offboarding_takes_effect_at_once(world: World) -> None:
    """The next refresh fails, the session is no use, the assignment is gone: one commit, one correlation id."""
    admin = await administrator(world)
    browser = world.browser()
    tokens = await browser.signed_in("contoso", user="bob@contoso.example")
    await assign(admin, VAULT, BOB)
    done = await admin.send("POST", f"/v1.0/users/{BOB}/offboard")
    assert (done.status_code, done.json()["assignmentsRemoved"]) == (200, 1)
    assert (await refreshed(browser, "contoso", tokens["refresh_token"]))[0] == 400
    silent = answer(await browser.authorize("contoso", prompt="none"))
    assert "error" in silent
    assert (await admin.get(f"/v1.0/users/{BOB}"))["accountEnabled"] is False
    assert (await admin.get(ASSIGNMENTS))["value"] == []
    records = [line for line in await admin.audits(world) if any(t["id"] == BOB for t in line["targetResources"])]
    mine = [line for line in records if line["activityDisplayName"] in (
        "Disable account", "Update StsRefreshTokenValidFrom Timestamp", "Remove access package assignment"
    )]
    assert len(mine) == 3
    assert len({line["correlationId"] for line in mine}) == 1
    assert BOB not in done.headers.get("location", "")


async def test_an_offboarded_guest_is_out_of_this_tenant_only(world: World) -> None:
    """Home is another tenant's business."""
    admin = await administrator(world, tenant=FABRIKAM, oid=ALEX_F)
    await administrator(world)
    other = await administrator(world, tenant=FABRIKAM, oid=ALEX_F)
    assert error(await other.send("POST", f"/v1.0/users/{ALEX_F}/offboard")) == (400, "ownAccount")
    browser = world.browser()
    at_home = await browser.signed_in("contoso")
    away = (await browser.redeem("fabrikam", answer(await browser.authorize("fabrikam"))["code"])).json()
    home_admin = Admin.mint(world, CONTOSO, ALEX)
    assert admin.token
    assert home_admin.token
    revoked = await admin.send("POST", f"/v1.0/users/{ALEX_F}/revokeSignInSessions")
    assert (revoked.status_code, revoked.json()["value"]) == (200, True)
    assert (await refreshed(browser, "fabrikam", away["refresh_token"])) == (400, "AADSTS50173:")
    assert (await refreshed(browser, "contoso", at_home["refresh_token"]))[0] == 200


async def test_revoked_sessions_end_and_a_fresh_sign_in_works(world: World, clock: Clock) -> None:
    """Also a sign-in of the very second of the revocation is over."""
    admin = await administrator(world)
    browser = world.browser()
    tokens = await browser.signed_in("contoso", user="bob@contoso.example")
    assert (await admin.send("POST", "/v1.0/users/bob@contoso.example/revokeSignInSessions")).status_code == 200
    assert (await refreshed(browser, "contoso", tokens["refresh_token"])) == (400, "AADSTS50173:")
    clock.now += 2
    again = await world.browser().signed_in("contoso", user="bob@contoso.example")
    assert (await refreshed(browser, "contoso", again["refresh_token"]))[0] == 200


async def test_an_assignment_opens_an_application_for_its_time(world: World, clock: Clock) -> None:
    """Judged at each token; the sweep only tidies up, with a record."""
    admin = await administrator(world)

    async def may() -> bool:
        reply = answer(await world.browser().sign_in("contoso", user="bob@contoso.example", scope=scope_of(VAULT)))
        return "code" in reply

    assert not await may()
    given = await assign(admin, VAULT, BOB, expirationDateTime=as_time(int(clock.now) + DAY))
    assert await may()
    clock.now += DAY
    assert not await may()
    later = Admin.mint(world)
    assert [one["id"] for one in (await later.get(ASSIGNMENTS))["value"]] == [given["id"]]
    assert world.provider is not None
    assert await sweep_assignments(world.provider) == 1
    assert await sweep_assignments(world.provider) == 0
    assert (await later.get(ASSIGNMENTS))["value"] == []
    assert "Access package assignment expired" in [one["activityDisplayName"] for one in await later.audits(world)]


async def test_ghosts_come_from_the_sign_in_log(world: World, clock: Clock) -> None:
    """Whoever signs in is none, until time has passed."""
    admin = await administrator(world, tenant=FABRIKAM, oid=ALEX_F)
    (ghost,) = (await admin.get(f"{GHOSTS}?days=30"))["value"]
    assert (ghost["id"], ghost["lastSignInDateTime"], ghost["daysSinceLastSignIn"]) == (ALEX_F, None, None)
    await world.browser().signed_in("fabrikam")
    assert (await admin.get(f"{GHOSTS}?days=30"))["value"] == []
    clock.now += 31 * DAY
    (ghost,) = (await Admin.mint(world, FABRIKAM, ALEX_F).get(f"{GHOSTS}?days=30"))["value"]
    assert ghost["daysSinceLastSignIn"] == 31


@pytest.mark.parametrize("days", ["0", "-1", "x", "3651", "99999999999999999999", "1.5", ""])
async def test_a_strange_number_of_days(world: World, days: str) -> None:
    """A sentence, and no report."""
    admin = await administrator(world)
    assert error(await admin.send("GET", f"{GHOSTS}?days={days}")) == (400, "BadRequest")


async def test_a_review_removes_whom_it_denies(world: World) -> None:
    """Applied once, in one commit; the guest is gone from the next sign-in on, and can be restored."""
    admin = await administrator(world, tenant=FABRIKAM, oid=ALEX_F)
    made = await admin.send("POST", REVIEWS, {"displayName": "Guests", "defaultDecision": "Recommendation"})
    assert made.status_code == 201, made.text
    review = made.json()
    assert [(line["principalId"], line["recommendation"]) for line in review["decisions"]] == [(ALEX_F, "Deny")]
    kept = [{**line, "decision": "Approve", "justification": "Ours."} for line in review["decisions"]]
    changed = await admin.send("PATCH", f"{REVIEWS}/{review['id']}", {"decisions": kept})
    assert changed.status_code in (200, 204), changed.text
    applied = await admin.send("POST", f"{REVIEWS}/{review['id']}/applyDecisions")
    assert applied.json() == {"removed": [], "kept": 1}
    assert error(await admin.send("POST", f"{REVIEWS}/{review['id']}/applyDecisions")) == (409, "reviewApplied")
    again = (await admin.send("POST", REVIEWS, {"displayName": "Guests", "defaultDecision": "Deny"})).json()
    applied = await admin.send("POST", f"{REVIEWS}/{again['id']}/applyDecisions")
    assert applied.json() == {"removed": [ALEX_F], "kept": 0}
    refused = answer(await world.browser().sign_in("fabrikam", scope=scope_of(WIKI_F)))
    assert "AADSTS50020" in refused["error_description"]
    assert world.provider is not None
    assert world.provider.directory.tenants[FABRIKAM].object("deletedUser", ALEX_F) is not None


async def test_a_replay_names_exactly_those_whom_a_candidate_hits(world: World) -> None:
    """And nobody when the candidate is the policy in force."""
    admin = await administrator(world, tenant=FABRIKAM, oid=ALEX_F)
    await world.browser().sign_in("fabrikam", scope=scope_of(WIKI_F))
    await world.browser().sign_in("fabrikam", user="bob@contoso.example", scope=scope_of(WIKI_F))
    same = (await admin.send("POST", REPLAY, {})).json()
    assert same["value"] == []
    assert same["summary"]["signInsReplayed"] == same["summary"]["signInsUnchanged"] >= 2
    candidate = [partner(CONTOSO, b2bCollaborationInbound=BLOCKED)]
    found = (await admin.send("POST", REPLAY, {"candidate": candidate})).json()
    rows = {(row["change"], row["userPrincipalName"], row["application"]) for row in found["value"]}
    assert rows == {
        ("loses", "alex@contoso.example", "Wiki"), ("refusedOtherwise", "bob@contoso.example", "Wiki"),
    }
    assert {row["after"].split(" in ")[0] for row in found["value"]} == {"AADSTS500213 at S5 resource inbound"}
    future = await admin.send("POST", REPLAY, {"candidate": candidate, "since": "2999-01-01T00:00:00Z"})
    assert future.json()["summary"]["signInsReplayed"] == 0
    assert error(await admin.send("POST", REPLAY, {"since": "yesterday"})) == (400, "BadRequest")


async def test_none_of_it_is_for_everybody(world: World) -> None:
    """Each call names its permission."""
    await administrator(world)
    nobody = Admin.mint(world, CONTOSO, BOB)
    for method, path, body in (
        ("POST", f"/v1.0/users/{ALEX}/offboard", None), ("POST", f"/v1.0/users/{ALEX}/revokeSignInSessions", None),
        ("GET", GHOSTS, None), ("POST", REVIEWS, {"displayName": "x"}), ("POST", PACKAGES, {"displayName": "x"}),
        ("GET", ASSIGNMENTS, None), ("POST", REPLAY, {}),
    ):
        assert error(await nobody.send(method, path, body)) == (403, "Authorization_RequestDenied"), path
    admin = Admin.mint(world)
    assert error(await admin.send("POST", f"/v1.0/users/{FABRIKAM}/offboard"))[0] == 404
    assert error(await admin.send("POST", f"{REVIEWS}/{FABRIKAM}/applyDecisions"))[0] == 404
