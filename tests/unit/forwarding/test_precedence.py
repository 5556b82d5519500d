"""Decisions by a compiled profile: each field of the order of precedence, and where lookups could go wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.profiles import compiled, rule
from tunneld.forwarding.assignment import assigned
from tunneld.forwarding.classifier import NO_PROFILE, Classifier
from tunneld.forwarding.compile import NO_RULE, changed_rules, owners
from tunneld.forwarding.document import Assignments
from tunneld.forwarding.explain import explain
from tunneld.model.errors import PeerProtocolError
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Channel, Hardening, Outcome, Protocol, SwitchPolicy, Verdict

TCP, UDP = Protocol.TCP, Protocol.UDP

# Two rules that both match 443/tcp of the host, the winner first, and the field that decides.
CONTESTS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("a.b.example", "channel", rule("z", "*", channel="entra"), rule("a", "*", channel="microsoft")),
    ("a.b.example", "channel", rule("z", "*", channel="microsoft", action="bypass"), rule("a", "a.b.example")),
    ("a.b.example", "channel", rule("z", "*", priority=9), rule("a", "a.b.example", channel="internet", priority=1)),
    ("a.b.example", "application_kind", rule("z", "*", priority=9), rule("a", "a.b.example", application="quick")),
    ("a.b.example", "priority", rule("z", "*", priority=1), rule("a", "a.b.example", priority=2)),
    ("a.b.example", "name_before_address", rule("z", "a.b.example"), rule("a", "*.b.example", ports=[443])),
    ("a.b.example", "labels", rule("z", "*.b.example"), rule("a", "*.example", ports=[443])),
    ("a.b.example", "labels", rule("z", "*.example"), rule("a", "*", ports=[443])),
    ("10.0.0.5", "addresses", rule("z", "10.0.0.0/29"), rule("a", "10.0.0.1-10.0.0.9", ports=[443])),
    ("fd00::5", "addresses", rule("z", "fd00::/64"), rule("a", "fd00::/48", ports=[443])),
    ("10.0.0.5", "ports", rule("z", "10.0.0.5", ports=["440-450"]), rule("a", "10.0.0.5")),
    ("a.b.example", "rule_id", rule("a", "a.b.example", application="app"), rule("z", "a.b.example")),
]


@pytest.mark.parametrize(("host", "field", "winner", "loser"), CONTESTS)
@pytest.mark.parametrize("swapped", [False, True])
def test_each_field_decides(host: str, field: str, winner: Any, loser: Any, swapped: bool) -> None:
    """The winner wins in either order of the rules, and the loser is told the field on which it lost."""
    profile = compiled(*([loser, winner] if swapped else [winner, loser]))
    explanation = explain(profile, host, 443, TCP)
    assert explanation.verdict.rule_id == winner["id"]
    assert [(each.rule, each.outcome) for each in explanation.candidates] == [
        (winner["id"], "won"),
        (loser["id"], "lost"),
    ]
    assert explanation.candidates[1].because.startswith(f"{field}: ")


def test_verdict_carries_what_the_flow_needs() -> None:
    """A verdict names rule, channel, application, priority, hardening and switch policy."""
    profile = compiled(rule("r", "a.example", priority=7, on_switch="drain:30"))
    verdict = profile.classify("a.example", 443, TCP)
    assert verdict._replace(fingerprint=0) == Verdict(
        Outcome.TUNNEL,
        Reason.RULE_TUNNEL,
        channel=Channel.PRIVATE,
        rule_id="r",
        priority=7,
        application="app",
        hardening=Hardening.BLOCK,
        on_switch=SwitchPolicy("drain", 30),
    )
    assert verdict.fingerprint != 0
    assert profile.classify("a.example", 443, TCP) is verdict
    assert profile.classify("b.example", 443, TCP) is NO_RULE


@pytest.mark.parametrize(
    ("action", "outcome", "reason"),
    [
        ("tunnel", Outcome.TUNNEL, Reason.RULE_TUNNEL),
        ("bypass", Outcome.DIRECT, Reason.RULE_BYPASS),
        ("block", Outcome.BLOCK, Reason.RULE_BLOCK),
    ],
)
@pytest.mark.parametrize("channel", ["entra", "microsoft", "private", "internet"])
def test_the_winner_is_final_in_every_channel(channel: str, action: str, outcome: Outcome, reason: Reason) -> None:
    """No action of a winner lets a later channel or a weaker rule decide instead; only a tunnel has an owner."""
    later = rule("later", "*", "0.0.0.0/0", channel="internet", priority=5000)
    profile = compiled(rule("winner", "a.example", channel=channel, application="app", action=action), later)
    verdict = profile.classify("a.example", 443, TCP)
    assert (verdict.outcome, verdict.reason, verdict.rule_id) == (outcome, reason, "winner")
    assert owners(profile, "a.example", 443, TCP) == ("app" if action == "tunnel" else None)


@pytest.mark.parametrize(
    ("host", "matches"),
    [
        ("a.example", True),
        ("a.b.c.example", True),
        ("example", False),
        ("badexample", False),
        ("example.com", False),
        ("x1.example", True),
    ],
)
def test_wildcards_match_any_depth_and_never_the_apex(host: str, matches: bool) -> None:
    """`*.example` is everything below example, and neither example itself nor names that merely end alike."""
    assert (compiled(rule("r", "*.example")).classify(host, 1, UDP) is not NO_RULE) is matches


def test_names_that_end_in_digits_are_names() -> None:
    """Only what is all digits and dots is an address."""
    profile = compiled(rule("r", "host1", "a.7b.c3", "*.v2", "1.2.3.4"))
    assert profile.classify("host1", 1, TCP).rule_id == "r"
    assert profile.classify("a.7b.c3", 1, TCP).rule_id == "r"
    assert profile.classify("x.v2", 1, TCP).rule_id == "r"
    assert profile.classify("1.2.3.4", 1, TCP).rule_id == "r"
    assert profile.classify("1.2.3.5", 1, TCP) is NO_RULE


@pytest.mark.parametrize("host", ["::", "::1", "fd00::", "fd00::1:2", "1:2:3:4:5:6:7:8", "2001:db8:0:1:1:1:1:1"])
def test_every_shape_of_an_ipv6_address(host: str) -> None:
    """An address is found whether zeros are left out at its begin, its end, in between or nowhere."""
    profile = compiled(rule("r", host))
    assert profile.classify(host, 1, TCP).rule_id == "r"
    assert profile.classify("fd00:1::1", 1, TCP) is NO_RULE


def test_names_and_addresses_do_not_mix() -> None:
    """`*` is every name and no address; 0.0.0.0/0 is every IPv4 address, no name and no IPv6 address."""
    profile = compiled(rule("names", "*"), rule("v4", "0.0.0.0/0"))
    assert profile.classify("localhost", 1, TCP).rule_id == "names"
    assert profile.classify("255.255.255.255", 1, TCP).rule_id == "v4"
    assert profile.classify("::1", 1, TCP) is NO_RULE


def test_ports_and_protocols_are_conditions() -> None:
    """A rule that does not admit port and protocol leaves the flow to the next one."""
    profile = compiled(rule("web", "a.example", ports=[80, 443], protocols=["tcp"]), rule("rest", "*.example"))
    assert profile.classify("a.example", 443, TCP).rule_id == "web"
    assert profile.classify("a.example", 443, UDP).rule_id == "rest"
    assert profile.classify("a.example", 81, TCP).rule_id == "rest"


def test_profile_tells_its_document() -> None:
    """The compiled profile answers for the document's own facts."""
    profile = compiled(channels={"internet": {"edge": "e.example:443"}})
    assert (profile.id, profile.tenant, profile.version) == ("profile", "contoso", 1)
    assert profile.has_channel(Channel.INTERNET)
    assert not profile.has_channel(Channel.PRIVATE)


