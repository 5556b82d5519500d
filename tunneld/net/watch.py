"""Files that are read again when they change, while the program runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from tunneld.model.errors import DocumentError

INTERVAL_S = 1.0

T = TypeVar("T")
Stamp = tuple[int, int, int] | None


class FileWatch(Generic[T]):
    """A group of files that belong together, and what to do when any of them changes.

    `read` makes a new value of them in a worker thread, since compiling a large profile takes seconds; `apply` takes
    it over in the loop. When `read` raises DocumentError or OSError, `refused` is told, and the old value stays in
    force until the files change again. Polling sees what inotify misses: bind mounts, network file systems, and the
    exchange of a parent directory, which is how a mounted Kubernetes secret changes.
    """

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]],
        read: Callable[[], T],
        apply: Callable[[T], None],
        *,
        refused: Callable[[str], None],
    ) -> None:
        self._paths = [Path(path) for path in paths]
        self._read = read
        self._apply = apply
        self._refused = refused
        self._seen = self._stamps()

    async def look(self) -> bool:
        """Read again if a file changed since the last look, and tell whether something new is in force."""
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        self._seen = stamps
        try:
            value = await asyncio.to_thread(self._read)
        except DocumentError as error:
            self._refused(str(error))
            return False
        except OSError as error:
            self._refused(f"{error.filename or self._paths[0]}: {error.strerror or error}")
            return False
        self._apply(value)
        return True

    def _stamps(self) -> list[Stamp]:
        return [_stamp(path) for path in self._paths]


async def watch(watches: Sequence[FileWatch[object]], *, interval: float = INTERVAL_S) -> None:
    """Look at every group once an `interval`, for ever. The caller's task group owns this task."""
    while True:
        await asyncio.sleep(interval)
        for each in watches:
            await each.look()


def _stamp(path: Path) -> Stamp:
    """Time, size and inode: a rename over the file changes the inode even within one tick of the clock."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
