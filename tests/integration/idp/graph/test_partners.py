"""Cross-tenant access settings over the API, from the request to the next token."""

from __future__ import annotations

import json

from tests.integration.idp.graph.admin import PARTNERS, Admin, administrator, error, give_role
from tests.integration.idp.world import ALEX_F, BOB, CONTOSO, FABRIKAM, STAFF, WIKI_F, World, scope_of
from tests.support.access_oracle import everything
from tunneld.policy.cross_tenant.effective import policy_id

ALL_TRUSTED = {
    "inboundTrust": {
        "isMfaAccepted": True, "isCompliantDeviceAccepted": True, "isHybridAzureADJoinedDeviceAccepted": True,
    }
}


async def test_trusting_a_partner(world: World) -> None:
    """The example of every introduction works as it is written there."""
    admin = await administrator(world)
    made = await admin.send("POST", PARTNERS, {"tenantId": FABRIKAM})
    assert made.status_code == 201, made.text
    assert made.headers["location"].endswith(f"{PARTNERS}/{FABRIKAM}")
    changed = await admin.send("PATCH", f"{PARTNERS}/{FABRIKAM}", ALL_TRUSTED)
    assert (changed.status_code, changed.content) == (204, b"")
    assert (await admin.get(f"{PARTNERS}/{FABRIKAM}"))["inboundTrust"] == ALL_TRUSTED["inboundTrust"]
    assert error(await admin.send("POST", PARTNERS, {"tenantId": FABRIKAM}))[0] == 409


async def test_the_one_call_of_every_guide(world: World) -> None:
    """PATCH alone lists a partner; the audit log calls it what it is, and the id has to be one."""
    admin = await administrator(world)
    changed = await admin.send("PATCH", f"{PARTNERS}/{FABRIKAM}", ALL_TRUSTED)
    assert changed.status_code == 204, changed.text
    assert (await admin.get(f"{PARTNERS}/{FABRIKAM}"))["inboundTrust"] == ALL_TRUSTED["inboundTrust"]
    assert (await admin.audits(world))[-1]["activityDisplayName"] == "Add a partner to cross-tenant access setting"
    assert error(await admin.send("PATCH", f"{PARTNERS}/{CONTOSO}", ALL_TRUSTED))[0] == 400
    assert error(await admin.send("PATCH", f"{PARTNERS}/nobody", ALL_TRUSTED))[0] == 400
    reader = await administrator(world, "Security Reader", oid=BOB)
    assert error(await reader.send("PATCH", f"{PARTNERS}/{FABRIKAM}", ALL_TRUSTED))[0] == 403


EVERYBODY = {"accessType": "blocked", "targets": [{"target": "AllUsers", "targetType": "user"}]}
EVERYTHING = {"accessType": "blocked", "targets": [{"target": "AllApplications", "targetType": "application"}]}
OPEN = everything("allowed")
NOBODY = {"b2bCollaborationInbound": {"usersAndGroups": EVERYBODY, "applications": EVERYTHING}}


async def test_the_next_token_obeys(world: World) -> None:
    """A partner that is blocked gets no further token, and gets one again when the setting is given back."""
    guest = world.browser()
    tokens = await guest.signed_in("fabrikam")
    admin = await administrator(world, tenant=FABRIKAM, oid=ALEX_F)
    await admin.send("POST", PARTNERS, {"tenantId": CONTOSO, **NOBODY})
    refused = await guest.refresh("fabrikam", tokens["refresh_token"], scope=scope_of(WIKI_F))
    assert refused.status_code == 400
    assert refused.json()["error_codes"] == [500213]
    assert (await admin.send("PATCH", f"{PARTNERS}/{CONTOSO}", {"b2bCollaborationInbound": None})).status_code == 204
    granted = await guest.refresh("fabrikam", tokens["refresh_token"], scope=scope_of(WIKI_F))
    assert granted.status_code == 200, granted.text


async def test_with_a_token_of_the_page(world: World) -> None:
    """What a real sign-in issues is what the API takes; the same token is of no use once the role is gone."""
    admin = await Admin.sign_in(world)
    assert error(await admin.send("GET", PARTNERS)) == (403, "Authorization_RequestDenied")
    await give_role(world, "Security Administrator")
    assert await admin.get(PARTNERS) == {"value": []}


async def test_the_default_and_its_reset(world: World) -> None:
    """A partial change keeps the rest, a full reset gives everything back, and both are on record by name."""
    admin = await administrator(world)
    path = "/v1.0/policies/crossTenantAccessPolicy/default"
    first = await admin.get(path)
    assert first["isServiceDefault"] is True
    await admin.send("PATCH", path, {"inboundTrust": {"isMfaAccepted": True}})
    await admin.send("PATCH", path, {"inboundTrust": {"isCompliantDeviceAccepted": True}, "isServiceDefault": True})
    second = await admin.get(path)
    assert second["isServiceDefault"] is False
    assert second["inboundTrust"] == {
        "isMfaAccepted": True, "isCompliantDeviceAccepted": True, "isHybridAzureADJoinedDeviceAccepted": False,
    }
    assert (await admin.send("POST", f"{path}/resetToSystemDefault")).status_code == 204
    assert await admin.get(path) == first
    assert [line["activityDisplayName"] for line in await admin.audits(world)][-3:] == [
        "Update the company default cross-tenant access setting",
        "Update the company default cross-tenant access setting",
        "Reset the cross-tenant access default setting",
    ]


