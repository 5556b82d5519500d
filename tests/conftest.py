"""Every asynchronous test runs on each loop that the programs can run on, and must leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from tunneld.net.attach import is_fastnet
from tunneld.net.loops import LOOPS, LoopFactory

# The two base loops, and the one that the programs use by default.
TESTED = ("asyncio", "uvloop", "fastnet")
SETTLE_S = 2.0  # how long closing transports may take to be gone

# A busy machine makes drawing slow; that says nothing about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_asyncio_loop_factories() -> dict[str, LoopFactory]:
    """Run asynchronous tests once for each of these."""
    return {name: LOOPS[name] for name in TESTED}


def _sockets() -> dict[str, str]:
    """Return our sockets that have an address: loops open anonymous pairs for themselves when they please."""
    ours: set[str] = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue  # the descriptor of this very listing
        if target.startswith("socket:["):
            ours.add(target[8:-1])
    found: dict[str, str] = {}
    for table, column in (("tcp", 9), ("tcp6", 9), ("udp", 9), ("udp6", 9), ("unix", 6)):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[column] in ours and (table != "unix" or len(fields) > 7):
                found[fields[column]] = f"{table} {' '.join(fields[1:4])}"
    return found


@pytest_asyncio.fixture
async def leak_check() -> AsyncIterator[None]:
    """Fail a test that leaves a task or a socket behind."""
    before = _sockets()
    yield
    if is_fastnet(asyncio.get_running_loop()):
        # Its transports insist on their own thread, also when a StreamWriter in a cycle asks on being collected:
        # collect here, before the collector happens to run in a thread that waits for a child process.
        gc.collect()
    deadline = asyncio.get_running_loop().time() + SETTLE_S
    while True:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        sockets = [text for inode, text in _sockets().items() if inode not in before]
        if not (tasks or sockets):
            return
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.01)
    assert not tasks, "tasks are left"
    assert not sockets, "sockets are left"


@pytest.fixture(autouse=True)
def _leaves_nothing(request: pytest.FixtureRequest) -> None:
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("leak_check")
