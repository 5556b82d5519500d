"""Tasks that may fail alone: a defect in what one connection does must not take its siblings with it.

A TaskGroup cancels everything when one child raises. That is right for the few tasks that make up a program, and wrong
for the thousands that serve strangers. So those are born in the same group, through this boundary: the one place per
program where any exception is caught, logged with its trace and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

import structlog

log = structlog.get_logger("tunneld.tasks")


class TaskOwner(Protocol):
    """Whatever gives birth to tasks and waits for their end: an `asyncio.TaskGroup`, or the boundary around one."""

    def create_task(self, coro: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Start `coro` as a task of this owner."""


class ContainedTasks:
    """A TaskOwner whose tasks end with their own failure. `defects` counts failures that nobody expected."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self.defects = 0

    def create_task(self, coro: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Start `coro` as a task of the group, contained."""
        return self._group.create_task(self._contain(coro, name), name=name)

    async def _contain(self, coro: Coroutine[Any, Any, None], name: str) -> None:
        try:
            await coro
        except Exception:
            self.defects += 1
            log.exception("internal_error", task=name)
