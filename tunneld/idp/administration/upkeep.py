"""The endless work: synchronization cycles when they are due or asked for, and assignments whose end has come."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING

import structlog

from tunneld.idp.administration.cycles import work_off
from tunneld.idp.changes import SYSTEM, AuditEntry, AuditTarget, ConflictError
from tunneld.policy.deleted_objects import DELETED_PARTNER, DELETED_USER, RETENTION_S, DeletedObject
from tunneld.policy.guests.governance import ACCESS_PACKAGE_ASSIGNMENT, expired
from tunneld.policy.objects import Change, ObjectRef

if TYPE_CHECKING:
    from tunneld.idp.provider import Provider

_log = structlog.get_logger("idp")

TICK_S = 5.0  # how late a cycle begins, or an expired assignment leaves the list; it stopped opening anything at once


async def keep_up(provider: Provider) -> None:
    """Work until cancelled. What goes wrong in one round is logged, and the next one tries again."""
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TICK_S):
                await provider.cycles.wake.wait()
        try:
            await sweep_assignments(provider)
            await purge_deleted(provider)
            await work_off(provider)
        except Exception:  # noqa: BLE001 - as in every loop: one bad round must not stop the others
            _log.exception("upkeep_failed")


async def sweep_assignments(provider: Provider) -> int:
    """Remove the assignments whose end has come, a commit a tenant; return how many."""
    removed = 0
    for tenant in provider.directory.tenants.values():
        over = expired(tenant, provider.now())
        if not over:
            continue
        kind = ACCESS_PACKAGE_ASSIGNMENT.name
        records = [
            AuditEntry(
                "Access package assignment expired", "EntitlementManagement", tenant.id, SYSTEM,
                (AuditTarget(each.id, each.id, "AccessPackageAssignment"), AuditTarget(each.target_id, "", "User")),
                service="Entitlement Management",
            )
            for each in over
        ]
        changes = [Change(ObjectRef(tenant.id, kind, each.id), None) for each in over]
        try:
            await provider.commit(changes, records, correlation_id=uuid.uuid4().hex)
        except ConflictError as error:
            _log.warning("assignments_kept", tenant=tenant.name, error=str(error))
        else:
            removed += len(over)
    return removed


async def purge_deleted(provider: Provider) -> int:
    """Forget what was deleted more than 30 days ago, as Microsoft Entra does; return how many objects."""
    purged = 0
    for tenant in provider.directory.tenants.values():
        for kind, (activity, category, target) in _PURGED.items():
            over = [
                value for value in tenant.objects.get(kind.name, {}).values()
                if isinstance(value, DeletedObject) and provider.now() - value.deleted_at >= RETENTION_S
            ][:_AT_ONCE]
            if not over:
                continue
            records = [
                AuditEntry(activity, category, tenant.id, SYSTEM, (AuditTarget(one.id, _name(one), target),))
                for one in over
            ]
            changes = [Change(ObjectRef(tenant.id, kind.name, one.id), None) for one in over]
            await provider.commit(changes, records, correlation_id=uuid.uuid4().hex)
            purged += len(over)
    return purged


_AT_ONCE = 500  # of one kind in one round of a few seconds
_PURGED = {
    DELETED_USER: ("Hard Delete user", "UserManagement", "User"),
    DELETED_PARTNER: (
        "Hard Delete partner cross-tenant access setting", "CrossTenantAccessSettings", "Policy",
    ),
}


def _name(kept: DeletedObject) -> str:
    return str(kept.value.get("userPrincipalName") or kept.id)
