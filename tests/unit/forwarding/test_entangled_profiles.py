"""Profiles made to be expensive: work is counted in steps, so that no clock can make a test flicker."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from tests.support.profiles import compiled, linear_scan, rule, values
from tunneld.forwarding.cells import MAX_SCAN, PortTable
from tunneld.forwarding.compile import CompiledProfile
from tunneld.forwarding.explain import explain
from tunneld.model.verdict import Protocol

COUNT = 3000


def nested(**fields: Any) -> list[dict[str, Any]]:
    """Return COUNT ranges, each inside the one before."""
    return [
        rule(f"r{n:05}", f"{IPv4Address(n)}-{IPv4Address(3 * COUNT - n)}", **{k: v(n) for k, v in fields.items()})
        for n in range(COUNT)
    ]


def steps(profile: CompiledProfile, host: str) -> int:
    """Count the cells that a decision visits, weighted by what each may cost."""
    return sum(1 if isinstance(cell, PortTable) else len(cell) for cell in profile.cells(host))


def stored(profile: CompiledProfile) -> int:
    """Count the places of candidates in distinct cells."""
    cells = {id(cell): cell for start in profile.v4.starts for cell in profile.v4.find(start)}
    return sum(len(cell.candidates if isinstance(cell, PortTable) else cell) for cell in cells.values())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"ports": lambda n: [n + 1]},
        {"ports": lambda n: [f"{n + 1}-60000"], "priority": lambda n: COUNT - n},
    ],
    ids=["all ports", "a port each", "shrinking ranges"],
)
def test_nested_ranges_cost_the_logarithm(fields: Any) -> None:
    """Thousands of nested ranges need n log n places, and a decision visits a few cells, not thousands of rules."""
    rules = nested(**fields)
    profile = compiled(*rules)
    assert stored(profile) < COUNT * 40
    plain = values(*rules)
    for offset in (0, 1, COUNT // 2, COUNT, 3 * COUNT // 2, 3 * COUNT):
        host = str(IPv4Address(offset))
        assert steps(profile, host) <= 14 * MAX_SCAN
        for port in (1, 7, COUNT // 2, COUNT, 60000):
            assert profile.classify(host, port, Protocol.TCP).rule_id == linear_scan(plain, host, port, "tcp")


@pytest.mark.parametrize("destination", ["a.example", "*.example", "10.0.0.1"])
def test_one_destination_with_thousands_of_rules(destination: str) -> None:
    """Rules that differ by port alone are resolved by one bisection, with overlapping ranges and both protocols."""
    rules = [
        rule(f"r{n:05}", destination, ports=[n + 1, f"{n + 1}-{n + 40}"], protocols=[("tcp", "udp")[n % 2]])
        for n in range(COUNT)
    ]
    profile = compiled(*rules)
    host = destination.replace("*", "a")
    assert steps(profile, host) == 1
    plain = values(*rules)
    for port in (1, 2, 3, 39, 40, 41, 1000, COUNT, COUNT + 39, COUNT + 41):
        for protocol in Protocol:
            winner = linear_scan(plain, host, port, protocol.value)
            assert profile.classify(host, port, protocol).rule_id == winner
    explanation = explain(profile, host, 1000, Protocol.TCP)
    assert len(explanation.candidates) == 20
    assert len(explanation.candidates) + len(explanation.near_misses) == COUNT


def test_a_host_of_the_most_labels() -> None:
    """A name of 127 labels asks once for each of its suffixes and finds the longest."""
    profile = compiled(rule("short", "*.example"), rule("long", "*." + "a." * 100 + "example"))
    assert profile.classify("a." * 122 + "example", 1, Protocol.TCP).rule_id == "long"
    assert profile.classify("a." * 100 + "example", 1, Protocol.TCP).rule_id == "short"
