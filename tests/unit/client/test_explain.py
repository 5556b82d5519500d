"""Reading what `explain` is asked about, and what it says without a profile or about a flow of the past."""

from __future__ import annotations

import pytest

from tunneld.client.explain import explain_flow, explanation, parse_destination
from tunneld.journal.flows import FlowRecord
from tunneld.model.errors import PeerProtocolError
from tunneld.model.reasons import Reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("App.Example", ("app.example", 443, "tcp")),
        ("app.example:80", ("app.example", 80, "tcp")),
        ("app.example:53/udp", ("app.example", 53, "udp")),
        ("app.example/UDP", ("app.example", 443, "udp")),
        ("2001:db8::1", ("2001:db8::1", 443, "tcp")),
        ("[2001:db8::1]:80", ("2001:db8::1", 80, "tcp")),
        ("[2001:db8::1]", ("2001:db8::1", 443, "tcp")),
        ("10.0.0.1:22", ("10.0.0.1", 22, "tcp")),
    ],
)
def test_a_destination_is_read_as_people_write_it(text: str, expected: tuple[str, int, str]) -> None:
    assert parse_destination(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a:0", Reason.PORT_INVALID), ("a:x", Reason.PORT_INVALID), ("a/icmp", Reason.UNSUPPORTED_PROTOCOL),
        ("", Reason.NAME_INVALID), ("a b:1", Reason.NAME_INVALID), ("x" * 300, Reason.NAME_TOO_LONG),
    ],
)
def test_what_is_no_destination_is_refused_with_a_reason(text: str, reason: Reason) -> None:
    with pytest.raises(PeerProtocolError) as caught:
        parse_destination(text)
    assert caught.value.reason is reason


def test_without_a_profile_everything_goes_direct_and_says_so() -> None:
    answer = explanation(None, parse_destination("a.example:80"))
    assert (answer["verdict"], answer["reason"], answer["candidates"], answer["rule"]) == (
        "direct", "no_profile", [], None,
    )


def test_a_flow_of_a_past_epoch_keeps_its_decision_and_has_no_candidates() -> None:
    record = FlowRecord(
        "f", "c", 0.0, "a.example", 80, tenant="contoso", epoch=3, channel="private", rule_id="r", application="app",
        action="tunnel",
    )
    answer = explain_flow(record, None)
    assert (answer["verdict"], answer["tenant"], answer["epoch"]) == ("tunnel", "contoso", 3)
    assert answer["rule"] == {"id": "r", "priority": None, "application": "app"}
    assert answer["candidates"] is None
    assert explain_flow(FlowRecord("f", "c", 0.0, "a", 1, action="bypass"), None)["verdict"] == "direct"
    assert explain_flow(FlowRecord("f", "c", 0.0, "a", 1), None)["verdict"] is None
