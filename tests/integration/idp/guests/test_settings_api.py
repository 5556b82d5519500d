"""The settings of guests over the admin API: read, write, who may, what contradicts, and one record a write."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.idp.graph.admin import error
from tests.integration.idp.guests.people import CONTOSO, Scene
from tests.integration.idp.world import VAULT

LISTS = "invitationsAllowedAndBlockedDomainsPolicy"
FLOW = "/v1.0/identity/b2xUserFlows"
CONNECTORS = "/v1.0/identity/apiConnectors"
WORKLOADS = "/v1.0/policies/workloads"
METHODS = "/v1.0/policies/authenticationMethodsPolicy/authenticationMethodConfigurations/email"


@pytest.mark.parametrize(
    ("path", "body", "setting", "activity"),
    [
        ("/v1.0/policies/authorizationPolicy", {"allowInvitesFrom": "none", "externalUsersMayLeave": False},
         ("allow_invites_from", "none"), "Update authorization policy"),
        ("/v1.0/policies/b2bManagementPolicy", {LISTS: {"allowedDomains": ["x.example"]}},
         ("allowed_domains", frozenset({"x.example"})), "Update policy"),
        ("/v1.0/policies/authenticationFlowsPolicy", {"selfServiceSignUp": {"isEnabled": True}},
         ("self_service_sign_up", True), "Update authentication flows policy"),
        (METHODS, {"allowExternalIdToUseEmailOtp": "disabled"}, ("one_time_passcode", False),
         "Authentication Methods Policy Update"),
    ],
)
async def test_a_setting_acts_at_once(
    scene: Scene, path: str, body: dict[str, Any], setting: tuple[str, object], activity: str
) -> None:
    await scene.admin.get(path)  # there without having been written
    before = len(scene.activities())
    refused = await scene.member().send("PATCH", path, body)
    assert refused.status_code == 403
    assert (await scene.admin.send("PATCH", path, body)).status_code == 204
    shown = await scene.admin.get(path)
    for name, value in body.items():
        assert shown[name] == value or shown[name].items() >= value.items()
    assert scene.world.provider is not None
    collaboration = scene.world.provider.directory.tenants[CONTOSO].policy.collaboration
    assert getattr(collaboration, setting[0]) == setting[1]
    assert scene.activities(before) == [(activity, "success")]
    assert (await scene.admin.send("PATCH", path, {"surprise": 1})).status_code == 400


async def test_the_domain_list_is_one(scene: Scene) -> None:
    """Setting the other list as well is refused by name; switching takes both members."""
    path = "/v1.0/policies/b2bManagementPolicy"
    assert (await scene.admin.send("PATCH", path, {LISTS: {"allowedDomains": ["a.example"]}})).status_code == 204
    both = await scene.admin.send("PATCH", path, {LISTS: {"blockedDomains": ["b.example"]}})
    assert error(both) == (400, "bothDomainLists")
    switched = {LISTS: {"allowedDomains": None, "blockedDomains": ["b.example"]}}
    assert (await scene.admin.send("PATCH", path, switched)).status_code == 204
    shown = await scene.admin.get(path)
    assert shown[LISTS] == {"allowedDomains": None, "blockedDomains": ["b.example"]}


async def test_workloads_flows_and_connectors(scene: Scene) -> None:
    admin = scene.admin
    workload = await admin.send("POST", WORKLOADS, {"id": VAULT, "respectsDirectorySettings": False})
    assert workload.status_code == 201, workload.text
    assert (await admin.send("PATCH", f"{WORKLOADS}/{VAULT}", {"displayName": "Files"})).status_code == 204
    assert (await admin.get(WORKLOADS))["value"][0]["displayName"] == "Files"
    made = await admin.send("POST", CONNECTORS, {"displayName": "Check", "targetUrl": "https://api.example/"})
    assert made.status_code == 201, made.text
    connector = made.json()["id"]
    asked = {"apiConnectorConfiguration": {"postAttributeCollection": {"id": connector}}}
    flow = await admin.send("POST", FLOW, {"id": "B2X_1_F", **asked})
    assert flow.status_code == 201, flow.text
    unknown = await admin.send("PATCH", f"{FLOW}/B2X_1_F", {
        "apiConnectorConfiguration": {"postAttributeCollection": {"id": VAULT}},
    })
    assert error(unknown) == (400, "unknownConnector")
    assert error(await admin.send("DELETE", f"{CONNECTORS}/{connector}")) == (409, "connectorInUse")
    bad = await admin.send("PATCH", f"{CONNECTORS}/{connector}", {"targetUrl": "http://127.0.0.1/"})
    assert bad.status_code == 400
    for path in (f"{FLOW}/B2X_1_F", f"{CONNECTORS}/{connector}", f"{WORKLOADS}/{VAULT}"):
        assert (await scene.member().send("DELETE", path)).status_code == 403
        assert (await admin.send("DELETE", path)).status_code == 204
        assert (await admin.send("GET", path)).status_code == 404
