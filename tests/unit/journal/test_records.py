"""The edge's record file: one open and one end line a flow, in order, valid, and never in a flow's way."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunneld.journal import records
from tunneld.journal.flows import CLOSED, FlowRecord
from tunneld.journal.records import LineFile, RecordWriter, line
from tunneld.model.reasons import Reason


def flow(name: str = "one") -> FlowRecord:
    return FlowRecord(
        flow_id=name, correlation_id="c" * 32, begin=1.0, destination="files.example", port=443, tenant="contoso"
    )


def end(record: FlowRecord) -> FlowRecord:
    record.state, record.reason, record.end, record.bytes_sent = CLOSED, Reason.COMPLETED, 2.0, 7
    return record


async def test_an_open_line_tells_what_was_known_then() -> None:
    """A flow that is over before the writer's turn still gets an open line of a live flow, then its end."""
    pieces: list[bytes] = []
    writer = RecordWriter(pieces.append)
    record = flow()
    writer.opened(record)
    writer.ended(end(record))
    await writer.flush()
    opened, ended = (json.loads(text) for text in b"".join(pieces).splitlines())
    assert (opened["event"], opened["state"]) == ("flow-open", "active")
    assert "end" not in opened
    assert (ended["event"], ended["state"], ended["reason"]) == ("flow-end", "closed", "completed")
    assert (ended["bytes_sent"], ended["end"]) == (7, "1970-01-01T00:00:02.000000Z")
    assert opened["correlation_id"] == ended["correlation_id"] == "c" * 32
    assert (writer.written, writer.dropped) == (2, 0)


@given(text=st.text(), detail=st.text())
def test_every_line_is_one_valid_json_line(text: str, detail: str) -> None:
    """Whatever a peer calls its destination, a record is one line of ASCII that parses to the same text."""
    record = flow()
    record.destination, record.detail, record.application, record.end, record.reason = text, detail, text, 2.0, None
    for ended in (False, True):
        written = line(record, ended=ended)
        assert written.isascii()
        assert written.index("\n") == len(written) - 1
        assert json.loads(written)["destination"] == text
        assert json.loads(written)["application"] == text


def test_a_record_without_an_end_is_written_all_the_same() -> None:
    """Nothing is invented for what is not known."""
    assert json.loads(line(flow(), ended=True))["end"] is None


async def test_a_full_disk_loses_lines_and_counts_them() -> None:
    """The failure reaches nobody; the next write is tried again."""
    full = True
    pieces: list[bytes] = []

    def write(data: bytes) -> None:
        if full:
            raise OSError(28, "No space left on device")
        pieces.append(data)

    writer = RecordWriter(write)
    writer.opened(flow())
    await writer.flush()
    assert (writer.written, writer.dropped) == (0, 1)
    full = False
    writer.opened(flow())
    await writer.flush()
    assert (writer.written, writer.dropped, len(pieces)) == (1, 1, 1)


async def test_too_many_waiting_lines_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hung disk costs lines, never memory without end."""
    monkeypatch.setattr(records, "MAX_WAITING", 3)
    writer = RecordWriter(lambda data: None)
    for _ in range(3):
        writer.opened(flow())
        writer.ended(flow())
    assert writer.dropped == 3
    await writer.flush()
    assert (writer.written, writer.dropped) == (3, 3)


async def test_a_slow_disk_does_not_stop_the_loop() -> None:
    """While the writer's thread is stuck in a write, the loop goes on and lines keep their order."""
    release = threading.Event()
    pieces: list[bytes] = []

    def write(data: bytes) -> None:
        release.wait(10)
        pieces.append(data)

    writer = RecordWriter(write)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(writer.run(interval=0.001))
        writer.opened(flow("first"))
        turns = 0
        while turns < 50:
            await asyncio.sleep(0.001)
            turns += 1
        writer.opened(flow("second"))
        assert pieces == []
        release.set()
        for _ in range(5000):
            if writer.written == 2:
                break
            await asyncio.sleep(0.001)
        task.cancel()
    assert [json.loads(text)["flow_id"] for text in b"".join(pieces).splitlines()] == ["first", "second"]


@pytest.mark.parametrize("before", [1, 2, 5])
async def test_cancelling_the_writer_loses_nothing(before: int) -> None:
    """Whenever a writer at work is cancelled, each line is written exactly once."""
    pieces: list[bytes] = []
    writer = RecordWriter(pieces.append)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(writer.run(interval=0))
        for number in range(600):
            writer.opened(flow(str(number)))
        for _ in range(before):
            await asyncio.sleep(0)
        task.cancel()
    await asyncio.to_thread(lambda: None)
    names = [json.loads(text)["flow_id"] for text in b"".join(pieces).splitlines()]
    assert names == [str(number) for number in range(600)]
    assert writer.written == 600


def test_a_line_file_grows_by_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It appends across restarts, is private, and takes back what did not fit."""
    path = tmp_path / "flows.jsonl"
    for _ in range(2):
        file = LineFile(path)
        file.write(b"{}\n")
        file.close()
    assert path.read_bytes() == b"{}\n{}\n"
    assert path.stat().st_mode & 0o777 == 0o600

    write = os.write
    room = 4

    def cramped(descriptor: int, data: memoryview) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        taken = write(descriptor, data[:room])
        room -= taken
        return taken

    file = LineFile(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", cramped)
        with pytest.raises(OSError, match="No space"):
            file.write(b'{"a":1}\n')
    assert path.read_bytes() == b"{}\n{}\n"
    file.write(b"[]\n")
    file.close()
    assert path.read_bytes() == b"{}\n{}\n[]\n"


def test_a_device_that_is_full_is_only_an_error() -> None:
    """There is nothing to take back from a device."""
    file = LineFile(Path("/dev/full"))
    with pytest.raises(OSError, match="No space"):
        file.write(b"{}\n")
    file.close()


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    """Records do not land in a file of somebody else's choice."""
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "flows.jsonl").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        LineFile(tmp_path / "flows.jsonl")
