"""Replays of the home tenant: its people's visits elsewhere under its own candidate, and nothing of the other's."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.idp.administration.test_policy_code import BLOCKED, partner
from tests.integration.idp.graph.admin import Admin, administrator, store
from tests.integration.idp.world import ALEX_F, BOB, CONTOSO, FABRIKAM, WIKI_F, WOODGROVE, World, scope_of
from tunneld.policy.kinds import KINDS

REPLAY = "/v1.0/policies/replay"
SECRET = "Nobody from outside"  # the name of a policy of the visited tenant
POLICY = {
    "id": "abcdabcd-0000-4000-8000-000000000001", "displayName": SECRET, "state": "enabled",
    "conditions": {"applications": {"includeApplications": ["All"]}, "users": {"includeUsers": ["All"]}},
    "grantControls": {"operator": "OR", "builtInControls": ["block"]},
}


async def asked(admin: Admin, *candidate: Any) -> Any:
    response = await admin.send("POST", REPLAY, {"candidate": list(candidate)})
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_home_sees_whom_its_outbound_settings_would_stop(world: World) -> None:
    """People, tenants and the visited application's id, and sign-ins that its own log has."""
    admin = await administrator(world)
    await world.browser().sign_in("fabrikam", scope=scope_of(WIKI_F))
    await world.browser().sign_in("fabrikam", user="bob@contoso.example", scope=scope_of(WIKI_F))
    found = await asked(admin, partner(FABRIKAM, b2bCollaborationOutbound=BLOCKED))
    rows = {(row["change"], row["userPrincipalName"], row["tenant"], row["application"]) for row in found["value"]}
    assert rows == {
        ("loses", "alex@contoso.example", "fabrikam", WIKI_F),
        ("refusedOtherwise", "bob@contoso.example", "fabrikam", WIKI_F),
    }
    before = {row["userPrincipalName"]: row["before"] for row in found["value"]}
    assert before["bob@contoso.example"] == "AADSTS50020 in the other tenant"
    assert all(row["after"].startswith("AADSTS500212 at S4 home outbound in contoso") for row in found["value"])
    log = {row["id"] for row in (await admin.get("/v1.0/auditLogs/signIns"))["value"]}
    assert {each for row in found["value"] for each in row["signIns"]} <= log
    assert (await asked(admin))["value"] == []
    assert (await asked(admin, partner(WOODGROVE, b2bCollaborationOutbound=BLOCKED)))["value"] == []


async def test_what_the_visited_tenant_decides_stays_its_own(world: World) -> None:
    """A candidate that would open the way meets the other's policy: that it refuses is all that is said of it."""
    admin = await administrator(world)
    other = await administrator(world, tenant=FABRIKAM, oid=ALEX_F)
    closed = (await admin.send("POST", "/v1.0/policies/crossTenantAccessPolicy/partners", {
        "tenantId": FABRIKAM, "b2bCollaborationOutbound": BLOCKED,
    }))
    assert closed.status_code == 201, closed.text
    await world.browser().sign_in("fabrikam", scope=scope_of(WIKI_F))
    value = KINDS["conditionalAccessPolicy"].model.model_validate(POLICY)
    await store(world, "conditionalAccessPolicy", str(POLICY["id"]), value, tenant=FABRIKAM)
    opened = {"usersAndGroups": {"accessType": "allowed", "targets": [{"target": "AllUsers", "targetType": "user"}]},
              "applications": {"accessType": "allowed",
                               "targets": [{"target": "AllApplications", "targetType": "application"}]}}
    found = await asked(admin, partner(FABRIKAM, b2bCollaborationOutbound=opened))
    (row,) = found["value"]
    assert (row["change"], row["after"]) == ("refusedOtherwise", "AADSTS53003 in the other tenant")
    text = json.dumps(found)
    assert SECRET not in text
    assert str(POLICY["id"]) not in text
    assert "S9" not in text
    # The visited tenant, for its part, is told of its own settings, and of the home's only that they decide.
    assert (await asked(other, partner(CONTOSO, b2bCollaborationInbound=BLOCKED)))["value"] == []


async def test_a_third_tenant_and_a_sweep_leave_nothing(world: World) -> None:
    """Who is neither home nor visited replays nothing of it, and old questions go with the log."""
    admin = await administrator(world)
    other = await administrator(world, tenant=FABRIKAM, oid=ALEX_F)
    await world.browser().sign_in("woodgrove")
    assert (await asked(other))["summary"]["signInsReplayed"] == 0
    assert (await asked(admin))["summary"]["signInsReplayed"] >= 1
    assert (await asked(Admin.mint(world, CONTOSO)))["summary"]["signInsReplayed"] >= 1
    assert (await Admin.mint(world, CONTOSO, BOB).send("POST", REPLAY, {})).status_code == 403
    assert world.provider is not None
    await world.provider.records.sweep(int(world.clock()) + 5)
    assert (await asked(admin))["summary"]["signInsReplayed"] == 0
