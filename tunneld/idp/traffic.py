"""The traffic log: what a tenant's edges recorded of its flows, in the words of Graph's `networkAccessTraffic`.

Edges and identity provider are different machines. What they share here is a file: an edge appends one JSON line when
a flow opens and one when it ends (`edge.records` in its settings), and this side reads the newest of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

MAX_READ = 16 * 1024 * 1024  # bytes from the end of each file: about 20,000 flows, four of the product's pages
_CHANNEL_TYPES = {"private": "private", "internet": "internet", "microsoft": "microsoft365", "entra": "microsoft365"}
_BLOCKED = ("refused",)


def read_flows(paths: Iterable[Path], tenant: str) -> list[dict[str, Any]]:
    """Return the last records of a tenant's flows (by its short name), newest first, one for each flow.

    Lines that are cut off or foreign are passed over: another program writes the file while it is read.
    """
    flows: dict[str, dict[str, Any]] = {}
    for path in paths:
        for record in _records(path):
            key = record.get("flow_id")
            if record.get("tenant") == tenant and isinstance(key, str) and isinstance(record.get("begin"), str):
                flows[key] = record  # the line of the end comes after that of the beginning, and says more
    return sorted(flows.values(), key=lambda record: (record["begin"], record["flow_id"]), reverse=True)


def traffic_entry(record: dict[str, Any], tenant_id: str) -> dict[str, Any]:
    """Return one flow as Graph writes it. What nobody recorded is null."""
    channel = record.get("channel")
    return {
        "transactionId": record["flow_id"],
        "connectionId": record.get("correlation_id"),
        "correlationId": record.get("correlation_id"),
        "createdDateTime": record["begin"],
        "endDateTime": record.get("end"),
        "status": record.get("state"),
        "action": "block" if record.get("state") in _BLOCKED else "allow",
        "reason": record.get("reason"),
        "trafficType": _CHANNEL_TYPES.get(channel) if isinstance(channel, str) else None,
        "tenantId": tenant_id,
        "userId": record.get("user"),
        "userType": record.get("user_type"),
        "homeTenantId": record.get("home_tenant"),
        "crossTenantAccessType": None,
        "uniqueTokenIdentifier": record.get("token_id"),
        "applicationId": record.get("application"),
        "policyRuleId": record.get("rule_id"),
        "transportProtocol": record.get("protocol"),
        "destinationFQDN": record.get("destination"),
        "destinationIp": record.get("destination_ip"),
        "destinationPort": record.get("port"),
        "sentBytes": record.get("bytes_sent"),
        "receivedBytes": record.get("bytes_received"),
        "signIn": None,
    }


def _records(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - MAX_READ))
            data = file.read(MAX_READ)
    except FileNotFoundError:  # an edge that has not started yet
        return
    lines = data.split(b"\n")
    # The first may have lost its head to the limit; the last has no end yet.
    for line in lines[1 if size > MAX_READ else 0 : -1]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            yield record
