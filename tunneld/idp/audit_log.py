"""The audit log: one record of Graph's `directoryAudit` shape for every write, tried or done."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, Index, String, Table, Text, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from tunneld.idp.boundary import as_guid
from tunneld.idp.changes import Actor, AuditEntry, AuditTarget
from tunneld.idp.database import schema
from tunneld.journal.timestamps import rfc3339

audits = Table(
    "audits", schema,
    Column("id", String(36), primary_key=True),
    Column("tenant_id", String(36), nullable=False),
    Column("at", BigInteger, nullable=False),  # microseconds since the epoch
    Column("activity", String(128), nullable=False),
    Column("category", String(64), nullable=False),
    Column("service", String(64), nullable=False),
    Column("result", String(16), nullable=False),
    Column("actor_id", String(64), nullable=False),
    Column("actor_name", String(256), nullable=False),
    Column("correlation_id", String(36), nullable=False),
    Column("targets", Text, nullable=False),  # ids and names, one a line, to search in
    Column("body", Text, nullable=False),
)
Index("audits_by_time", audits.c.tenant_id, audits.c.at)
Index("audits_by_correlation", audits.c.correlation_id)

# Graph's `operationType` follows from how the published activity names begin.
_OPERATIONS = {
    "Add": "Add", "Create": "Add", "Invite": "Add", "Delete": "Delete", "Hard": "Delete", "Remove": "Unassign",
    "Assign": "Assign", "Restore": "Add",
}


def audit_record(entry: AuditEntry, *, now: float, correlation_id: str) -> dict[str, Any]:
    """Return the record as Graph shows it (Microsoft Graph reference: directoryAudit)."""
    return {
        "id": str(uuid.uuid4()),
        "activityDateTime": rfc3339(now),
        "activityDisplayName": entry.activity,
        "category": entry.category,
        "correlationId": guid_of(correlation_id),
        "loggedByService": entry.service,
        "operationType": _OPERATIONS.get(entry.activity.split(" ")[0], "Update"),
        "result": entry.result,
        "resultReason": entry.reason,
        "initiatedBy": _initiator(entry.actor),
        "targetResources": [_target(target) for target in entry.targets],
        "additionalDetails": [{"key": key, "value": value} for key, value in entry.details.items()],
    }


def audit_row(record: dict[str, Any], entry: AuditEntry, now: float) -> dict[str, Any]:
    """Return the columns of a record."""
    words = [word for target in entry.targets for word in (target.id, target.display_name)]
    return {
        "id": record["id"], "tenant_id": entry.tenant_id, "at": int(now * 1_000_000), "activity": entry.activity[:128],
        "category": entry.category[:64], "service": entry.service[:64], "result": entry.result,
        "actor_id": entry.actor.id[:64], "actor_name": entry.actor.name[:256],
        "correlation_id": record["correlationId"], "targets": "\n".join(words), "body": json.dumps(record),
    }


async def write_audits(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows."""
    if rows:
        await connection.execute(insert(audits), rows)


def guid_of(correlation_id: str) -> str:
    """Return a correlation id in the form of a GUID; "" stays."""
    return as_guid(correlation_id) if len(correlation_id) == 32 else correlation_id


def _initiator(actor: Actor) -> dict[str, Any]:
    if actor.kind == "user":
        user = {
            "id": actor.id, "displayName": None, "userPrincipalName": actor.name, "ipAddress": actor.address or None,
            "homeTenantId": actor.tenant_id or None,
        }
        return {"user": user, "app": None}
    app = {"appId": actor.id or None, "displayName": actor.name, "servicePrincipalId": None}
    return {"user": None, "app": app}


def _target(target: AuditTarget) -> dict[str, Any]:
    return {
        "id": target.id, "displayName": target.display_name, "type": target.type,
        "modifiedProperties": [
            {"displayName": change.name, "oldValue": change.old, "newValue": change.new} for change in target.modified
        ],
    }
