"""One JSON line when a flow opens and one when it ends, written off the flow's path.

The flow appends an object to a list. One owned task turns the list into text and writes it in a worker thread, ten
times a second. A full disk loses records, and says how many; it never slows a flow.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quote
from pathlib import Path

from tunneld.journal.flows import FlowRecord
from tunneld.journal.timestamps import rfc3339

FLUSH_S = 0.1
MAX_WAITING = 65536  # lines; over 600,000 flows a second, or a disk that has hung for seconds
_SLICE = 512  # lines made in one turn of the loop: about 1 ms, less than a flow notices

Write = Callable[[bytes], None]


class RecordWriter:
    """Open and close lines of flows, in the order in which they happened."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._waiting: list[tuple[FlowRecord, bool]] = []
        self._one_at_a_time = threading.Lock()
        self._in_hand: tuple[bytes, int] = b"", 0
        self._overflowed = 0
        self._failed = 0
        self.written = 0

    @property
    def dropped(self) -> int:
        """Lines that were lost: too many waited, or the write failed."""
        return self._overflowed + self._failed

    def opened(self, record: FlowRecord) -> None:
        """Note that a flow began. Its line tells what was known then, whatever becomes of it until it is written."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append((record, False))
        else:
            self._overflowed += 1

    def ended(self, record: FlowRecord) -> None:
        """Note that a flow ended, or was refused before it began."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append((record, True))
        else:
            self._overflowed += 1

    async def run(self, *, interval: float = FLUSH_S) -> None:
        """Write what waits, for ever; once more when cancelled. The caller's task group owns this task."""
        try:
            while True:
                await asyncio.sleep(interval)
                await self.flush()
        finally:
            self._store()
            self._take(len(self._waiting))
            self._store()

    async def flush(self) -> None:
        """Write everything that waits now."""
        while self._waiting:
            self._take(_SLICE)
            # Cancellation may come before the worker thread begins or while it writes: what is in hand is stored
            # by whoever is first, once.
            await asyncio.to_thread(self._store)

    def _take(self, most: int) -> None:
        taken, self._waiting = self._waiting[:most], self._waiting[most:]
        text = "".join([line(record, ended=ended) for record, ended in taken])
        self._in_hand = text.encode("ascii"), len(taken)

    def _store(self) -> None:
        with self._one_at_a_time:
            (data, lines), self._in_hand = self._in_hand, (b"", 0)
            if not lines:
                return
            try:
                self._write(data)
            except OSError:
                self._failed += lines
            else:
                self.written += lines


class LineFile:
    """A file that grows by whole lines: what does not fit is taken back, so that no line is ever half there."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)

    def write(self, data: bytes) -> None:
        """Append `data` or raise OSError and leave the file as it was."""
        before = os.fstat(self._descriptor).st_size
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            with contextlib.suppress(OSError):  # a device cannot be cut, and holds nothing to cut
                os.ftruncate(self._descriptor, before)
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def line(record: FlowRecord, *, ended: bool) -> str:
    """Return the JSON line of a record. Written by hand: `json.dumps` takes twice as long."""
    head = (
        f'{{"event":"{"flow-end" if ended else "flow-open"}","flow_id":{quote(record.flow_id)}'
        f',"correlation_id":{quote(record.correlation_id)},"begin":"{rfc3339(record.begin)}"'
        f',"protocol":{_text(record.protocol)},"destination":{_text(record.destination)},"port":{record.port}'
        f',"destination_ip":{_text(record.destination_ip)},"tenant":{_text(record.tenant)},"user":{_text(record.user)}'
        f',"channel":{_text(record.channel)},"rule_id":{_text(record.rule_id)}'
        f',"application":{_text(record.application)},"action":{_text(record.action)}'
        f',"token_id":{_text(record.token_id)},"home_tenant":{_text(record.home_tenant)}'
        f',"user_type":{_text(record.user_type)}'
    )
    if not ended:
        return head + ',"state":"active"}\n'
    end = "null" if record.end is None else f'"{rfc3339(record.end)}"'
    return (
        f'{head},"state":{_text(record.state)},"end":{end},"reason":{_text(record.reason)}'
        f',"detail":{_text(record.detail)},"bytes_sent":{record.bytes_sent},"bytes_received":{record.bytes_received}}}\n'
    )


@lru_cache(maxsize=4096)  # tenants, users, rules and destinations come again and again
def _text(value: str | None) -> str:
    return "null" if value is None else quote(value)
