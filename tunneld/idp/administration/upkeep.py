"""The endless work: synchronization cycles when they are due or asked for, and assignments whose end has come."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING

import structlog

from tunneld.idp.administration.cycles import work_off
from tunneld.idp.changes import SYSTEM, AuditEntry, AuditTarget, ConflictError
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
