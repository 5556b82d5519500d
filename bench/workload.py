"""The origin and the load generator as the benchmark drives them."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import origin
from bench.children import ChildError, running, tail
from bench.flows import Endpoint

READY_TIMEOUT = 15.0
LOAD_COMMAND = [sys.executable, str(Path(__file__).resolve().parent / "load.py")]


class UnmeasuredError(RuntimeError):
    """A measurement could not be taken; the text says why and goes into the result."""


def read_line(child: subprocess.Popen[bytes], timeout: float, what: str) -> dict[str, object]:
    """Return the next JSON line that a child prints; raise ChildError when it ends or stays silent."""
    assert child.stdout is not None
    deadline = time.monotonic() + timeout
    line = b""
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
            raise ChildError(f"{what} stayed silent for {timeout:.0f} s")
        piece = child.stdout.read1(65536)  # type: ignore[attr-defined]
        if not piece:
            raise ChildError(f"{what} ended with status {child.wait()}")
        line += piece
    value: dict[str, object] = json.loads(line)
    return value


class Workload:
    """Sends commands to the load generator; a generator that hangs is replaced, so that one peer cannot stop a run."""

    def __init__(self, folder: Path, origin_port: int) -> None:
        self.folder = folder
        self.origin_port = origin_port
        self._stack = ExitStack()
        self._child: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """Stop the load generator."""
        self._child = None
        self._stack.close()

    def ask(self, verb: str, endpoint: Endpoint | None, timeout: float, **arguments: object) -> dict[str, float]:
        """Run one command and return its figures. Raises UnmeasuredError when it fails or takes too long."""
        if self._child is None:
            log = self.folder / "load.log"
            self._child = self._stack.enter_context(running(LOAD_COMMAND, log, piped=True))
        order = {"do": verb, **({"endpoint": endpoint} if endpoint else {}), **arguments}
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(order).encode() + b"\n")
            self._child.stdin.flush()
            answer = read_line(self._child, timeout, f"load generator ({verb})")
        except (ChildError, BrokenPipeError) as error:
            self.close()
            raise UnmeasuredError(f"{error} {tail(self.folder / 'load.log', 200)}".strip()) from None
        if not answer.pop("ok"):
            raise UnmeasuredError(str(answer["error"]))
        return {name: float(value) for name, value in answer.items()}  # type: ignore[arg-type]


@contextmanager
def workload(folder: Path) -> Iterator[Workload]:
    """Start an origin and yield the workload against it; both end with the block."""
    log = folder / "origin.log"
    with running(origin.command(), log, piped=True) as child:
        ready = read_line(child, READY_TIMEOUT, "origin")
        made = Workload(folder, int(str(ready["port"])))
        try:
            yield made
        finally:
            made.close()
