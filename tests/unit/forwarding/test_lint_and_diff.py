"""Lint findings and differences, each shown by the smallest profile that has it and one that has not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.profiles import compiled, document, rule
from tunneld.forwarding import lint as lint_module
from tunneld.forwarding.diff import Change, Way, diff
from tunneld.forwarding.lint import Finding, lint

PRIVATE_APP = Way("tunnel", "private", "app", "block")


def findings(*rules: dict[str, Any], **fields: Any) -> list[tuple[str, str, str]]:
    """Return (kind, level, path) of each finding."""
    return [(each.kind, each.level, each.path) for each in lint(document(*rules, **fields))]


def test_a_good_profile_has_no_findings() -> None:
    """Exceptions cut out of wider rules, other channels and equal destinations on other ports are not remarkable."""
    assert (
        findings(
            rule("net", "10.0.0.0/16", ports=[443]),
            rule("host", "10.0.0.1", application="other", ports=[443]),
            rule("a-web", "a.example", ports=[80, 443], protocols=["tcp"]),
            rule("a-ssh", "a.example", application="other", ports=[22], protocols=["tcp"]),
            rule("a-dns", "a.example", application="other", ports=[443], protocols=["udp"]),
            rule("world", "*", "0.0.0.0/0", "::/0", channel="internet"),
            rule("no-video", "*.video.example", channel="internet", action="bypass"),
            private_dns={"suffixes": []},
        )
        == []
    )


SHADOWS: list[tuple[list[dict[str, Any]], tuple[str, str, str]]] = [
    ([rule("w", "*.b.example", priority=1), rule("l", "a.b.example")], ("shadowed", "warning", "rules[1]")),
    ([rule("l", "10.0.0.0/24"), rule("w", "10.0.0.0/16", priority=1)], ("shadowed", "warning", "rules[0]")),
    ([rule("w", "a.example"), rule("l", "a.example", application="quick")], ("shadowed", "warning", "rules[1]")),
    (
        [rule("a", "x.a.example", ports=[443]), rule("b", "x.a.example", ports=[443])],
        ("shadowed", "warning", "rules[1]"),
    ),
    (
        [rule("w", "x.a.example", priority=1), rule("l", "x.a.example", "y.a.example")],
        ("shadowed", "warning", "rules[1].destinations[0]"),
    ),
    (
        [rule("r", "10.0.0.0/24", "10.0.0.0-10.0.0.255", ports=[1])],
        ("shadowed", "info", "rules[0].destinations[0]"),
    ),
    (
        [
            rule("low", "10.0.0.0/25", priority=1),
            rule("high", "10.0.0.128/25", priority=1),
            rule("l", "10.0.0.0/24"),
        ],
        ("unreachable", "warning", "rules[2]"),
    ),
    (
        [
            rule("tcp", "x.a.example", protocols=["tcp"], priority=1),
            rule("udp", "x.a.example", protocols=["udp"], priority=1),
            rule("l", "x.a.example"),
        ],
        ("unreachable", "warning", "rules[2]"),
    ),
]


@pytest.mark.parametrize(("rules", "expected"), SHADOWS)
def test_rules_that_never_win(rules: list[dict[str, Any]], expected: tuple[str, str, str]) -> None:
    """Taken whole by one rule is shadowed, by several together is unreachable; part of a rule is told by its path."""
    assert [each for each in findings(*rules) if each[0] in ("shadowed", "unreachable")] == [expected]


def test_the_shadowing_rule_is_named_with_the_reason() -> None:
    """The message says who takes the flows and on which field it wins."""
    found = lint(document(rule("w", "*.b.example", "b.example", priority=1), rule("l", "a.b.example")))
    assert found[0].rule == "l"
    assert "w takes all of it (priority: 1 of w goes before 1000)" in found[0].message
    assert json.loads(json.dumps(found[0].to_json()))["kind"] == "shadowed"


def test_overlaps() -> None:
    """Equal or crossing destinations of different applications are remarked; the same application's are not."""
    found = lint(
        document(
            rule("w", "10.0.0.0-10.0.0.9", ports=[443], priority=1),
            rule("l", "10.0.0.5-10.0.0.20", ports=[443], application="other"),
            rule("same", "10.0.0.5-10.0.0.30", ports=[443], application="other", priority=2000),
        )
    )
    overlaps = [each for each in found if each.kind == "overlapping"]
    assert [(each.rule, each.level) for each in overlaps] == [("l", "warning"), ("same", "warning")]
    assert "10.0.0.0-10.0.0.9 of w, and priority: 1 of w goes before 1000" in overlaps[0].message


