"""Flow records and the table they live in."""

from __future__ import annotations

import pytest

from tunneld.journal.flows import ACTIVE, CLOSED, REFUSED, TERMINATED, CorrelationIds, FlowRecord, FlowTable
from tunneld.journal.timestamps import rfc3339
from tunneld.model.reasons import Reason

CONTRACT = {
    "flow_id", "correlation_id", "begin", "end", "state", "reason", "protocol", "destination", "port", "process",
    "tenant", "epoch", "channel", "rule_id", "action", "bytes_sent", "bytes_received",
}  # fmt: skip


def flow(name: str, begin: float = 0.0) -> FlowRecord:
    return FlowRecord(flow_id=name, correlation_id="0" * 31 + "1", begin=begin, destination="a.example", port=80)


def test_a_record_says_everything_that_scripts_were_promised() -> None:
    """The public fields are there from the start; what is not known is null."""
    shown = flow("one", 1_767_225_600.25).to_json()
    assert shown.keys() >= CONTRACT
    assert shown["begin"] == "2026-01-01T00:00:00.250000Z"
    assert (shown["state"], shown["end"], shown["reason"], shown["tenant"]) == ("active", None, None, None)


def test_an_ended_record_says_when_and_why() -> None:
    """End and reason appear when the flow ends."""
    table, record = FlowTable(), flow("one")
    table.open(record)
    assert table.close(record, TERMINATED, Reason.TENANT_SWITCHED, 1.5)
    shown = record.to_json()
    assert (shown["state"], shown["reason"], shown["end"]) == (
        "terminated", "tenant_switched", "1970-01-01T00:00:01.500000Z",
    )  # fmt: skip


def test_bytes_of_a_live_flow_are_read_from_its_meter() -> None:
    """Whoever asks sees the counts of the moment; without a meter, those that were written into the record."""

    class Meter:
        def counts(self) -> tuple[int, int]:
            return 3, 4

    record = flow("one")
    record.bytes_sent = 1
    assert record.to_json()["bytes_sent"] == 1
    record.meter = Meter()
    shown = record.to_json()
    assert (shown["bytes_sent"], shown["bytes_received"]) == (3, 4)


def test_only_the_first_end_counts() -> None:
    """A reset that arrives after the close changes nothing and is remembered once."""
    table, record = FlowTable(), flow("one")
    table.open(record)
    assert table.close(record, CLOSED, Reason.COMPLETED, 1.0)
    assert not table.close(record, TERMINATED, Reason.CLIENT_RESET, 2.0)
    assert (record.state, record.end) == (CLOSED, 1.0)
    assert (list(table.ended), table.live, table.opened_total) == ([record], {}, 1)


def test_a_refused_flow_is_remembered_without_ever_living() -> None:
    """Refusals are history too."""
    table, record = FlowTable(), flow("one")
    assert table.close(record, REFUSED, Reason.RULE_BLOCK, 1.0)
    assert table.find("one") is record


def test_history_is_bounded_and_live_flows_are_not_forgotten() -> None:
    """Old ended flows go first; a live one stays whatever happens beside it."""
    table = FlowTable(history=3)
    old = flow("old")
    table.open(old)
    for number in range(10):
        record = flow(str(number), float(number + 1))
        table.open(record)
        table.close(record, CLOSED, Reason.COMPLETED, 20.0)
    assert [record.flow_id for record in table.newest()] == ["old", "7", "8", "9"]
    assert [record.flow_id for record in table.newest(limit=2)] == ["8", "9"]
    assert [record.flow_id for record in table.newest(state=ACTIVE)] == ["old"]
    assert table.newest(limit=0) == []
    assert table.find("old") is old
    assert table.find("3") is None


def test_watchers_hear_of_openings_and_ends_until_they_leave() -> None:
    """Whoever follows gets each change once, and may leave while being told."""
    table, heard = FlowTable(), []

    def watch(record: FlowRecord) -> None:
        heard.append((record.flow_id, record.state))
        if record.state == CLOSED:
            leave()
            leave()

    leave = table.subscribe(watch)
    table.subscribe(lambda record: None)
    first, second = flow("first"), flow("second")
    for record in (first, second):
        table.open(record)
    table.close(first, CLOSED, Reason.COMPLETED, 1.0)
    table.close(second, CLOSED, Reason.COMPLETED, 1.0)
    assert heard == [("first", ACTIVE), ("second", ACTIVE), ("first", CLOSED)]


def test_correlation_ids_are_trace_ids_that_never_repeat() -> None:
    """32 lower-case hex digits, not zero, different within a process and between processes."""
    ids, others = CorrelationIds(b"\0" * 7 + b"\1"), CorrelationIds(b"\0" * 7 + b"\2")
    made = [ids() for _ in range(1000)] + [others() for _ in range(1000)]
    assert len(set(made)) == 2000
    assert all(len(each) == 32 and int(each, 16) and each == each.lower() for each in made)
    assert made[:1000] == sorted(made[:1000])


@pytest.mark.parametrize("seed", [b"", b"short", b"\0" * 8, b"x" * 9])
def test_a_seed_must_be_eight_bytes_and_not_zero(seed: bytes) -> None:
    """An all-zero trace id is invalid, so a seed that could make one is refused."""
    with pytest.raises(ValueError, match="8 bytes"):
        CorrelationIds(seed)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (0.9999999, "1970-01-01T00:00:00.999999Z"),
        (1_709_164_799.5, "2024-02-28T23:59:59.500000Z"),
        (-0.5, "1969-12-31T23:59:59.500000Z"),
    ],
)
def test_times_are_rfc_3339_in_utc(seconds: float, text: str) -> None:
    """Six digits, never rounded up into a sixtieth second."""
    assert rfc3339(seconds) == text
