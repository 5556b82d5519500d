"""Files of state, replaced whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def write_atomic(path: str | os.PathLike[str], data: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` with `data` so that a reader, or a crash at any point, sees the old file or the new one.

    A temporary file in the same directory is written, synced and renamed over the old one, then the directory is
    synced, because rename(2) is durable only once its directory is. On failure the old file stays, the temporary
    one is removed and the OSError is the caller's.
    """
    target = Path(path)
    # mkstemp creates 0600: the bytes are never readable by others, whatever the umask, not even for a moment.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_directory(target.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
