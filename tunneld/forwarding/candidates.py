"""A rule offered for one destination, and the order between such offers."""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

from tunneld.forwarding.destinations import Destination, Form
from tunneld.forwarding.document import Rule
from tunneld.forwarding.ports import MAX_PORT, PortRange
from tunneld.model.verdict import Channel, Protocol, Verdict

TCP_BIT, UDP_BIT = 1, 2
_CHANNEL_ORDER = {channel: position for position, channel in enumerate(Channel)}


def protocol_bit(protocol: Protocol) -> int:
    """Return the bit that stands for `protocol` in a rule's mask."""
    return TCP_BIT if protocol is Protocol.TCP else UDP_BIT


class PortsOfRule(NamedTuple):
    """The ports of a rule: merged ranges (none for all), what answers `port in …`, and how many they are."""

    merged: tuple[PortRange, ...]
    container: Container[int]
    total: int


class CompiledRule:
    """A rule with everything that a decision asks for worked out. Shared by the candidates of all its destinations."""

    __slots__ = ("mask", "merged", "port_count", "ports", "quick_access", "rule", "verdict")

    def __init__(self, rule: Rule, verdict: Verdict, *, quick_access: bool, ports: PortsOfRule) -> None:
        self.rule = rule
        self.verdict = verdict
        self.quick_access = quick_access
        self.mask = sum(protocol_bit(protocol) for protocol in set(rule.protocols))
        self.merged, self.ports, self.port_count = ports

    def covers_ports_of(self, other: CompiledRule) -> bool:
        """Whether every protocol and port of `other` is also this rule's."""
        if other.mask & ~self.mask:
            return False
        mine = self.merged or ((0, MAX_PORT),)
        return all(
            any(first <= low and high <= last for first, last in mine) for low, high in other.merged or ((0, MAX_PORT),)
        )

    def shares_ports_with(self, other: CompiledRule) -> bool:
        """Whether some protocol and port are both rules'."""
        if not self.mask & other.mask:
            return False
        theirs = other.merged or ((0, MAX_PORT),)
        return any(
            first <= high and low <= last for first, last in self.merged or ((0, MAX_PORT),) for low, high in theirs
        )

    def admits(self, bit: int, port: int) -> bool:
        """Whether protocol and port are the rule's."""
        return bool(self.mask & bit) and port in self.ports


class Candidate(NamedTuple):
    """One destination of one rule. `rank` is its place among all candidates of the profile; the smallest wins.

    What a decision reads stands first and is the rule's: with 100,000 rules each object more to visit is one more
    wait for memory.
    """

    rank: int
    mask: int
    ports: Container[int]
    verdict: Verdict
    compiled: CompiledRule
    destination: Destination


class OrderKey(NamedTuple):
    """What decides between two rules that match the same flow, field by field. Smaller wins."""

    channel: int
    application_kind: int
    priority: int
    name_before_address: int
    labels: int
    addresses: int
    ports: int
    rule_id: str


def order_key(compiled: CompiledRule, destination: Destination) -> OrderKey:
    """Return the place of a rule, as it matches through `destination`. The document's order has no part in it."""
    rule = compiled.rule
    return OrderKey(
        _CHANNEL_ORDER[rule.channel],
        int(compiled.quick_access),
        rule.priority,
        destination.form,
        -destination.labels if destination.form is Form.WILDCARD else 0,
        destination.size,
        compiled.port_count,
        rule.id,
    )
