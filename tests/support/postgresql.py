"""A PostgreSQL server of Debian's package, for the time of a test: own cluster, own user, a loopback port."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


def binaries() -> Path | None:
    """Return the newest installed server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else None


@dataclass(frozen=True)
class Server:
    """A running server: its URL, and how it is stopped and started again."""

    url: str
    stop: Callable[[], None]
    start: Callable[[], None]


@contextmanager
def server() -> Iterator[str]:
    """Start a server and give its URL. Skips where there is none; in CI that is a failure."""
    with controlled_server() as running:
        yield running.url


@contextmanager
def controlled_server() -> Iterator[Server]:
    """Start a server that the test may stop and start."""
    programs = binaries()
    if programs is None:
        message = "PostgreSQL is not installed (apt-get install postgresql)"
        if os.environ.get("TUNNELD_CI") == "1":
            pytest.fail(message)
        pytest.skip(message)
    root = Path(tempfile.mkdtemp(prefix="tunneld-pg-"))
    command: list[str] = []
    if os.geteuid() == 0:  # initdb and the server refuse to run as root
        user = next(name for name in ("postgres", "nobody") if _known(name))
        shutil.chown(root, user)
        command = ["runuser", "-u", user, "--"]
    data, log = root / "data", root / "log"
    port = _free_port()
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    make = [*command, str(programs / "initdb"), "-D", str(data), "-U", "tunneld", "-A", "trust", "--no-sync"]
    subprocess.run([*make, "-E", "UTF8"], check=True, capture_output=True, env=environment, cwd=root)
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={root} -c shared_buffers=16MB"
    control = [*command, str(programs / "pg_ctl"), "-D", str(data), "-w", "-l", str(log)]

    def run(*words: str, check: bool) -> None:
        subprocess.run([*control, *words], check=check, capture_output=True, env=environment, cwd=root)

    def start() -> None:
        run("-o", options, "start", check=True)

    start()
    try:
        url = f"postgresql://tunneld@127.0.0.1:{port}/postgres"
        yield Server(url, lambda: run("-m", "fast", "stop", check=True), start)
    finally:
        run("-m", "immediate", "stop", check=False)
        for _ in range(50):
            shutil.rmtree(root, ignore_errors=True)
            if not root.exists():
                break
            time.sleep(0.05)


def _known(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
