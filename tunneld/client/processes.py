"""Gives live flows the name of the program that opened them, when somebody looks at them."""

from __future__ import annotations

from collections.abc import Iterable

from tunneld.inbound.process import process_at
from tunneld.journal.flows import ACTIVE, FlowRecord

MAX_NAMED = 32  # a name takes milliseconds in /proc; the others keep null and get theirs at the next look


def name_processes(records: Iterable[FlowRecord]) -> None:
    """Fill in `process` of the newest live records that lack it. Reads /proc: call it in a worker thread."""
    nameless = [record for record in records if record.state == ACTIVE and record.process is None]
    for record in nameless[-MAX_NAMED:]:
        if record.source_port is not None:
            # Applications reach us over loopback; which of the two families is all that the record does not say.
            record.process = process_at("127.0.0.1", record.source_port) or process_at("::1", record.source_port)
