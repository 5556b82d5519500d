"""The lab's child processes: each program as a user would start it, its ready line read, none left behind."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tunneld.model.errors import TunneldError

READY_TIMEOUT_S = 45.0  # a cold start on a loaded two-core machine took 9 s; five times that is a hang
STOP_TIMEOUT_S = 5.0
POLL_S = 0.02
MAX_WORDS = 400  # characters of a failed program's last line that go into the message

_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None, use_errno=True)


class ProgramError(TunneldError):
    """A program did not become ready. The message names it, the cause and where its log is."""


class Program:
    """One child process with its log, its standard output in a file and the command that starts it again."""

    def __init__(self, name: str, arguments: Sequence[str], logs: Path, *, mask: set[int | signal.Signals]) -> None:
        self.name = name
        self.arguments = tuple(arguments)
        self.log = logs / f"{name}.log"
        self._output = logs / f"{name}.out"
        command = [sys.executable, "-m", "tunneld", *arguments]
        # Files instead of pipes: a pipe that nobody reads would block the child some day.
        with self.log.open("ab") as log, self._output.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=log,
                start_new_session=True,  # Ctrl-C is for the lab, which stops its children in order
                preexec_fn=partial(_before_exec, os.getpid(), mask),
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def command(self) -> str:
        """What a user types to start it again."""
        return " ".join(("tunneld", *self.arguments))

    def exit_status(self) -> int | None:
        """Return how it ended (negative: the signal), or None while it runs."""
        return self._process.poll()

    def wait_ready(self, timeout: float = READY_TIMEOUT_S) -> dict[str, Any]:
        """Return the program's ready line. Raises ProgramError when it ends first or stays silent."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            ended = self.exit_status()
            head, newline, _ = self._output.read_bytes().partition(b"\n")
            if newline:
                line = json.loads(head)
                assert isinstance(line, dict)
                return line
            if ended is not None:
                raise ProgramError(f"{self.name} ended with status {ended}: {self.last_words()} (log: {self.log})")
            time.sleep(POLL_S)
        raise ProgramError(f"{self.name} was not ready after {timeout:.0f} s: {self.last_words()} (log: {self.log})")

    def last_words(self) -> str:
        """Return the last line of the log, which is where a program says why it ended."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][:MAX_WORDS] if lines else "it said nothing"

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.exit_status() is None:
            self._process.send_signal(number)

    def stop(self, timeout: float = STOP_TIMEOUT_S) -> int:
        """Wait for the end after a SIGTERM, kill at the deadline; return the exit status."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class Programs:
    """All children of a lab. Leaving the context stops every one, the last started first."""

    def __init__(self, logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self.logs = logs
        self._running: list[Program] = []

    def __enter__(self) -> Programs:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, name: str, *arguments: str) -> Program:
        """Start `tunneld ARGUMENTS` and return at once; `wait_ready` tells when it serves."""
        # An interrupt between the fork and the list would leave a child that nobody stops.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        try:
            program = Program(name, arguments, self.logs, mask=before)
            self._running.append(program)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return program

    def ended(self) -> list[Program]:
        """Return, once each, the programs that have ended by themselves since the last call."""
        gone = [program for program in self._running if program.exit_status() is not None]
        self._running = [program for program in self._running if program not in gone]
        return gone

    def stop(self) -> None:
        """Stop all: first the daemon, which was started last, so that it does not dial edges that are going away."""
        if self._running:
            self._running[-1].send(signal.SIGTERM)
            self._running.pop().stop()
        for program in self._running:
            program.send(signal.SIGTERM)
        for program in self._running:
            program.stop()
        self._running = []


def _before_exec(parent: int, mask: set[int | signal.Signals]) -> None:
    """Runs in the child: take signals again, and die with the lab if that is killed outright (prctl(2))."""
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != parent:  # it died before the call
        os._exit(1)
