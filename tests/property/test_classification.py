"""Properties of classification: what must hold for every profile and every flow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.profiles import compiled, linear_scan, rule, values
from tunneld.forwarding.classifier import Classifier
from tunneld.forwarding.compile import CompiledProfile, changed_rules, compile_profile, owners
from tunneld.forwarding.diff import diff, way_of
from tunneld.forwarding.document import ProfileDocument
from tunneld.forwarding.explain import explain
from tunneld.forwarding.lint import lint
from tunneld.model.address import normalise_host
from tunneld.model.verdict import Outcome, Protocol

# Few labels, addresses and ports, so that rules collide all the time.
NAMES = st.sampled_from(["a", "b", "a.b", "b.b", "a1.b", "a.b.b", "b.b.b", "a.a.b.b", "a.a1.b.b", "c.b.b.b", "a1.c"])
V4 = st.integers(0, 40).map(lambda offset: f"10.0.0.{offset}")
V6 = st.integers(0, 40).map(lambda offset: f"fd00::{offset:x}")
EDGES = st.sampled_from(["0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"])
HOSTS = st.one_of(NAMES, NAMES, V4, V6, EDGES).map(normalise_host)
PORTS = st.sampled_from([1, 21, 22, 23, 79, 80, 81, 443, 444, 65535])
PROTOCOLS = st.sampled_from(list(Protocol))


def _block(prefix: str, bits: int) -> st.SearchStrategy[str]:
    length = 32 if bits == 4 else 128
    return st.tuples(st.integers(0, 40), st.integers(0, 6)).map(
        lambda each: f"{prefix}{each[0] >> each[1] << each[1]:{'d' if bits == 4 else 'x'}}/{length - each[1]}"
    )


def _range(addresses: st.SearchStrategy[int], prefix: str, spelling: str) -> st.SearchStrategy[str]:
    return st.tuples(addresses, addresses).map(
        lambda pair: f"{prefix}{min(pair):{spelling}}-{prefix}{max(pair):{spelling}}"
    )


DESTINATIONS = st.one_of(
    NAMES,
    NAMES.map(lambda name: f"*.{name}"),
    st.just("*"),
    V4,
    V6,
    _block("10.0.0.", 4),
    _block("fd00::", 6),
    _range(st.integers(0, 40), "10.0.0.", "d"),
    _range(st.integers(0, 40), "fd00::", "x"),
    st.sampled_from(["0.0.0.0/0", "::/0", "128.0.0.0/1"]),
)
PORT_LISTS = st.lists(
    st.sampled_from([22, 80, 443, "20-100", "80-443", "1-22", "400-500", "1-65535", "443-65535"]), max_size=3
)


@st.composite
def rules(draw: st.DrawFn, rule_id: str) -> dict[str, Any]:
    """One rule; private ones that tunnel have an application, as documents demand."""
    channel = draw(st.sampled_from(["microsoft", "private", "private", "private", "internet", "entra"]))
    return rule(
        rule_id,
        *draw(st.lists(DESTINATIONS, min_size=1, max_size=3)),
        channel=channel,
        application=draw(st.sampled_from(["app", "other", "quick"])),
        action=draw(st.sampled_from(["tunnel", "tunnel", "bypass", "block"])),
        priority=draw(st.sampled_from([1, 2])),
        ports=draw(PORT_LISTS),
        protocols=draw(st.sampled_from([["tcp"], ["udp"], ["tcp", "udp"]])),
    )


RULES = st.integers(0, 24).flatmap(lambda count: st.tuples(*(rules(f"r{number}") for number in range(count))))
FLOWS = st.lists(st.tuples(HOSTS, PORTS, PROTOCOLS), min_size=8, max_size=24)
MANY = settings(max_examples=150)


@contextmanager
def scanning_at_most(candidates: int) -> Iterator[None]:
    """Let the index change to its deep structures at this depth, so that small profiles reach them."""
    with (
        patch("tunneld.forwarding.cells.MAX_SCAN", candidates),
        patch("tunneld.forwarding.address_index.MAX_SCAN", candidates),
    ):
        yield


@given(RULES, FLOWS, st.sampled_from([1, 2, 16]))
@MANY
def test_index_agrees_with_a_linear_scan(profile: Any, flows: Any, depth: int) -> None:
    """The compiled index finds the rule that trying every rule in turn finds."""
    with scanning_at_most(depth):
        index = compiled(*profile)
    plain = values(*profile)
    for host, port, protocol in flows:
        assert index.classify(host, port, protocol).rule_id == linear_scan(plain, host, port, protocol.value)


@given(RULES.flatmap(lambda profile: st.tuples(st.just(profile), st.permutations(profile))), FLOWS)
@MANY
def test_order_of_rules_changes_nothing(profiles: Any, flows: Any) -> None:
    """A permuted document gives equal verdicts, explanations and fingerprints, and no difference."""
    straight, permuted = compiled(*profiles[0]), compiled(*profiles[1])
    for flow in flows:
        assert straight.classify(*flow) == permuted.classify(*flow)
        assert explain(straight, *flow) == explain(permuted, *flow)
    assert diff(straight, permuted) == []
    assert changed_rules(straight, permuted) == frozenset()


@given(RULES, FLOWS, st.sampled_from([1, 16]))
@MANY
def test_explain_agrees_with_classify(profile: Any, flows: Any, depth: int) -> None:
    """The verdict is explained as it is given; one candidate won, which is the verdict's rule, and others lost."""
    with scanning_at_most(depth):
        index = compiled(*profile)
    for flow in flows:
        explanation = explain(index, *flow)
        verdict = index.classify(*flow)
        assert explanation.verdict == verdict
        won = [each.rule for each in explanation.candidates if each.outcome == "won"]
        assert won == ([] if verdict.rule_id is None else [verdict.rule_id])
        matching = {
            each["id"] for each in profile if linear_scan({**values(each)}, flow[0], flow[1], flow[2].value) is not None
        }
        assert {each.rule for each in explanation.candidates} == matching
        assert not {each.rule for each in explanation.near_misses} & matching


