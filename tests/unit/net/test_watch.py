"""Files that change under a running program."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from tunneld.model.errors import DocumentError
from tunneld.net.watch import FileWatch, watch


class Reader:
    """Reads one file, and says what became of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.value = path.read_text()
        self.complaints: list[str] = []
        self.reads = 0

    def read(self) -> str:
        self.reads += 1
        text = self.path.read_text()
        if text == "broken":
            raise DocumentError(str(self.path), "line 1", "is broken", "mend it")
        return text

    def take(self, value: str) -> None:
        self.value = value

    def watch(self, *others: Path) -> FileWatch[str]:
        return FileWatch([self.path, *others], self.read, self.take, refused=self.complaints.append)


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    path = tmp_path / "profile.toml"
    path.write_text("one")
    return Reader(path)


async def test_nothing_is_read_while_nothing_changes(reader: Reader) -> None:
    """A look is a stat and no more."""
    watched = reader.watch()
    assert not await watched.look()
    assert reader.reads == 0


async def test_a_changed_file_is_taken_over(reader: Reader) -> None:
    """In place or by rename, a new content is in force after the next look, and is read once."""
    watched = reader.watch()
    reader.path.write_text("two!")
    assert await watched.look()
    assert reader.value == "two!"
    other = reader.path.with_suffix(".tmp")
    other.write_text("thr3")  # same size, and its time is set to the old one: only the inode differs
    before = reader.path.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(other, reader.path)
    assert await watched.look()
    assert reader.value == "thr3"
    assert not await watched.look()
    assert reader.reads == 2


async def test_a_broken_file_keeps_the_old_value_and_is_reported_once(reader: Reader) -> None:
    """The complaint says where and what; a mended file is taken over."""
    watched = reader.watch()
    reader.path.write_text("broken")
    assert not await watched.look()
    assert not await watched.look()
    assert reader.value == "one"
    assert reader.complaints == [f"{reader.path}: line 1: is broken (mend it)"]
    reader.path.write_text("mended")
    assert await watched.look()
    assert reader.value == "mended"


async def test_a_vanished_file_keeps_the_old_value(reader: Reader) -> None:
    """A file that is gone is reported like a broken one, and its return is noticed."""
    watched = reader.watch()
    reader.path.unlink()
    assert not await watched.look()
    assert reader.complaints == [f"{reader.path}: No such file or directory"]
    reader.path.write_text("back")
    assert await watched.look()


async def test_an_error_without_a_file_name_is_reported_too(reader: Reader) -> None:
    """The first file of the group stands for it."""
    watched = FileWatch([reader.path], _fail, reader.take, refused=reader.complaints.append)
    reader.path.write_text("x")
    assert not await watched.look()
    assert reader.complaints == [f"{reader.path}: odd"]


def _fail() -> str:
    raise OSError("odd")


async def test_a_change_of_any_file_of_the_group_counts(reader: Reader, tmp_path: Path) -> None:
    """A certificate is read again when only its key changed."""
    key = tmp_path / "key"
    watched = reader.watch(key)
    key.write_text("k")
    assert await watched.look()
    assert reader.reads == 1


async def test_reading_does_not_stop_the_loop(reader: Reader) -> None:
    """A slow read runs beside the loop, and its result is taken over in the loop."""
    loop_thread: list[int] = []
    read_thread: list[int] = []

    def read() -> str:
        read_thread.append(threading.get_ident())
        return "new"

    def take(value: str) -> None:
        loop_thread.append(threading.get_ident())

    watched = FileWatch([reader.path], read, take, refused=reader.complaints.append)
    reader.path.write_text("changed")
    assert await watched.look()
    assert loop_thread == [threading.get_ident()] != read_thread


async def test_the_task_looks_again_and_again(reader: Reader) -> None:
    """Changes are noticed within an interval for as long as the owner keeps the task."""
    seen = asyncio.Event()
    watched: FileWatch[object] = FileWatch(
        [reader.path], reader.read, lambda value: seen.set(), refused=reader.complaints.append
    )
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(watch([watched], interval=0.005))
        for text in ("two", "three"):
            seen.clear()
            reader.path.write_text(text)
            await seen.wait()
        task.cancel()
