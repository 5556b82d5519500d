"""Cycles of cross-tenant synchronization: planned whole, applied in batches, each of which is one commit.

A batch writes the users in the target and what the job remembers of them in the source together. So a cycle that is
killed in the middle has done some batches wholly and the others not at all, and the next one does the rest.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from tunneld.idp.administration.cycle_runs import JobKey, Run, rehearse, situation_of
from tunneld.idp.administration.pushed_users import changes_of, record_of
from tunneld.idp.administration.run_reports import keep_report
from tunneld.idp.changes import Actor, AuditEntry, AuditTarget, ConflictError
from tunneld.journal.timestamps import rfc3339
from tunneld.policy.directory import Directory
from tunneld.policy.directory_places import last_of_each
from tunneld.policy.guests.synchronization import Action, Step, obstacle
from tunneld.policy.guests.synchronization_job import SYNCHRONIZATION_ENTRY
from tunneld.policy.objects import Change, ObjectRef

if TYPE_CHECKING:
    from tunneld.idp.provider import Provider

_log = structlog.get_logger("idp")

BATCH = 50  # people per commit: a few milliseconds, so that sign-ins are not held up behind it
ENGINE = Actor("app", "", "", "Cross-tenant synchronization")
_CATEGORY = "ProvisioningManagement"

async def run_cycle(provider: Provider, key: JobKey) -> Run:
    """Run one cycle to its end, or to the first obstacle."""
    correlation_id, now = uuid.uuid4().hex, provider.now()
    run = provider.cycles.runs[key] = Run(started=rfc3339(now))
    rehearsed = await asyncio.to_thread(rehearse, provider.directory, key, now)
    run.steps, run.total, run.error = rehearsed.steps, rehearsed.total, rehearsed.error
    work = [step for step in run.steps if _writes(provider.directory, key, step)]
    for begin in range(0, len(work), BATCH):
        situation = situation_of(provider.directory, key)
        run.error = "the job is gone" if situation is None else obstacle(situation) or ""
        if run.error:
            break
        await _apply(provider, key, work[begin:begin + BATCH], run, correlation_id)
    run.status, run.ended = "failed" if run.error else "succeeded", rfc3339(provider.now())
    await _report(provider, key, run, correlation_id)
    await keep_report(provider.database, key, run.to_json())
    return run


async def work_off(provider: Provider) -> None:
    """Run every job that is due or was asked for."""
    for key in provider.cycles.take(provider.directory, provider.now()):
        await run_cycle(provider, key)


async def _apply(provider: Provider, key: JobKey, batch: Sequence[Step], run: Run, correlation_id: str) -> None:
    """Commit a batch; where it is refused, each of its steps by itself, so that one person holds nobody up."""
    try:
        await _commit(provider, key, batch, correlation_id)
    except ConflictError:
        for step in batch:
            try:
                await _commit(provider, key, [step], correlation_id)
            except ConflictError as error:
                run.faults[step.source[1]] = str(error)
                _log.warning("synchronization_step_refused", source=step.source[1], error=str(error))
    run.done += sum(step.action is not Action.SKIP for step in batch)


async def _commit(provider: Provider, key: JobKey, batch: Sequence[Step], correlation_id: str) -> None:
    changes, records, names = list[Change](), [], set[str]()
    for step in batch:
        changes += changes_of(provider.directory, key, step, now=provider.now(), names=names, before=changes)
        if step.action not in (Action.SKIP, Action.FORGET):
            records.append(record_of(key, step, ENGINE))
    await provider.commit(last_of_each(changes), records, correlation_id=correlation_id)


async def _report(provider: Provider, key: JobKey, run: Run, correlation_id: str) -> None:
    counts = {name: str(count) for name, count in run.to_json()["counts"].items()}
    record = AuditEntry(
        "Synchronization cycle", _CATEGORY, key[0], ENGINE, (AuditTarget(key[1], key[1], "Tenant"),),
        "failure" if run.error else "success", run.error, counts | {"failed": str(len(run.faults))},
        "Account Provisioning",
    )
    await provider.records.store_audits([record], correlation_id)


def _writes(directory: Directory, key: JobKey, step: Step) -> bool:
    """Tell whether a step changes anything: a skip may still have learnt by what somebody is in scope."""
    if step.action is not Action.SKIP:
        return True
    if step.entry is None:
        return False
    ref = ObjectRef(key[0], SYNCHRONIZATION_ENTRY.name, step.entry.id)
    return directory.tenants[key[0]].object(ref.kind, ref.id) != step.entry