@given(RULES, FLOWS, st.integers(0, 2**32))
@MANY
def test_spelling_of_a_host_changes_nothing(profile: Any, flows: Any, case: int) -> None:
    """Letter case, a trailing dot and IPv4-mapped IPv6 are spellings, of the flow's host and of the rules'."""
    plain = Classifier(compiled(*profile))
    respelt = [{**each, "destinations": [_respell(name, case) for name in each["destinations"]]} for each in profile]
    other = compiled(*respelt)
    for host, port, protocol in flows:
        verdict = plain.classify(host, port, protocol)
        assert plain.classify(_respell(host, case), port, protocol) == verdict
        assert other.classify(host, port, protocol) == verdict


def _respell(text: str, case: int) -> str:
    if ":" in text or text == "*":
        return text
    if text.replace(".", "").isdigit():
        return f"::ffff:{text}"
    mixed = "".join(letter.upper() if case >> position % 32 & 1 else letter for position, letter in enumerate(text))
    is_name = not text.replace(".", "").replace("/", "").replace("-", "").isdigit()
    return mixed + "." if is_name and case & 1 else mixed


@given(RULES, st.lists(HOSTS, min_size=1, max_size=4), st.sampled_from([1, 3, 16, 1000]), st.randoms())
@MANY
def test_cache_changes_nothing(profile: Any, hosts: Any, size: int, random: Any) -> None:
    """A cache of any size answers as none does, whatever was asked before: each part of a flow is part of its key."""
    index = compiled(*profile)
    cached = Classifier(index, cache_size=size)
    flows = [(host, port, protocol) for host in hosts for port in (22, 80, 443, 444) for protocol in Protocol]
    for flow in random.choices(flows, k=60):
        assert cached.classify(*flow) == index.classify(*flow)


EDITS = RULES.flatmap(  # a profile, and what it becomes when some rules go, one is written anew and one is added
    lambda profile: st.tuples(
        st.just(profile),
        st.tuples(st.sets(st.sampled_from(range(24)), max_size=3), rules("r1"), rules("added")).map(
            lambda edit: [
                *(each for number, each in enumerate(profile) if number not in edit[0] and number != 1),
                *edit[1:],
            ]
        ),
    )
)


