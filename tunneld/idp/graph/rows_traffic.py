"""The traffic log in the admin API: what the tenant's edges saw, beside who signed in."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import ConfigDict, Field
from starlette.responses import Response

from tunneld.idp.graph.call import Call
from tunneld.idp.graph.reading import listing, query_of
from tunneld.idp.graph.resource import Operation
from tunneld.idp.sign_in_log import sign_ins_of_tokens
from tunneld.idp.traffic import read_flows, traffic_entry
from tunneld.policy.objects import GraphObject

PATH = "/networkAccess/logs/traffic"
PERMISSION = "microsoft.networkAccess/trafficLogs/standard/read"


class NetworkAccessTraffic(GraphObject):
    """One flow. Members that the edge did not record are null."""

    model_config = ConfigDict(title="networkAccessTraffic")

    transaction_id: str
    connection_id: str | None
    correlation_id: str | None
    created_date_time: str
    end_date_time: str | None
    status: str | None
    action: str
    reason: str | None
    traffic_type: str | None
    tenant_id: str
    user_id: str | None
    user_type: str | None
    home_tenant_id: str | None
    cross_tenant_access_type: str | None
    unique_token_identifier: str | None
    application_id: str | None
    policy_rule_id: str | None
    transport_protocol: str | None
    destination_fqdn: str | None = Field(alias="destinationFQDN")
    destination_port: int | None
    destination_ip: str | None
    sent_bytes: int | None
    received_bytes: int | None
    sign_in: dict[str, Any] | None


def traffic_operations() -> list[Operation]:
    """Return the operation that lists flows, newest first."""
    return [
        Operation(
            "GET", PATH, _list_traffic, "List the flows that the tenant's edges recorded.", permission=PERMISSION,
            result=NetworkAccessTraffic, listing=True, tag="networkAccess",
        )
    ]


async def _list_traffic(call: Call) -> Response:
    tenant = call.tenant
    paths = call.provider.settings.traffic_logs
    flows = {flow["flow_id"]: flow for flow in await asyncio.to_thread(read_flows, paths, tenant.name)}
    tokens = {token for flow in flows.values() if isinstance(token := flow.get("token_id"), str)}
    known = await sign_ins_of_tokens(call.provider.database, tenant.id, tokens)

    def render(key: str) -> dict[str, Any]:
        entry = traffic_entry(flows[key], tenant.id)
        sign_in = known.get(str(entry["uniqueTokenIdentifier"]))
        if sign_in is not None:
            entry["crossTenantAccessType"] = sign_in.access_type
            entry["signIn"] = {"id": sign_in.id, "correlationId": sign_in.correlation_id}
        return entry

    return await listing(call, query_of(call, None), list(flows), render)