def test_near_misses() -> None:
    """Rules that failed on port, protocol or the apex are named, each with what it missed."""
    profile = compiled(
        rule("port", "example", ports=[22, 80]),
        rule("protocol", "example", protocols=["udp"]),
        rule("both", "example", protocols=["udp"], ports=[*range(1, 20, 2)]),
        rule("apex", "*.example"),
        rule("own", "example", "*.example", priority=1, ports=[443]),
    )
    explanation = explain(profile, "example", 443, TCP)
    assert explanation.verdict.rule_id == "own"
    assert {each.rule: each.because for each in explanation.near_misses} == {
        "port": "example matches, but port 443 is not in 22, 80",
        "protocol": "example matches, but protocol tcp is not udp",
        "both": "example matches, but protocol tcp is not udp and port 443 is not in 1, 3, 5, 7, 9, 11, 13, 15, 2 more",
        "apex": "*.example never matches example itself",
    }


def test_a_rule_is_judged_by_its_best_destination() -> None:
    """A rule that matches in several ways is one candidate."""
    told = explain(compiled(rule("r", "*", "*.example", "a.example")), "a.example", 443, TCP)
    assert [(each.rule, each.outcome, each.because[:17]) for each in told.candidates] == [
        ("r", "won", "matches a.example")
    ]


def test_explanation_as_json() -> None:
    """The public fields are all there, null where there is nothing, and tenant and epoch are left to the daemon."""
    profile = compiled(rule("r", "a.example", ports=[443]))
    told = explain(profile, "a.example", 443, TCP).to_json()
    assert told == {
        "destination": "a.example",
        "protocol": "tcp",
        "port": 443,
        "verdict": "tunnel",
        "channel": "private",
        "tenant": None,
        "epoch": None,
        "rule": {"id": "r", "priority": 1000, "application": "app"},
        "reason": "rule_tunnel",
        "candidates": [{"rule": "r", "outcome": "won", "because": "matches a.example, and no match comes before it"}],
        "near_misses": [],
    }
    told = explain(profile, "a.example", 80, TCP).to_json()
    assert (told["verdict"], told["channel"], told["rule"], told["reason"]) == ("direct", None, None, "no_rule")
    assert told["candidates"] == []
    assert told["near_misses"] == [{"rule": "r", "because": "a.example matches, but port 80 is not in 443"}]


