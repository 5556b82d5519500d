"""Replacing a file: after any failure, and at any moment, the old content or the new, never a mixture."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tunneld.journal.files import write_atomic


def test_a_file_is_made_private_and_replaced_whole(tmp_path: Path) -> None:
    """Content and mode are as asked, whatever the umask and whatever was there."""
    old_mask = os.umask(0)
    try:
        target = tmp_path / "state"
        write_atomic(target, b"one")
        assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"one", 0o600)
        write_atomic(str(target), b"two", mode=0o644)
        assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"two", 0o644)
        assert os.listdir(tmp_path) == ["state"]
    finally:
        os.umask(old_mask)


def test_a_planted_link_is_replaced_not_followed(tmp_path: Path) -> None:
    """A symbolic link at the place of the file does not lead a write elsewhere."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "state").symlink_to(victim)
    write_atomic(tmp_path / "state", b"new")
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "state").read_bytes() == b"new"
    assert not (tmp_path / "state").is_symlink()


@pytest.mark.parametrize("step", ["fsync", "fchmod", "replace"])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, failure: BaseException
) -> None:
    """Wherever it fails before the exchange, the old content stays, the temporary file goes, the cause is raised."""
    target = tmp_path / "state"
    target.write_bytes(b"old")

    def fail(*_: Any, **__: Any) -> None:
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(type(failure)):
            write_atomic(target, b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["state"]


def test_the_content_is_durable_before_it_gets_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsync(file), rename, fsync(directory), in this order: a crash between any two leaves a whole file."""
    target = tmp_path / "state"
    target.write_bytes(b"old")
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def seen_fsync(descriptor: int) -> None:
        directory = os.path.isdir(f"/proc/self/fd/{descriptor}")
        steps.append("fsync directory" if directory else f"fsync file of {os.fstat(descriptor).st_size}")
        assert target.read_bytes() == (b"new" if directory else b"old")
        fsync(descriptor)

    def seen_replace(source: str, destination: Path) -> None:
        steps.append("rename")
        replace(source, destination)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "replace", seen_replace)
    write_atomic(target, b"new")
    assert steps == ["fsync file of 3", "rename", "fsync directory"]


def test_a_missing_directory_is_the_callers_problem(tmp_path: Path) -> None:
    """Nothing is made up: the error names what is missing."""
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "absent" / "state", b"new")
