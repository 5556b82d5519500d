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


def reserve(names: Sequence[str], path: Path, held: ExitStack) -> dict[str, int]:
    """Return a free port of 127.0.0.1 for each name, the one in `path` where that is still free, and remember them.

    The ports stay bound until `held` is closed: programs that set SO_REUSEADDR, as servers do, can listen on them
    meanwhile, and no other lab can choose them.
    """
    remembered = _read(path)
    chosen = {name: _take(remembered.get(name), held) for name in names}
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
    if wanted is not None and _nobody_listens(wanted) and _hold(wanted, held, again=True):
        return wanted
    for _ in range(ATTEMPTS):
        candidate = random.randint(FIRST, LAST)
        if _datagrams_are_free(candidate) and _hold(candidate, held, again=False):
            return candidate
    raise DocumentError("127.0.0.1", f"ports {FIRST} to {LAST}", "none is free", "stop other labs on this machine")


def _nobody_listens(port: int) -> bool:
    """Tell whether an earlier run's port is free. Its TIME_WAIT is no obstacle; a live listener is."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
    return _datagrams_are_free(port)


def _datagrams_are_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _hold(port: int, held: ExitStack, *, again: bool) -> bool:
    """Bind a fresh port so that only a socket with SO_REUSEADDR may join, unless somebody has it in any way."""
    holder = socket.socket()
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(again))
        holder.bind(("127.0.0.1", port))
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # from here on our own program may join
    except OSError:
        holder.close()
        return False
    held.callback(holder.close)
    return True
