"""Roles and step-up: what each may, custom ones, scoped ones, owners, and what a protected permission asks for."""

from __future__ import annotations

import base64
import json
import re

import pytest

from tests.integration.idp.graph.admin import PARTNERS, Admin, administrator, error, give_role, store
from tests.integration.idp.world import ALEX, ALEX_F, BOB, CONTOSO, FABRIKAM, VAULT, WIKI, World
from tunneld.policy.built_in_roles import BUILT_IN, BY_NAME
from tunneld.policy.cross_tenant.documents import AccessPartner

ROLES = "/v1.0/roleManagement/directory"
ACTIONS = "/beta/roleManagement/directory/resourceNamespaces/microsoft.directory/resourceActions"
PREFIX = "microsoft.directory/crossTenantAccessPolicy/"
ITEM = f"{PARTNERS}/{FABRIKAM}"
TRUST = {"inboundTrust": {"isMfaAccepted": True}}

# role → may read partners, add one, trust one, write its synchronization, write Conditional Access, make users
MATRIX = {
    "Global Administrator": (True, True, True, True, True, True),
    "Security Administrator": (True, True, True, True, True, False),
    "Teams Administrator": (True, True, True, False, False, False),
    "Security Reader": (True, False, False, False, False, False),
    "Global Reader": (True, False, False, False, False, False),
    "Global Secure Access Administrator": (True, False, False, False, False, False),
    "Conditional Access Administrator": (False, False, False, False, True, False),
    "User Administrator": (False, False, False, False, False, True),
    "Guest Inviter": (False,) * 6, "Helpdesk Administrator": (False,) * 6, "Application Administrator": (False,) * 6,
    "Authentication Administrator": (False,) * 6, "Identity Governance Administrator": (False,) * 6,
}


def test_the_matrix_has_every_role() -> None:
    """A new role is decided upon here."""
    assert set(MATRIX) == {role.name for role in BUILT_IN}
    assert len({role.id for role in BUILT_IN}) == len(BUILT_IN)


@pytest.mark.parametrize("role", MATRIX)
async def test_what_a_role_may(world: World, role: str) -> None:
    """Six doors, each open or shut, as Microsoft's documents have it."""
    await give_role(world, role, oid=BOB)
    bob = Admin.mint(world, oid=BOB)
    calls = [
        ("GET", PARTNERS, None), ("POST", PARTNERS, {"tenantId": FABRIKAM}), ("PATCH", ITEM, TRUST),
        ("PUT", f"{ITEM}/identitySynchronization", {}),
        ("PATCH", "/v1.0/identity/conditionalAccess/authenticationContextClassReferences/c1", {"displayName": "x"}),
        ("POST", "/v1.0/users", {"userPrincipalName": "new@contoso.example", "displayName": "New"}),
    ]
    got = []
    for method, path, body in calls:
        if method == "PATCH" and path == ITEM:
            await store(world, "crossTenantAccessPartner", FABRIKAM, AccessPartner(tenant_id=FABRIKAM))
        answer = await bob.send(method, path, body)
        assert answer.status_code in (200, 201, 204, 403), answer.text
        got.append(answer.status_code != 403)
    assert tuple(got) == MATRIX[role]


async def test_a_custom_role(world: World) -> None:
    """Exactly its strings: trust may be set, direct connect not, and nothing may be added."""
    admin = await administrator(world)
    await store(world, "crossTenantAccessPartner", FABRIKAM, AccessPartner(tenant_id=FABRIKAM))
    strings = [f"{PREFIX}partners/standard/read", f"{PREFIX}partners/b2bCollaboration/update"]
    made = await admin.send("POST", f"{ROLES}/roleDefinitions", {
        "displayName": "Partner trust", "isEnabled": True, "rolePermissions": [{"allowedResourceActions": strings}],
    })
    assert made.status_code == 201, made.text
    given = await admin.send("POST", f"{ROLES}/roleAssignments", {
        "principalId": BOB, "roleDefinitionId": made.json()["id"], "directoryScopeId": "/",
    })
    assert given.status_code == 201, given.text
    bob = Admin.mint(world, oid=BOB)
    assert (await bob.send("PATCH", ITEM, TRUST)).status_code == 204
    restrictions = {"tenantRestrictions": None}
    for body in ({"b2bDirectConnectInbound": None}, restrictions, TRUST | restrictions):
        assert error(await bob.send("PATCH", ITEM, body)) == (403, "Authorization_RequestDenied"), body
    assert error(await bob.send("DELETE", ITEM))[0] == 403
    role = f"{ROLES}/roleDefinitions/{made.json()['id']}"
    assert error(await admin.send("DELETE", role)) == (409, "roleInUse")
    assert (await admin.send("PATCH", role, {"isEnabled": False})).status_code == 204
    assert error(await bob.send("PATCH", ITEM, TRUST))[0] == 403
    assert (await admin.send("DELETE", f"{ROLES}/roleAssignments/{given.json()['id']}")).status_code == 204
    assert (await admin.send("DELETE", role)).status_code == 204


