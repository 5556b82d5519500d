"""Reading what `explain` is asked about, and what it says without a profile or about a flow of the past."""

from __future__ import annotations

import pytest

from tunneld.client.explain import Surroundings, explain_flow, explanation, parse_destination, right_now
from tunneld.journal.flows import FlowRecord
from tunneld.model.errors import PeerProtocolError
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Channel, Hardening, Outcome, Verdict


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
        ("[::1]:80", ("::1", 80, "tcp")),
        ("http://App.Example/path?x=1", ("app.example", 80, "tcp")),
        ("https://app.example", ("app.example", 443, "tcp")),
        ("HTTP://[::1]:8080/", ("::1", 8080, "tcp")),
    ],
)
def test_a_destination_is_read_as_people_write_it(text: str, expected: tuple[str, int, str]) -> None:
    assert parse_destination(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a:0", Reason.PORT_INVALID), ("a:x", Reason.PORT_INVALID), ("a/icmp", Reason.UNSUPPORTED_PROTOCOL),
        ("ftp://a/", Reason.MALFORMED_REQUEST), ("http://", Reason.MALFORMED_REQUEST),
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


TUNNEL = Verdict(Outcome.TUNNEL, Reason.RULE_TUNNEL, Channel.PRIVATE, "r", 1, "app", Hardening.BLOCK)
NO_RULE = Verdict(Outcome.DIRECT, Reason.NO_RULE)
DOWN = Surroundings(channel_state="unreachable")


@pytest.mark.parametrize(
    ("verdict", "text", "around", "expected"),
    [
        (NO_RULE, "a.example", Surroundings(), ("direct", "no_rule")),
        (NO_RULE, "127.0.0.1:80", Surroundings(), ("refused", "forbidden_destination")),
        (NO_RULE, "[::1]:80", Surroundings(), ("refused", "forbidden_destination")),
        (NO_RULE, "127.0.0.1:80", Surroundings(allowed=frozenset({("127.0.0.1", 80)})), ("direct", "no_rule")),
        (NO_RULE, "127.0.0.1:80", Surroundings(hosts={"127.0.0.1": "x"}), ("direct", "no_rule")),
        (NO_RULE, "x.corp.internal", Surroundings(private_suffixes={"corp.internal"}),
         ("refused", "name_not_resolved")),
        (NO_RULE, "corp.internal.example", Surroundings(private_suffixes={"corp.internal"}), ("direct", "no_rule")),
        (TUNNEL, "a.example", Surroundings(channel_state="connected", token_state="valid"), ("tunnel", "rule_tunnel")),
        (TUNNEL, "x.corp.internal", Surroundings(private_suffixes={"corp.internal"}), ("tunnel", "rule_tunnel")),
        (TUNNEL, "a.example", DOWN, ("refused", "hardening_block")),
        (TUNNEL._replace(hardening=Hardening.BYPASS), "a.example", DOWN, ("direct", "hardening_bypass")),
        (TUNNEL._replace(hardening=Hardening.BYPASS), "127.0.0.1:1", DOWN, ("refused", "forbidden_destination")),
        (TUNNEL, "a.example", Surroundings(channel_state="unauthenticated", channel_reason=Reason.REVOKED),
         ("refused", "revoked")),
        (TUNNEL, "a.example", Surroundings(channel_state="connected", token_state="application_not_assigned"),
         ("refused", "application_not_assigned")),
        (Verdict(Outcome.BLOCK, Reason.RULE_BLOCK), "a.example", Surroundings(), ("refused", "rule_block")),
    ],
)  # fmt: skip
def test_what_a_flow_would_meet_now(
    verdict: Verdict, text: str, around: Surroundings, expected: tuple[str, str]
) -> None:
    now = right_now(verdict, parse_destination(text), around)
    assert (now["outcome"], now["reason"]) == expected
