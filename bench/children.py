"""Child processes that never outlive the benchmark."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PR_SET_PDEATHSIG = 1  # prctl(2)
STOP_GRACE = 5.0

_libc = ctypes.CDLL(None, use_errno=True)


class ChildError(RuntimeError):
    """A child process ended or stayed silent when it should have served."""


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def stop(child: subprocess.Popen[bytes]) -> None:
    """End the child and its process group: politely first, by force after a grace period."""
    for number, grace in ((signal.SIGTERM, STOP_GRACE), (signal.SIGKILL, STOP_GRACE)):
        if child.poll() is not None:
            break
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            break
        try:
            child.wait(grace)
        except subprocess.TimeoutExpired:
            continue
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


@contextmanager
def running(
    command: Sequence[str | os.PathLike[str]], log: Path, *, piped: bool = False, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in its own process group, stderr to `log`; it is stopped when the block ends, however it ends.

    With `piped`, stdin and stdout are pipes; without, stdout goes to the log as well.
    """
    pipe = subprocess.PIPE if piped else None
    with log.open("ab") as sink:
        child = subprocess.Popen(
            [os.fspath(part) for part in command],
            stdin=pipe or subprocess.DEVNULL,
            stdout=pipe or sink,
            stderr=sink,
            cwd=log.parent,
            env={**os.environ, **env} if env else None,
            preexec_fn=_die_with_parent,
            process_group=0,
        )
    try:
        yield child
    finally:
        stop(child)


def free_port() -> int:
    """Return a port nobody listens on now, for programs that cannot report which one the kernel gave them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def await_port(child: subprocess.Popen[bytes], port: int, log: Path, timeout: float = 15.0) -> None:
    """Return when the child accepts connections on `port`; raise ChildError with its last words if it never does."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise ChildError(f"{log.name}: exit status {child.returncode}: {tail(log)}")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise ChildError(f"{log.name}: port {port} not open after {timeout:.0f} s: {tail(log)}")


def tail(log: Path, size: int = 600) -> str:
    """Return the last characters of a log as one line."""
    return " | ".join(log.read_text(errors="replace")[-size:].split("\n")).strip(" |") if log.exists() else ""