async def test_nobody_lifts_themselves(world: World) -> None:
    """Neither by a new role, nor by giving away one that they do not hold, nor through somebody who holds more."""
    admin = await administrator(world)
    strings = ["microsoft.directory/roleDefinitions/create", "microsoft.directory/roleAssignments/create",
               "microsoft.directory/users/password/update", "microsoft.directory/users/delete"]
    made = await admin.send("POST", f"{ROLES}/roleDefinitions", {
        "displayName": "Half", "rolePermissions": [{"allowedResourceActions": strings}],
    })
    await give_role(world, made.json()["id"], oid=BOB)
    bob = Admin.mint(world, oid=BOB)
    more = {"displayName": "More", "rolePermissions": [{"allowedResourceActions": [f"{PREFIX}partners/create"]}]}
    assert error(await bob.send("POST", f"{ROLES}/roleDefinitions", more))[0] == 403
    gift = {"principalId": BOB, "roleDefinitionId": BY_NAME["global administrator"].id}
    assert error(await bob.send("POST", f"{ROLES}/roleAssignments", gift))[0] == 403
    password = {"passwordProfile": {"password": "a new one 9"}}
    assert error(await bob.send("PATCH", f"/v1.0/users/{ALEX}", password))[0] == 403
    assert error(await bob.send("DELETE", f"/v1.0/users/{ALEX}"))[0] == 403
    assert (await bob.send("PATCH", f"/v1.0/users/{BOB}", password)).status_code == 204


async def test_built_in_roles_stay_as_they_are(world: World) -> None:
    """They are listed and read, and neither changed nor deleted."""
    admin = await administrator(world)
    listed = (await admin.get(f"{ROLES}/roleDefinitions?$filter=isBuiltIn eq true&$top=100"))["value"]
    assert {one["displayName"] for one in listed} == set(MATRIX)
    reader = f"{ROLES}/roleDefinitions/{BY_NAME['global reader'].id}"
    assert error(await admin.send("PATCH", reader, {"description": "x"}))[0] == 400
    for name in ("Global Reader", "global reader"):
        assert error(await admin.send("POST", f"{ROLES}/roleDefinitions", {"displayName": name}))[0] == 409


async def test_roles_over_one_application_and_owners(world: World) -> None:
    """Both may change their application and no other."""
    admin = await administrator(world)
    wiki, vault = f"/v1.0/applications/{WIKI}", f"/v1.0/applications/{VAULT}"
    await give_role(world, "Application Administrator", oid=BOB, scope=f"/{WIKI}")
    bob = Admin.mint(world, oid=BOB)
    assert (await bob.send("PATCH", wiki, {"description": "Ours"})).status_code == 204
    assert error(await bob.send("PATCH", vault, {"description": "Ours"}))[0] == 403
    reference = {"@odata.id": f"https://idp.test/v1.0/directoryObjects/{BOB}"}
    assert (await admin.send("POST", f"{vault}/owners/$ref", reference)).status_code == 204
    assert error(await admin.send("POST", f"{vault}/owners/$ref", reference)) == (400, "referenceExists")
    assert [one["id"] for one in (await admin.get(f"{vault}/owners"))["value"]] == [BOB]
    assert (await bob.send("PATCH", vault, {"assignments": {"users": [BOB]}})).status_code == 204
    assert (await admin.send("DELETE", f"{vault}/owners/{BOB}/$ref")).status_code == 204
    assert error(await bob.send("PATCH", vault, {"description": "Still"}))[0] == 403


async def test_step_up(world: World) -> None:
    """A protected permission answers with the claims that are missing, until a token has them."""
    admin = await administrator(world)
    contexts = "/v1.0/identity/conditionalAccess/authenticationContextClassReferences/c3"
    await admin.send("PATCH", contexts, {"displayName": "Changes", "isAvailable": True})
    action = f"{ACTIONS}/microsoft.directory-crossTenantAccessPolicy-partners-create"
    unknown = await admin.send("PATCH", action, {"authenticationContextId": "c4"})
    assert error(unknown) == (400, "authenticationContextUnknown")
    assert (await admin.send("PATCH", action, {"authenticationContextId": "c3"})).status_code == 204
    assert (await admin.get(action))["authenticationContextId"] == "c3"
    body = {"tenantId": FABRIKAM}
    # A client that cannot read a challenge is told so; one that said cp1 is challenged.
    assert error(await admin.send("POST", PARTNERS, body)) == (403, "insufficient_claims")
    capable = Admin.mint(world, xms_cc=["cp1"])
    challenged = await capable.send("POST", PARTNERS, body)
    assert error(challenged) == (401, "insufficient_claims")
    header = challenged.headers["www-authenticate"]
    parts = dict(re.findall(r'(\w+)="([^"]*)"', header))
    assert header.startswith("Bearer ")
    assert (parts["realm"], parts["error"]) == (CONTOSO, "insufficient_claims")
    assert CONTOSO in parts["authorization_uri"]
    claims = json.loads(base64.b64decode(parts["claims"]))
    assert claims == {"access_token": {"acrs": {"essential": True, "value": "c3"}}}
    assert error(await Admin.mint(world, acrs=["c1"]).send("POST", PARTNERS, body))[0] == 403
    assert (await Admin.mint(world, acrs=["c1", "c3"]).send("POST", PARTNERS, body)).status_code == 201
    assert (await admin.send("PATCH", ITEM, TRUST)).status_code == 204, "another permission is not protected"
    assert (await admin.send("PATCH", action, {"authenticationContextId": None})).status_code == 204
    assert (await admin.send("DELETE", ITEM)).status_code == 204
    assert (await admin.send("POST", PARTNERS, body)).status_code == 201
    assert error(await admin.send("PATCH", action, {"name": "x"}))[0] == 400
    assert error(await admin.send("GET", f"{ACTIONS}/nothing"))[0] == 404


async def test_a_tenants_administrator_is_nobody_elsewhere(world: World) -> None:
    """The token's tenant is the tenant: a role at home does nothing where one is a guest."""
    await administrator(world)
    guest = Admin.mint(world, FABRIKAM, ALEX_F)
    assert error(await guest.send("GET", PARTNERS)) == (403, "Authorization_RequestDenied")
    assert error(await guest.send("POST", PARTNERS, {"tenantId": CONTOSO})) == (403, "Authorization_RequestDenied")
