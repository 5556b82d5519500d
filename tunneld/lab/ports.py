"""Port numbers that stay the same for the life of a lab, so that a program can be killed and started again by hand."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tunneld.journal.files import write_atomic
from tunneld.model.errors import DocumentError

# Below Linux's ephemeral range (32768 and up): no outgoing connection of anybody can take one in the meantime.
FIRST, LAST = 20000, 32000
ATTEMPTS = 200  # a machine where 200 random ports in a row are taken has another problem


def reserve(names: Sequence[str], path: Path) -> dict[str, int]:
    """Return a free port of 127.0.0.1 for each name, the one in `path` where that is still free, and remember them."""
    remembered = _read(path)
    chosen: dict[str, int] = {}
    with ExitStack() as held:  # all of them stay bound until the last is chosen, so none is chosen twice
        for name in names:
            chosen[name] = _take(remembered.get(name), held)
    write_atomic(path, json.dumps(chosen, indent=1).encode() + b"\n")
    return chosen


def _read(path: Path) -> dict[str, int]:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        raise DocumentError(str(path), "", "is not JSON", "remove the file; the lab makes a new one") from None
    if not isinstance(document, dict):
        raise DocumentError(str(path), "", "is not a table of ports", "remove the file; the lab makes a new one")
    return {name: port for name, port in document.items() if isinstance(port, int) and FIRST <= port <= LAST}


def _take(wanted: int | None, held: ExitStack) -> int:
    for candidate in (wanted, *(random.randint(FIRST, LAST) for _ in range(ATTEMPTS))):
        if candidate is not None and _bind(candidate, held):
            return candidate
    raise DocumentError("127.0.0.1", f"ports {FIRST} to {LAST}", "none is free", "stop other labs on this machine")


def _bind(port: int, held: ExitStack) -> bool:
    with ExitStack() as attempt:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            probe = attempt.enter_context(socket.socket(socket.AF_INET, kind))
            # TIME_WAIT of an earlier run is no obstacle; a live listener still is.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind == socket.SOCK_STREAM))
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
        held.enter_context(attempt.pop_all())
    return True
