"""A lab in child processes, driven as a user drives it: its JSON line, its commands, its proxy."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

START_S = 60.0
STOP_S = 20.0


class RunningLab:
    """One `tunneld lab up` that has printed its line."""

    def __init__(self, process: subprocess.Popen[str], line: dict[str, Any], log: Path) -> None:
        self.process = process
        self.line = line
        self.log = log
        self.proxy: str = line["proxy"]

    def tunneld(self, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command against this lab's daemon."""
        return tunneld(*arguments, state=self.line["state"], timeout=timeout)

    def ask(self, *arguments: str) -> dict[str, Any]:
        """Run a command with --json and return its one document."""
        done = self.tunneld(*arguments, "--json")
        assert done.stdout.strip(), done.stderr
        document = json.loads(done.stdout)
        assert isinstance(document, dict)
        return document

    def flows(self, *options: str) -> list[dict[str, Any]]:
        """Return flow records, the newest first."""
        done = self.tunneld("flows", "--json", *options)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in reversed(done.stdout.splitlines())]

    def switch(self, tenant: str) -> dict[str, Any]:
        """Switch and return the receipt."""
        receipt = self.ask("switch", tenant)
        assert receipt["committed"], receipt
        return receipt

    def go_to(self, tenant: str) -> None:
        """Make `tenant` the active one unless it is."""
        if self.ask("status")["tenant"] != tenant:
            self.switch(tenant)

    def curl(self, *arguments: str, scheme: str = "http") -> subprocess.CompletedProcess[str]:
        """Run curl through the proxy."""
        return subprocess.run(
            ["curl", "-sS", "--noproxy", "", "--max-time", "20", "-x", f"{scheme}://{self.proxy}",
             "--cacert", self.line["ca"], *arguments],
            capture_output=True, text=True, timeout=40, check=False,
        )

    def canary(self, tenant: str) -> str:
        """What every application of `tenant` answers with."""
        text = self.line["canaries"][tenant]
        assert isinstance(text, str)
        return text

    def connect(self, host: str, port: int) -> socket.socket:
        """Open a flow by HTTP CONNECT; the caller closes it."""
        address, _, proxy_port = self.proxy.rpartition(":")
        flow = socket.create_connection((address, int(proxy_port)), timeout=20)
        flow.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = flow.recv(1)
            if not piece:
                break
            head += piece
        if b" 200 " not in head.split(b"\r\n")[0]:
            flow.close()
            raise ConnectionError(head.decode("latin-1"))
        return flow


def tunneld(
    *arguments: str, state: str | Path | None = None, timeout: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run the command line program to its end."""
    environment = {name: value for name, value in os.environ.items() if name != "TUNNELD_STATE"}
    if state is not None:
        environment["TUNNELD_STATE"] = str(state)
    return subprocess.run(
        [sys.executable, "-m", "tunneld", *arguments],
        capture_output=True, text=True, timeout=timeout, check=False, env=environment,
    )


@contextmanager
def lab_up(state: Path) -> Iterator[RunningLab]:
    """Start a lab, give it when it is ready, stop it with SIGTERM and see that nothing of it stays."""
    log = state.with_name(f"{state.name}-lab.log")
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "tunneld", "lab", "up", "--state", str(state)],
            stdout=subprocess.PIPE, stderr=stderr, text=True,
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, f"the lab ended with status {process.wait(5)}:\n{log.read_text()}"
        children = psutil.Process(process.pid).children(recursive=True)
        yield RunningLab(process, json.loads(line), log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        status = process.wait(STOP_S)
        process.stdout.close()
    assert status == 0, log.read_text()
    assert rest == "", "standard output holds one line and nothing else"
    assert not [child for child in children if _alive(child)]


def wait_until(check: Any, timeout: float = 10.0) -> None:
    """Poll `check` until it is true; fail with its last value."""
    deadline = time.monotonic() + timeout
    while not (value := check()):
        assert time.monotonic() < deadline, f"still {value!r} after {timeout} s"
        time.sleep(0.05)


def _alive(child: psutil.Process) -> bool:
    return child.is_running() and child.status() != psutil.STATUS_ZOMBIE
