"""Identity and network in one view: the flow, whose it is, and the sign-in that it belongs to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.idp.graph.admin import Admin, administrator, error
from tests.integration.idp.world import ALEX_F, CONTOSO, FABRIKAM, WIKI_F, World, claims, scope_of

PATH = "/v1.0/networkAccess/logs/traffic"


@pytest.fixture
async def flow(world: World) -> dict[str, Any]:
    """A guest's flow, as fabrikam's edge would have recorded it."""
    guest = world.browser()
    tokens = await guest.signed_in("fabrikam")
    answer = await guest.refresh("fabrikam", tokens["refresh_token"], scope=scope_of(WIKI_F))
    said = claims(answer.json()["access_token"])
    record = {
        "event": "flow-end", "flow_id": "f" * 16, "correlation_id": "c" * 32, "begin": "2026-01-01T00:00:01Z",
        "tenant": "fabrikam", "channel": "private", "user": said["oid"], "state": "closed", "token_id": said["uti"],
        "home_tenant": CONTOSO, "user_type": "guest", "destination": "wiki.corp.internal", "port": 443,
        "bytes_sent": 7, "bytes_received": 9, "application": WIKI_F,
    }
    place = world.root / "edge.flows.jsonl"
    place.write_text(json.dumps(record) + "\n")
    assert world.provider is not None
    world.provider.settings = world.provider.settings.model_copy(update={"traffic_logs": (place,)})
    await world.provider.records.flush()
    return record


async def test_a_flow_leads_to_its_sign_in(world: World, flow: dict[str, Any]) -> None:
    """By the id of the token, into the sign-in log of the tenant that issued it."""
    admin = await administrator(world, tenant=FABRIKAM, oid=ALEX_F)
    (entry,) = (await admin.get(PATH))["value"]
    assert (entry["homeTenantId"], entry["crossTenantAccessType"]) == (CONTOSO, "b2bCollaboration")
    assert (entry["userId"], entry["sentBytes"], entry["receivedBytes"]) == (ALEX_F, 7, 9)
    record = await admin.get(f"/v1.0/auditLogs/signIns/{entry['signIn']['id']}")
    assert record["uniqueTokenIdentifier"] == flow["token_id"]
    assert record["correlationId"] == entry["signIn"]["correlationId"]
    assert (record["userId"], record["homeTenantId"], record["resourceId"]) == (ALEX_F, CONTOSO, WIKI_F)
    by_token = await admin.get(f"/v1.0/auditLogs/signIns?$filter=uniqueTokenIdentifier eq '{flow['token_id']}'")
    assert [one["id"] for one in by_token["value"]] == [record["id"]]
    nobody = await admin.get(f"{PATH}?$filter=userId eq '{CONTOSO}'")
    assert nobody["value"] == []


async def test_home_sees_neither_the_flow_nor_the_token(world: World, flow: dict[str, Any]) -> None:
    """What a guest does in a tenant is that tenant's; home's record of the sign-in has no key to it."""
    admin = await administrator(world)
    assert (await admin.get(PATH))["value"] == []
    records = (await admin.get("/v1.0/auditLogs/signIns"))["value"]
    assert any(record["resourceTenantId"] == FABRIKAM for record in records)
    assert flow["token_id"] not in json.dumps(records)


async def test_who_may_read_it(world: World) -> None:
    """Only roles that look after networks or security; and without a file there is nothing to see."""
    assert error(await Admin.mint(world).send("GET", PATH))[0] == 403
    reader = await administrator(world, "Global Secure Access Administrator")
    assert await reader.get(PATH) == {"value": []}