def test_migration_from_quick_access_is_a_note() -> None:
    """Quick Access below Enterprise applications is how a migration looks: one note for the whole rule."""
    found = lint(
        document(
            rule("a", "a.x.example", ports=[443]),
            rule("b", "b.x.example", ports=[443]),
            rule("quick", "*.x.example", "x.example", application="quick"),
        )
    )
    assert [(each.kind, each.level, each.rule) for each in found] == [("overlapping", "info", "quick")]
    assert "(2: a, b)" in found[0].message


LEAKS: list[tuple[list[dict[str, Any]], dict[str, Any], tuple[str, str, str]]] = [
    ([rule("r", "a.x.example", hardening="bypass")], {}, ("leak-prone", "warning", "rules[0].hardening")),
    ([rule("r", "a.x.example", on_switch="keep")], {}, ("leak-prone", "info", "rules[0].on_switch")),
    ([rule("r", "*.x.example")], {}, ("leak-prone", "info", "rules[0].destinations[0]")),
    (
        [rule("hole", "10.0.0.1", action="bypass"), rule("net", "10.0.0.0/24", ports=[443])],
        {},
        ("leak-prone", "warning", "rules[1]"),
    ),
    (
        [rule("hole", "10.0.0.1", action="bypass", channel="microsoft"), rule("net", "10.0.0.0/24", ports=[443])],
        {},
        ("leak-prone", "warning", "rules[1]"),
    ),
    (
        [rule("r", "a.corp.example")],
        {"private_dns": {"suffixes": ["corp.example"]}},
        ("leak-prone", "warning", "private_dns.suffixes[0]"),
    ),
    ([], {"assignments": {}}, ("unassigned", "warning", "assignments")),
]


@pytest.mark.parametrize(("rules", "fields", "expected"), LEAKS)
def test_leaks(rules: list[dict[str, Any]], fields: dict[str, Any], expected: tuple[str, str, str]) -> None:
    """What lets private traffic out, or lets nobody in, is found where it stands."""
    assert findings(*rules, **fields) == [expected]


def test_no_leak_where_something_covers_it() -> None:
    """A covered apex, a covered suffix and a bypass around an Internet rule are in order."""
    assert (
        findings(
            rule("r", "*.corp.example", "corp.example"),
            rule("web", "0.0.0.0/0", channel="internet"),
            rule("hole", "198.51.100.0/24", channel="internet", action="bypass"),
            private_dns={"suffixes": ["corp.example"]},
        )
        == []
    )


@pytest.mark.parametrize(
    ("destination", "fields", "broad"),
    [
        ("*", {}, True),
        ("*.example", {}, True),
        ("*.a.example", {}, False),
        ("10.0.0.0/7", {"ports": [443]}, True),
        ("10.0.0.0/8", {"ports": [443]}, False),
        ("10.0.0.0/8", {}, True),
        ("10.0.0.0/16", {}, False),
        ("fd00::/16", {"ports": [443]}, True),
        ("fd00::/32", {}, False),
        ("*", {"channel": "internet"}, False),
        ("*", {"channel": "microsoft", "action": "bypass"}, True),
    ],
)
def test_over_broad(destination: str, fields: dict[str, Any], broad: bool) -> None:
    """Too many names or addresses, or all ports of a network; the Internet channel may be broad."""
    kinds = [kind for kind, _, _ in findings(rule("r", destination, **fields))]
    assert ("over-broad" in kinds) is broad