async def test_a_patch_keeps_what_it_does_not_name_and_null_inherits(world: World) -> None:
    """Members are merged as deep as they go; half of a setting is refused where there is no other half to keep."""
    admin = await administrator(world)
    path = f"{PARTNERS}/{FABRIKAM}"
    await admin.send("POST", PARTNERS, {"tenantId": FABRIKAM, "b2bCollaborationInbound": OPEN})

    async def patched(body: dict[str, object]) -> dict[str, object]:
        changed = await admin.send("PATCH", path, body)
        assert changed.status_code == 204, changed.text
        shown: dict[str, object] = await admin.get(path)
        return shown

    trust = {"isMfaAccepted": True, "isCompliantDeviceAccepted": False, "isHybridAzureADJoinedDeviceAccepted": False}
    first = await patched({"inboundTrust": {"isMfaAccepted": True}})
    assert (first["inboundTrust"], first["b2bCollaborationInbound"]) == (trust, OPEN)
    second = await patched({"inboundTrust": {"isCompliantDeviceAccepted": True}})
    assert second["inboundTrust"] == {**trust, "isCompliantDeviceAccepted": True}
    staff = {"accessType": "allowed", "targets": [{"target": STAFF, "targetType": "group"}]}
    third = await patched({"b2bCollaborationInbound": {"usersAndGroups": staff}})
    assert third["b2bCollaborationInbound"] == {**OPEN, "usersAndGroups": staff}
    assert await patched({}) == third
    half = await admin.send("PATCH", path, {"b2bCollaborationOutbound": {"applications": EVERYTHING}})
    assert error(half)[0] == 400
    gone = await patched({"inboundTrust": None, "b2bCollaborationInbound": None})
    assert (gone["inboundTrust"], gone["b2bCollaborationInbound"]) == (None, None)
    assert (await admin.get("/v1.0/policies/crossTenantAccessPolicy/default"))["id"] == policy_id(CONTOSO)


async def test_a_deleted_partner_comes_back(world: World) -> None:
    """Kept in the beta's list with what it said, restored or deleted for good."""
    admin = await administrator(world)
    kept = "/beta/policies/deletedItems/crossTenantPartners"
    await admin.send("POST", PARTNERS, {"tenantId": FABRIKAM, **ALL_TRUSTED})
    await admin.send("PUT", f"{PARTNERS}/{FABRIKAM}/identitySynchronization", {})
    assert (await admin.send("DELETE", f"{PARTNERS}/{FABRIKAM}")).status_code == 204
    assert error(await admin.send("GET", f"{PARTNERS}/{FABRIKAM}/identitySynchronization"))[0] == 404
    (listed,) = (await admin.get(kept))["value"]
    assert (listed["tenantId"], listed["inboundTrust"]) == (FABRIKAM, ALL_TRUSTED["inboundTrust"])
    assert listed["deletedDateTime"].endswith("Z")
    assert (await admin.send("POST", f"{kept}/{FABRIKAM}/restore")).status_code == 200
    assert (await admin.get(f"{PARTNERS}/{FABRIKAM}"))["inboundTrust"] == ALL_TRUSTED["inboundTrust"]
    assert (await admin.get(kept))["value"] == []
    await admin.send("DELETE", f"{PARTNERS}/{FABRIKAM}")
    await admin.send("POST", PARTNERS, {"tenantId": FABRIKAM})
    assert error(await admin.send("POST", f"{kept}/{FABRIKAM}/restore"))[0] == 409
    assert (await admin.send("DELETE", f"{kept}/{FABRIKAM}")).status_code == 204
    assert error(await admin.send("GET", f"{kept}/{FABRIKAM}"))[0] == 404


async def test_a_linter_speaks_when_a_policy_is_saved(world: World) -> None:
    """What nobody could satisfy is saved as asked, with a remark in a header."""
    admin = await administrator(world)
    body = {
        "displayName": "Lock", "state": "enabled",
        "conditions": {"users": {"includeUsers": ["All"]}, "applications": {"includeApplications": ["All"]},
                       "clientAppTypes": ["all"]},
        "grantControls": {"operator": "OR", "builtInControls": ["block"]},
    }
    made = await admin.send("POST", "/v1.0/identity/conditionalAccess/policies", body)
    assert made.status_code == 201, made.text
    remarks = json.loads(made.headers["tunneld-warnings"])
    assert remarks
    assert all(one["rule"] and one["message"] and one["mend"] for one in remarks)
