"""The logs that the API serves, and what of them the database can search."""

from __future__ import annotations

from tunneld.idp.audit_log import audits
from tunneld.idp.graph.logs import LogTable, log_operations
from tunneld.idp.graph.resource import Json, Operation
from tunneld.idp.graph.rows_cross_tenant import SYNC_CATEGORY, UPDATE_DEFAULT
from tunneld.idp.sign_in_log import sign_ins


def _both_categories(record: Json) -> list[Json]:
    """Let one activity be found under two categories: Microsoft's table lists it under the other one."""
    if record.get("activityDisplayName") != UPDATE_DEFAULT:
        return [record]
    return [record, {**record, "category": SYNC_CATEGORY}]


AUDITS = LogTable(
    audits, "activityDateTime",
    {  # the category is not among them: see above
        "activityDisplayName": "activity", "loggedByService": "service", "result": "result",
        "correlationId": "correlation_id", "initiatedBy/user/id": "actor_id",
        "initiatedBy/user/userPrincipalName": "actor_name",
    },
    _both_categories,
)


SIGN_INS = LogTable(
    sign_ins, "createdDateTime",
    {
        "userId": "user_id", "userPrincipalName": "user_name", "appId": "app_id", "resourceId": "resource_id",
        "homeTenantId": "home_tenant_id", "resourceTenantId": "resource_tenant_id",
        "crossTenantAccessType": "access_type", "conditionalAccessStatus": "access_status",
        "correlationId": "correlation_id", "uniqueTokenIdentifier": "token_id",
    },
)


def log_tables() -> list[Operation]:
    """Return the operations on all logs."""
    return [
        *log_operations(
            AUDITS, "/auditLogs/directoryAudits", "microsoft.directory/auditLogs/allProperties/read", "changes"
        ),
        *log_operations(
            SIGN_INS, "/auditLogs/signIns", "microsoft.directory/signInReports/allProperties/read", "sign-ins"
        ),
    ]