def test_findings_come_in_the_order_of_the_document() -> None:
    """What concerns the whole document is first, then rule after rule."""
    many = [rule(f"r{number}", f"a{number}.x.example", on_switch="keep") for number in range(12)]
    paths = [each.path for each in lint(document(*many, assignments={}))]
    assert paths == ["assignments", *(f"rules[{number}].on_switch" for number in range(12))]


def test_the_end_of_the_work_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile too entangled to look at in full gives a finding that says so, and no claim about dead rules."""
    monkeypatch.setattr(lint_module, "MAX_DECISIONS", 1)
    found = lint(document(rule("w", "*.b.example", priority=1), rule("l", "a.b.example")))
    assert [each.kind for each in found][:1] == ["incomplete"]
    assert not [each for each in found if each.kind in ("shadowed", "unreachable")]


def test_equal_profiles_do_not_differ() -> None:
    """No change is an empty list, also where rules are named or cut differently."""
    one = compiled(rule("r", "10.0.0.0/24", "a.example"))
    other = compiled(rule("x", "10.0.0.0/25"), rule("y", "10.0.0.128/25", "a.example"))
    assert diff(one, one) == []
    assert diff(one, other) == []
    assert diff(compiled(), compiled()) == []


def test_differences_name_destination_ports_protocols_and_both_ways() -> None:
    """Each change is told once, with neighbouring addresses and ports put together."""
    before = compiled(
        rule("a", "a.example", ports=[80, 443], protocols=["tcp"]),
        rule("net", "10.0.0.0/24", ports=[22]),
        rule("gone", "*.x.example"),
    )
    after = compiled(
        rule("a", "a.example", ports=[443], protocols=["tcp"], application="other"),
        rule("net", "10.0.0.0/25", ports=[22]),
        rule("blocked", "fd00::/8", action="block"),
        rule("new", "b.example", protocols=["udp"], ports=["5-9", 11]),
    )
    direct, other = Way("direct"), Way("tunnel", "private", "other", "block")
    assert diff(before, after) == [
        Change("a.example", ("tcp",), ("80",), PRIVATE_APP, direct),
        Change("a.example", ("tcp",), ("443",), PRIVATE_APP, other),
        Change("b.example", ("udp",), ("5-9", "11"), direct, PRIVATE_APP),
        Change("*.x.example", (), (), PRIVATE_APP, direct),
        Change("10.0.0.128/25", (), ("22",), PRIVATE_APP, direct),
        Change("fd00::/8", (), (), direct, Way("block")),
    ]


def test_addresses_are_put_together_and_spelt_shortly() -> None:
    """Segments that change alike are one range, written as a block where it is one, as an address where it is one."""
    after = compiled(rule("a", "10.0.0.0/25"), rule("b", "10.0.0.128/26", "10.0.1.1"), rule("c", "fd00::1-fd00::5"))
    changes = [each.destination for each in diff(compiled(), after)]
    assert changes == ["10.0.0.0-10.0.0.191", "10.0.1.1", "fd00::1-fd00::5"]


def test_hardening_and_edges_are_part_of_the_way() -> None:
    """A flow that fails open, or goes to another edge, goes another way."""
    one = compiled(rule("r", "a.example"), channels={"private": {"edge": "one.example:443"}})
    two = compiled(
        rule("r", "a.example", hardening="bypass"),
        channels={
            "private": {"edge": "one.example:443", "address": "127.0.0.1:9"},
            "internet": {"edge": "i.example:1"},
        },
    )
    changes = diff(one, two)
    assert [each.destination for each in changes] == ["everything of channel private", "a.example"]
    assert (changes[0].before.edge, changes[0].after.edge) == ("one.example:443", "one.example:443 at 127.0.0.1:9")
    assert (changes[1].before.hardening, changes[1].after.hardening) == ("block", "bypass")
    assert str(changes[1].before) == "tunnel private app"
    assert json.loads(json.dumps(changes[1].to_json()))["before"]["verdict"] == "tunnel"


def test_finding_is_a_value() -> None:
    """Findings compare by content, so that two runs can be compared."""
    assert lint(document(rule("r", "*.x.example"))) == lint(document(rule("r", "*.x.example")))
    assert isinstance(lint(document(rule("r", "*.x.example")))[0], Finding)


def test_many_rules_for_one_destination() -> None:
    """Places with more rules than are scanned one by one are linted and compared like all others."""
    rules = [rule(f"r{number:02}", "a.example", ports=[number + 1]) for number in range(20)]
    assert findings(*rules) == []
    assert findings(*rules, rule("z", "a.example", ports=["3-5"])) == [("unreachable", "warning", "rules[20]")]
    assert diff(compiled(), compiled(*rules)) == [Change("a.example", (), ("1-20",), Way("direct"), PRIVATE_APP)]


def test_ports_of_several_rules_are_put_together() -> None:
    """What changes alike is one range, whichever rules do it; a gap or another way makes it two."""
    after = compiled(
        rule("a", "a.example", ports=["5-9"]),
        rule("b", "a.example", ports=["10-15", 17]),
        rule("c", "a.example", ports=[16], application="other"),
    )
    assert [(each.ports, each.after.application) for each in diff(compiled(), after)] == [
        (("5-15", "17"), "app"),
        (("16",), "other"),
    ]


def applications(context: str | None, name: str = "app") -> list[dict[str, Any]]:
    """The usual applications, one of which demands an authentication context."""
    usual: list[dict[str, Any]] = [dict(each) for each in document().to_json()["applications"]]
    for each in usual:
        if each["id"] == name and context is not None:
            each["authentication_context"] = context
    return usual


def test_a_demand_that_nobody_is_asked_for() -> None:
    """Only private rules that tunnel ask for an application's token."""
    position = [each["id"] for each in applications(None)].index("app")
    path = f"applications[{position}].authentication_context"
    guarded = {"applications": applications("c1")}
    assert findings(rule("r", "a.example"), **guarded) == []
    for idle in (rule("r", "a.example", application="other"), rule("r", "a.example", action="block")):
        assert ("ineffective", "warning", path) in findings(idle, **guarded)


