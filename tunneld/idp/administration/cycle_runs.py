"""Synchronization jobs as they run: what is due, what was asked for, how far each is, and what the last one did."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tunneld.journal.timestamps import rfc3339
from tunneld.policy.directory import Directory
from tunneld.policy.guests.synchronization import Action, Situation, Step, obstacle, plan_synchronization
from tunneld.policy.guests.synchronization_job import (
    SYNCHRONIZATION_ENTRY,
    SYNCHRONIZATION_JOB,
    SynchronizationEntry,
    SynchronizationJob,
    seconds_of,
)

MAX_REPORTED = 10_000  # steps of one report

JobKey = tuple[str, str]  # source tenant id, target tenant id


@dataclass(slots=True)
class Run:
    """One cycle: how far it is, and its report."""

    status: str = "running"  # notRun | running | succeeded | failed
    started: str = ""
    ended: str = ""
    dry_run: bool = False
    total: int = 0
    done: int = 0
    error: str = ""
    steps: tuple[Step, ...] = ()
    faults: dict[str, str] = field(default_factory=dict)  # source object id → why its step was refused

    def to_json(self) -> dict[str, Any]:  # a JSON object has any shape
        """Return the report."""
        counts = {str(action): sum(step.action is action for step in self.steps) for action in Action}
        rows = [
            {
                "action": str(step.action), "sourceId": step.source[1], "targetId": step.target_id, "name": step.name,
                "reason": step.reason, "error": self.faults.get(step.source[1]),
            }
            for step in self.steps[:MAX_REPORTED]
        ]
        return {
            "status": self.status, "dryRun": self.dry_run, "startedDateTime": self.started or None,
            "endedDateTime": self.ended or None, "total": self.total, "done": self.done, "counts": counts,
            "failed": len(self.faults), "error": self.error or None, "steps": rows,
            "truncated": len(self.steps) > MAX_REPORTED,
        }


@dataclass(slots=True)
class Cycles:
    """The last run of each job, those that were asked for, and when each is due next."""

    runs: dict[JobKey, Run] = field(default_factory=dict)
    asked: list[JobKey] = field(default_factory=list)
    due: dict[JobKey, int] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def ask(self, key: JobKey) -> bool:
        """Have a job run as soon as possible; False when it is running or waiting already."""
        run = self.runs.get(key)
        if key in self.asked or (run is not None and run.status == "running"):
            return False
        self.asked.append(key)
        self.runs[key] = Run()
        self.wake.set()
        return True

    def take(self, directory: Directory, now: int) -> list[JobKey]:
        """Return the jobs to run now: those asked for, and enabled ones whose interval is over."""
        ready, self.asked = self.asked, []
        self.wake.clear()
        for tenant_id, job in jobs(directory):
            key = (tenant_id, job.id)
            if not job.enabled:
                self.due.pop(key, None)
            elif now >= self.due.setdefault(key, now) and key not in ready:
                ready.append(key)
            if key in ready and job.enabled:
                self.due[key] = now + seconds_of(job.schedule.interval)
        return ready


def jobs(directory: Directory) -> Iterator[tuple[str, SynchronizationJob]]:
    """Yield every job with the id of its source tenant."""
    for tenant in directory.tenants.values():
        for value in tenant.objects.get(SYNCHRONIZATION_JOB.name, {}).values():
            if isinstance(value, SynchronizationJob):
                yield tenant.id, value


def situation_of(directory: Directory, key: JobKey) -> Situation | None:
    """Return what a cycle of the job looks at, None when the job or its target is gone."""
    source, target = directory.tenants.get(key[0]), directory.tenants.get(key[1])
    job = source.object(SYNCHRONIZATION_JOB.name, key[1]) if source else None
    if source is None or target is None or not isinstance(job, SynchronizationJob):
        return None
    prefix = f"{target.id}~"
    entries = {
        object_id.removeprefix(prefix): value
        for object_id, value in source.objects.get(SYNCHRONIZATION_ENTRY.name, {}).items()
        if object_id.startswith(prefix) and isinstance(value, SynchronizationEntry)
    }
    return Situation(job, source, target, entries)


def rehearse(directory: Directory, key: JobKey, now: int) -> Run:
    """Return the report of a cycle that does nothing."""
    run = Run("succeeded", rfc3339(now), rfc3339(now), dry_run=True)
    situation = situation_of(directory, key)
    run.error = "the job is gone" if situation is None else obstacle(situation) or ""
    if situation is None or run.error:
        run.status = "failed"
        return run
    run.steps = plan_synchronization(situation, now)
    run.total = sum(step.action is not Action.SKIP for step in run.steps)
    return run
