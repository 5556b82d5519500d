"""The boundary between one task's defect and everybody else."""

from __future__ import annotations

import asyncio

import pytest
import structlog.testing

from tunneld.net.tasks import ContainedTasks


async def test_a_defect_ends_its_own_task_only_and_is_counted() -> None:
    """The sibling goes on, the log has the trace, and the group ends in order."""
    finished = []

    async def broken() -> None:
        raise ZeroDivisionError("nobody expected this")

    async def sibling() -> None:
        await asyncio.sleep(0)
        finished.append("sibling")

    with structlog.testing.capture_logs() as lines:
        async with asyncio.TaskGroup() as group:
            tasks = ContainedTasks(group)
            tasks.create_task(broken(), name="broken")
            tasks.create_task(sibling(), name="sibling")
    assert finished == ["sibling"]
    assert tasks.defects == 1
    assert [(line["event"], line["task"]) for line in lines] == [("internal_error", "broken")]


async def test_cancelling_the_group_reaches_contained_tasks() -> None:
    """Containment is about failures: an end from outside is obeyed."""
    ended = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fails_after_a_while() -> None:
        async with asyncio.TaskGroup() as group:
            ContainedTasks(group).create_task(waits(), name="waits")
            await asyncio.sleep(0)
            raise RuntimeError("the owner fails")

    with pytest.raises(ExceptionGroup):
        await fails_after_a_while()
    assert ended.is_set()
