"""Where a lab keeps its files, and the passwords and canaries that belong to one state directory."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tunneld.journal.files import write_atomic
from tunneld.model.errors import DocumentError

MAX_SOCKET_PATH = 107  # unix(7): sun_path holds 108 bytes with the closing zero


class StatePaths(NamedTuple):
    """The files of one lab. The root is also the daemon's own state directory, so that `--state ROOT` reaches it."""

    root: Path

    @property
    def lab(self) -> Path:
        """Everything that is the lab's and not the daemon's."""
        return self.root / "lab"

    @property
    def logs(self) -> Path:
        """A log file a program."""
        return self.lab / "logs"

    @property
    def certificates(self) -> Path:
        """The certificate directory, as `tunneld certs` makes it."""
        return self.lab / "certs"

    @property
    def bundle(self) -> Path:
        """Every authority of the lab in one PEM file."""
        return self.certificates / "bundle.pem"

    @property
    def control(self) -> Path:
        """The daemon's control socket."""
        return self.root / "control.sock"


class Secrets(NamedTuple):
    """What is random in a lab: a password for each user and a canary for each tenant."""

    passwords: dict[str, str]
    canaries: dict[str, str]


@contextmanager
def opened(root: Path) -> Iterator[StatePaths]:
    """Make the directory, hold it against a second lab, and give the paths in it. Raises DocumentError."""
    paths = StatePaths(root.expanduser().resolve())
    if len(os.fsencode(paths.control)) > MAX_SOCKET_PATH:
        raise DocumentError(str(root), "", "too long for a Unix socket in it", "name a shorter --state directory")
    try:
        paths.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (paths.lab / "lock").open("w")
    except OSError as error:
        raise DocumentError(str(root), "", f"cannot be made ({error.strerror})", "name another directory") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            mend = "stop it, or give --state another directory"
            raise DocumentError(str(root), "", "another lab is running there", mend) from None
        yield paths


def load_secrets(path: Path, *, users: Sequence[str], tenants: Sequence[str]) -> Secrets:
    """Return the secrets of this state directory, making what is missing."""
    known: dict[str, dict[str, str]] = {}
    if path.exists():
        try:
            known = json.loads(path.read_bytes())
        except ValueError:
            raise DocumentError(str(path), "", "is not JSON", "remove the file; the lab makes a new one") from None
    passwords, canaries = known.get("passwords", {}), known.get("canaries", {})
    made = Secrets(
        {upn: passwords.get(upn) or secrets.token_urlsafe(9) for upn in users},
        {name: canaries.get(name) or f"canary-{name}-{secrets.token_hex(4)}" for name in tenants},
    )
    write_atomic(path, json.dumps(made._asdict(), indent=1).encode() + b"\n")
    return made
