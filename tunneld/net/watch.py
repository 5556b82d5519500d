"""Files that are read again when they change, while the program runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tunneld.model.errors import DocumentError

INTERVAL_S = 1.0

Stamp = tuple[int, int, int] | None


class FileWatch:
    """A group of files that belong together, and what to do when any of them changes.

    `reload` reads and swaps, or raises DocumentError (or OSError) and swaps nothing; then `refused` is told and the
    old state stays until the files change again. Polling sees what inotify misses: bind mounts, NFS, renames of a
    parent directory (a mounted Kubernetes secret is exchanged that way).
    """

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]],
        reload: Callable[[], None],
        *,
        refused: Callable[[str], None],
        reloaded: Callable[[], None] | None = None,
    ) -> None:
        self._paths = [Path(path) for path in paths]
        self._reload = reload
        self._refused = refused
        self._reloaded = reloaded
        self._seen = self._stamps()

    def look(self) -> bool:
        """Reload if a file changed since the last look, and tell whether something new is in force."""
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        self._seen = stamps
        try:
            self._reload()
        except DocumentError as error:
            self._refused(str(error))
            return False
        except OSError as error:
            self._refused(f"{error.filename or self._paths[0]}: {error.strerror or error}")
            return False
        if self._reloaded is not None:
            self._reloaded()
        return True

    def _stamps(self) -> list[Stamp]:
        return [_stamp(path) for path in self._paths]


async def watch(watches: Sequence[FileWatch], *, interval: float = INTERVAL_S) -> None:
    """Look at every group once an `interval`, for ever. The caller's task group owns this task."""
    while True:
        await asyncio.sleep(interval)
        for each in watches:
            each.look()


def _stamp(path: Path) -> Stamp:
    """Time, size and inode: a rename over the file changes the inode even within one tick of the clock."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
