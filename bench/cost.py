"""What a process has cost so far: CPU time of all its threads, and resident memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
CPUCLOCK_SCHED = 2  # linux/posix-timers.h: the run time that the scheduler accounts, in nanoseconds


def cpu_clock(pid: int) -> float:
    """Return the CPU-seconds of the process, dead threads included, with the scheduler's resolution.

    /proc/PID/stat holds the same sum in ticks of 10 ms, too coarse for a run of half a second. The clock id is the
    one that clock_getcpuclockid(3) would return.
    """
    return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU-seconds of the processes, of their living descendants and of those that they have waited for."""
    return sum(cpu_clock(pid) + reaped_seconds(pid) for pid in families(pids))


def reaped_seconds(pid: int) -> float:
    """Return the CPU-seconds of dead children that the process has waited for (cutime + cstime, proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def families(pids: Iterable[int]) -> list[int]:
    """Return the processes and all their living descendants, each once."""
    found: dict[int, None] = {}
    queue = list(pids)
    while queue:
        pid = queue.pop()
        if pid not in found:
            found[pid] = None
            queue += _children(pid)
    return list(found)


def _children(pid: int) -> list[int]:
    born: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            born += map(int, (task / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
            continue
    return born


def resident_bytes(pids: Iterable[int]) -> int:
    """Return the resident set of the processes and their descendants, in bytes."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE for pid in families(pids))