def test_a_demand_is_part_of_the_way() -> None:
    """Added, changed and dropped, it is one difference for all of the application's flows."""
    profiles = [compiled(rule("r", "a.example"), applications=applications(each)) for each in (None, "c1", "c2")]
    for before in profiles:
        for after in profiles:
            changes = diff(before, after)
            assert len(changes) == (before is not after)
            assert all(change.destination.startswith("everything of application") for change in changes)
    only = diff(profiles[0], profiles[1])[0]
    assert (only.before.authentication_context, only.after.authentication_context) == (None, "c1")
    assert str(only.after).endswith("with c1")


@pytest.mark.parametrize("context", ["c1", "c10", "c99", None])
def test_authentication_contexts(context: str | None) -> None:
    """They survive the way out and back in."""
    made = document(rule("r", "a.example"), applications=applications(context))
    assert next(each for each in made.applications if each.id == "app").authentication_context == context
    assert json.loads(json.dumps(made.to_json())) == made.to_json()


@pytest.mark.parametrize("context", ["", "c0", "c01", "c100", "C1", "1", "c1\n", " c1", "c1,c2", 1])
def test_what_is_no_authentication_context(context: Any) -> None:
    """c1 to c99, as the directory names them."""
    with pytest.raises(ValidationError, match="authentication_context"):
        document(rule("r", "a.example"), applications=applications(context))
