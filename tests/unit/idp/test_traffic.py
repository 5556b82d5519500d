"""What the traffic log makes of the edges' records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunneld.idp import traffic
from tunneld.idp.traffic import read_flows, traffic_entry

TENANT = "11111111-1111-4111-8111-111111111111"


def line(flow: str, begin: str, *, event: str = "flow-end", **fields: object) -> bytes:
    record = {"event": event, "flow_id": flow, "begin": begin, "tenant": "contoso", "state": "closed", **fields}
    return json.dumps(record).encode() + b"\n"


def test_a_flow_is_one_entry_and_the_newest_comes_first(tmp_path: Path) -> None:
    """The line of the end replaces that of the beginning; other tenants' flows are nobody's business."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(
        line("a", "2026-01-01T00:00:01Z", event="flow-open", state="active")
        + line("b", "2026-01-01T00:00:03Z", tenant="fabrikam")
        + line("a", "2026-01-01T00:00:01Z", bytes_sent=7)
    )
    two.write_bytes(line("c", "2026-01-01T00:00:02Z", event="flow-open", state="active"))
    flows = read_flows([one, two, tmp_path / "absent"], "contoso")
    assert [(flow["flow_id"], flow["state"]) for flow in flows] == [("c", "active"), ("a", "closed")]
    assert traffic_entry(flows[1], TENANT)["sentBytes"] == 7


@pytest.mark.parametrize(
    "foreign",
    [b"{\n", b"[]\n", b"7\n", b'{"flow_id":7,"begin":"x","tenant":"contoso"}\n', b"\xff\xfe\n", b"[" * 100_000 + b"\n",
     b'{"flow_id":"x","begin":1,"tenant":"contoso"}\n', b'{"flow_id":"half","begin":"2'],
)
def test_lines_that_are_no_records_are_passed_over(tmp_path: Path, foreign: bytes) -> None:
    """Half a line, another program's line, a hostile line: the rest is read."""
    path = tmp_path / "records"
    path.write_bytes(line("a", "2026-01-01T00:00:01Z") + foreign)
    assert [flow["flow_id"] for flow in read_flows([path], "contoso")] == ["a"]


def test_only_the_end_of_a_long_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit cuts a line in two; the half that is left is not taken for a record."""
    path = tmp_path / "records"
    lines = [line(f"{n:04d}", f"2026-01-01T00:00:{n:02d}Z") for n in range(10)]
    path.write_bytes(b"".join(lines))
    monkeypatch.setattr(traffic, "MAX_READ", len(lines[0]) * 3 + 5)
    assert [flow["flow_id"] for flow in read_flows([path], "contoso")] == ["0009", "0008", "0007"]


def test_the_words_of_an_entry() -> None:
    """A refused flow of a guest: every member has its place, and what is unknown is null."""
    record = json.loads(
        line(
            "f", "2026-01-01T00:00:01Z", state="refused", correlation_id="c" * 32, channel="private", user="u",
            user_type="guest", home_tenant="h", token_id="t", application="a", rule_id="r",
            destination="vault.internal", port=443, protocol="tcp", reason="rule_block",
        )
    )
    entry = traffic_entry(record, TENANT)
    assert {name: value for name, value in entry.items() if value is not None} == {
        "transactionId": "f", "connectionId": "c" * 32, "correlationId": "c" * 32,
        "createdDateTime": "2026-01-01T00:00:01Z", "status": "refused", "action": "block", "reason": "rule_block",
        "trafficType": "private", "tenantId": TENANT, "userId": "u", "userType": "guest", "homeTenantId": "h",
        "uniqueTokenIdentifier": "t", "applicationId": "a", "policyRuleId": "r", "transportProtocol": "tcp",
        "destinationFQDN": "vault.internal", "destinationPort": 443,
    }