@given(st.one_of(EDITS, st.tuples(RULES, RULES)), FLOWS)
@MANY
def test_diff_lists_exactly_the_flows_that_change_their_way(profiles: Any, flows: Any) -> None:
    """A flow is covered by a change if and only if its way changes, and the change says which way."""
    a, b = compiled(*profiles[0]), compiled(*profiles[1])
    changes = diff(a, b)
    for host, port, protocol in flows:
        ways = way_of(a.classify(host, port, protocol)), way_of(b.classify(host, port, protocol))
        covering = {
            (each.before, each.after)
            for each in changes
            if protocol.value in (each.protocols or ("tcp", "udp"))
            and _in_ports(port, each.ports)
            and _in_region(host, each.destination, a, b)
        }
        assert covering == ({ways} if ways[0] != ways[1] else set())


def _in_ports(port: int, ports: tuple[str, ...]) -> bool:
    bounds = [each.partition("-") for each in ports]
    return not ports or any(int(first) <= port <= int(last or first) for first, _, last in bounds)


def _in_region(host: str, region: str, a: CompiledProfile, b: CompiledProfile) -> bool:
    """Whether `region` is the one that speaks for `host`: its own name, else the longest suffix, else addresses."""
    names, suffixes = a.exact.keys() | b.exact.keys(), a.wildcards.keys() | b.wildcards.keys()
    if linear_scan(values(rule("x", "0.0.0.0/0", "::/0")), host, 1, "tcp"):
        return linear_scan(values(rule("x", region)), host, 1, "tcp") is not None and region[0] != "*"
    if host in names:
        return region == host
    labels = host.split(".")
    tails = [".".join(labels[start:]) for start in range(1, len(labels) + 1)]
    longest = next((tail for tail in tails if tail in suffixes), None)
    return longest is not None and region == (f"*.{longest}" if longest else "*")


@given(RULES)
@MANY
def test_what_lint_calls_dead_can_be_removed(profile: Any) -> None:
    """Without a rule that lint says never wins, every flow still gets the same verdict."""
    dead = {
        each.rule
        for each in lint(ProfileDocument.model_validate(values(*profile)))
        if each.kind in ("shadowed", "unreachable") and each.path.endswith("]") and ".destinations" not in each.path
    }
    alive = compiled(*(each for each in profile if each["id"] not in dead))
    whole = compiled(*profile)
    assert diff(whole, alive) == []
    reachable = {rule_id for rule_id in whole.rules if rule_id not in dead}
    assert reachable == _winners(whole)


def _winners(index: CompiledProfile) -> set[str]:
    """Return the rules that win some flow out of all that the strategies can make."""
    names = [*index.exact, *(f"zz.{suffix}" if suffix else "zz" for suffix in index.wildcards)]
    bounds = [*index.v4.starts], [*index.v6.starts]
    addresses = [normalise_host(_spelt(start, 4)) for start in bounds[0]] + [_spelt(start, 6) for start in bounds[1]]
    ports = (1, 20, 22, 23, 80, 81, 100, 101, 400, 443, 444, 500, 501, 65535)
    found = {
        index.classify(host, port, protocol).rule_id
        for host in [*names, *addresses]
        for port in ports
        for protocol in Protocol
    }
    return {rule_id for rule_id in found if rule_id is not None}


def _spelt(address: int, version: int) -> str:
    from ipaddress import IPv4Address, IPv6Address

    return str(IPv4Address(address) if version == 4 else IPv6Address(address))


@given(RULES, FLOWS)
@MANY
def test_only_a_tunnel_has_an_owner(profile: Any, flows: Any) -> None:
    """A destination belongs to the winner's application where the winner tunnels, and to nobody otherwise."""
    index = compiled(*profile)
    for flow in flows:
        verdict = index.classify(*flow)
        assert owners(index, *flow) == (verdict.application if verdict.outcome is Outcome.TUNNEL else None)


@given(RULES)
@MANY
def test_a_document_survives_the_way_to_json_and_back(profile: Any) -> None:
    """What is written out loads as an equal document, and compiles to the same rules."""
    document = ProfileDocument.model_validate(values(*profile))
    again = ProfileDocument.model_validate(document.to_json())
    assert again == document
    assert changed_rules(compile_profile(document), compile_profile(again)) == frozenset()