def test_classifier_normalises_and_caches() -> None:
    """Every spelling reaches the same verdict, negative ones are remembered too, and bad names are refused."""
    classifier = Classifier(compiled(rule("r", "a.example", "10.0.0.1")))
    for spelling in ("a.example", "A.Example.", "10.0.0.1", "::ffff:10.0.0.1", "[::ffff:a00:1]"):
        assert classifier.classify(spelling, 443, TCP).rule_id == "r"
    assert classifier.classify("nowhere.example", 443, TCP) is NO_RULE
    before = classifier.classify.cache_info().hits  # type: ignore[attr-defined]
    classifier.classify("nowhere.example", 443, TCP)
    assert classifier.classify.cache_info().hits == before + 1  # type: ignore[attr-defined]
    for bad, reason in (
        ("a b", Reason.NAME_INVALID),
        ("x" * 300, Reason.NAME_TOO_LONG),
        ("0x7f.1", Reason.NAME_INVALID),
    ):
        with pytest.raises(PeerProtocolError) as caught:
            classifier.classify(bad, 443, TCP)
        assert caught.value.reason is reason


def test_without_a_profile_everything_is_direct() -> None:
    """No profile is a reason of its own, and bad names are still refused."""
    classifier = Classifier(None)
    assert classifier.classify("a.example", 443, TCP) is NO_PROFILE
    assert classifier.classify_resolved(NO_PROFILE, "10.0.0.1", 443, TCP) is NO_PROFILE
    with pytest.raises(PeerProtocolError):
        classifier.classify("a b", 443, TCP)


def test_resolved_address_is_judged_where_the_name_matched_nothing() -> None:
    """A private range cannot be reached around its rule by a name, and a bypass by name stays final."""
    classifier = Classifier(compiled(rule("net", "10.0.0.0/8"), rule("direct", "b.example", action="bypass")))
    unknown = classifier.classify("a.example", 443, TCP)
    assert classifier.classify_resolved(unknown, "10.9.9.9", 443, TCP).rule_id == "net"
    assert classifier.classify_resolved(unknown, "203.0.113.1", 443, TCP) is NO_RULE
    bypass = classifier.classify("b.example", 443, TCP)
    assert classifier.classify_resolved(bypass, "10.9.9.9", 443, TCP) is bypass


RULE = rule("r", "a.example", "10.0.0.0/8", ports=[80, "81-90"], protocols=["tcp", "udp"])


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ({"destinations": ["10.0.0.0/8", "A.example."]}, False),
        ({"ports": ["80-85", "84-90"]}, False),
        ({"protocols": ["udp", "tcp"]}, False),
        ({"hardening": "block"}, False),
        ({"on_switch": "terminate", "action": "tunnel", "priority": 1000}, False),
        ({"destinations": ["a.example"]}, True),
        ({"ports": [80]}, True),
        ({"protocols": ["tcp"]}, True),
        ({"hardening": "bypass"}, True),
        ({"on_switch": "keep"}, True),
        ({"action": "block"}, True),
        ({"priority": 999}, True),
        ({"application": "other"}, True),
        ({"channel": "internet"}, True),
    ],
)
def test_a_reload_ends_only_flows_whose_rule_means_something_else(fields: dict[str, Any], changes: bool) -> None:
    """Another spelling of the same rule changes nothing; any change of meaning, a new tenant or a lost rule does."""
    other = rule("other", "b.example")
    old, new = compiled(RULE, other), compiled(other, {**RULE, **fields})
    assert changed_rules(old, new) == (frozenset({"r"}) if changes else frozenset())


def test_a_lost_rule_and_another_tenant_are_changes() -> None:
    """A rule that vanished changed, one that appeared did not, and no rule is the same in two tenants."""
    both, one = compiled(RULE, rule("other", "b.example")), compiled(RULE)
    assert changed_rules(both, one) == {"other"}
    assert changed_rules(one, both) == frozenset()
    assert changed_rules(one, compiled(RULE, tenant="fabrikam")) == {"r"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, False),
        ({"user_types": ["guest"]}, True),
        ({"user_types": ["member"]}, False),
        ({"users": ["OID-1"]}, True),
        ({"users": ["ANNA@contoso.example"]}, True),
        ({"users": ["bob@contoso.example"]}, False),
        ({"groups": ["Partners"]}, True),
        ({"groups": ["staff"]}, False),
        ({"users": ["oid-1"], "user_types": ["member"]}, False),
        ({"groups": ["partners"], "user_types": ["guest", "member"]}, True),
        ({"users": ["bob"], "groups": ["partners"]}, True),
    ],
)
def test_assignment(fields: dict[str, list[str]], expected: bool) -> None:
    """Users or groups name people, types narrow or stand alone, nothing named is nobody."""
    whom = Assignments.model_validate(fields)
    assert assigned(whom, "oid-1", "anna@Contoso.example", ["partners", "all"], "Guest") is expected
