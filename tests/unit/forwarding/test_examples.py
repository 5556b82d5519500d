"""The example profiles load, compile, decide as their comments say, and carry only the lint remarks they mean to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forwarding_profiles.generate import make_profile
from tunneld.forwarding.compile import compile_profile
from tunneld.forwarding.document import load_profile
from tunneld.forwarding.explain import explain
from tunneld.forwarding.lint import lint
from tunneld.model.verdict import Channel, Outcome, Protocol

FOLDER = Path(__file__).parents[3] / "forwarding_profiles"
FILES = sorted(path for path in FOLDER.iterdir() if path.suffix in (".json", ".toml"))

# file, destination, port, protocol → outcome, rule
DECISIONS = [
    ("home-contoso.json", "intranet.corp.contoso.example", 443, "tcp", "tunnel", "intranet"),
    ("home-contoso.json", "intranet.corp.contoso.example", 22, "tcp", "tunnel", "quick-access"),
    ("home-contoso.json", "intranet.corp.contoso.example", 443, "udp", "direct", None),
    ("home-contoso.json", "10.10.40.3", 443, "tcp", "tunnel", "payroll"),
    ("home-contoso.json", "10.10.64.7", 3389, "udp", "tunnel", "remote-desktops"),
    ("home-contoso.json", "fd00:c0:10::9", 3389, "tcp", "tunnel", "remote-desktops"),
    ("home-contoso.json", "outlook.office.example", 443, "tcp", "tunnel", "exchange"),
    ("home-contoso.json", "203.0.113.9", 3478, "udp", "direct", "meetings-media"),
    ("home-contoso.json", "www.casino.example", 443, "tcp", "block", "gambling-blocked"),
    ("home-contoso.json", "live.video.example", 443, "tcp", "direct", "video-sites-direct"),
    ("home-contoso.json", "www.example", 443, "tcp", "tunnel", "web"),
    ("home-contoso.json", "www.example", 25, "tcp", "direct", None),
    ("guest-fabrikam.toml", "portal.corp.fabrikam.example", 443, "tcp", "tunnel", "portal"),
    ("guest-fabrikam.toml", "ci.build.corp.fabrikam.example", 9050, "tcp", "tunnel", "build-farm"),
    ("guest-fabrikam.toml", "10.20.9.40", 22, "tcp", "tunnel", "build-farm"),
    ("guest-fabrikam.toml", "10.20.9.41", 22, "tcp", "block", "rest-of-the-network"),
    ("guest-fabrikam.toml", "hr.corp.fabrikam.example", 443, "tcp", "block", "rest-of-the-network"),
    ("guest-fabrikam.toml", "www.example", 443, "tcp", "direct", None),
    ("overlap-woodgrove.toml", "ledger.woodgrove.example", 443, "tcp", "tunnel", "ledger"),
    ("overlap-woodgrove.toml", "ledger.woodgrove.example", 8050, "tcp", "tunnel", "reports"),
    ("overlap-woodgrove.toml", "ledger.woodgrove.example", 80, "tcp", "tunnel", "quick-everything"),
    ("overlap-woodgrove.toml", "x.eu.finance.woodgrove.example", 443, "tcp", "tunnel", "reports-eu"),
    ("overlap-woodgrove.toml", "x.us.finance.woodgrove.example", 443, "tcp", "tunnel", "reports"),
    ("overlap-woodgrove.toml", "10.20.30.200", 443, "tcp", "tunnel", "one-host"),
    ("overlap-woodgrove.toml", "10.20.30.129", 443, "tcp", "tunnel", "ledger"),
    ("overlap-woodgrove.toml", "10.20.31.1", 443, "tcp", "tunnel", "reports"),
    ("overlap-woodgrove.toml", "updates.office.example", 443, "tcp", "direct", "updates-direct"),
    ("overlap-woodgrove.toml", "203.0.113.1", 443, "tcp", "tunnel", "web"),
]


def test_there_are_examples() -> None:
    """The folder holds one profile of each kind that the decisions below speak of."""
    assert {path.name for path in FILES} >= {name for name, *_ in DECISIONS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_example_compiles(path: Path) -> None:
    """Each example is valid, has rules, and no rule that never wins."""
    document = load_profile(path.read_bytes(), where=path.name)
    assert compile_profile(document).rules
    assert not [each for each in lint(document) if each.kind in ("shadowed", "unreachable", "incomplete", "unassigned")]


@pytest.mark.parametrize(("name", "host", "port", "protocol", "outcome", "rule"), DECISIONS)
def test_examples_decide_as_they_say(
    name: str, host: str, port: int, protocol: str, outcome: str, rule: str | None
) -> None:
    """The verdicts that the examples promise."""
    profile = compile_profile(load_profile((FOLDER / name).read_bytes(), where=name))
    verdict = profile.classify(host, port, Protocol(protocol))
    assert (verdict.outcome.value, verdict.rule_id) == (outcome, rule)


def test_home_has_all_channels_and_the_guest_has_one() -> None:
    """The home tenant names every channel that users are assigned, the resource tenant only its private one."""
    home = compile_profile(load_profile((FOLDER / "home-contoso.json").read_bytes(), where="home"))
    guest = compile_profile(load_profile((FOLDER / "guest-fabrikam.toml").read_bytes(), where="guest"))
    assert all(home.has_channel(each) for each in (Channel.PRIVATE, Channel.MICROSOFT, Channel.INTERNET))
    assert [each for each in Channel if guest.has_channel(each)] == [Channel.PRIVATE]


def test_the_overlap_example_shows_its_overlap() -> None:
    """Lint remarks on the two rules of different applications that name the same host."""
    document = load_profile((FOLDER / "overlap-woodgrove.toml").read_bytes(), where="overlap.toml")
    remarks = {(each.kind, each.level, each.rule) for each in lint(document)}
    assert remarks == {("overlapping", "info", "quick-everything"), ("overlapping", "warning", "reports")}


def test_ten_thousand_rules() -> None:
    """The generated profile loads, compiles and is linted, and its rules are found again by what they name."""
    made = make_profile(10_000)
    document = load_profile(json.dumps(made), where="generated.json")
    profile = compile_profile(document)
    assert len(profile.rules) == 10_000
    assert {each.rule.channel for each in profile.rules.values()} == {
        Channel.PRIVATE,
        Channel.INTERNET,
        Channel.MICROSOFT,
    }
    dead = {each.rule for each in lint(document) if each.kind in ("shadowed", "unreachable")}
    assert 0 < len(dead) < 500
    for rule in document.rules[::97]:
        name = next((each for each in rule.destinations if not each.version), None)
        if name is None or rule.id in dead or rule.ports or len(rule.protocols) < 2:
            continue
        told = explain(profile, str(name).replace("*", "some"), 443, rule.protocols[0])
        assert rule.id in {each.rule for each in told.candidates}
        assert told.verdict.outcome in Outcome


def test_the_generator_repeats_itself() -> None:
    """The same number and seed give the same profile, another seed another one."""
    assert make_profile(50) == make_profile(50)
    assert make_profile(50) != make_profile(50, seed=1)
