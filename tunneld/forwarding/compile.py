"""A profile document → the immutable index that answers where a flow goes.

A name is looked up in a dictionary of exact names and, label by label, in one of wildcard suffixes; an address by
bisection. Each place holds its candidates sorted by the order of precedence, so the first that admits protocol and
port wins there, and the best of the places wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tunneld.forwarding.address_index import AddressIndex
from tunneld.forwarding.candidates import Candidate, CompiledRule, OrderKey, PortsOfRule, order_key
from tunneld.forwarding.cells import Cell, make_cell, winner_of
from tunneld.forwarding.destinations import Destination, Form
from tunneld.forwarding.document import ProfileDocument, Rule
from tunneld.forwarding.ports import PortRange, merge_ports, port_container, port_count
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Action, Channel, Outcome, Protocol, Verdict

NO_RULE = Verdict(Outcome.DIRECT, Reason.NO_RULE)

_OUTCOMES = {
    Action.TUNNEL: (Outcome.TUNNEL, Reason.RULE_TUNNEL),
    Action.BYPASS: (Outcome.DIRECT, Reason.RULE_BYPASS),
    Action.BLOCK: (Outcome.BLOCK, Reason.RULE_BLOCK),
}
_DIGITS = frozenset("0123456789")


class CompiledProfile:
    """An immutable profile, shared by all flows that were classified under it. Replacing it is one assignment."""

    __slots__ = ("candidates", "document", "exact", "rules", "v4", "v6", "wildcards")

    def __init__(self, document: ProfileDocument, rules: dict[str, CompiledRule], candidates: list[Candidate]) -> None:
        self.document = document
        self.rules = rules
        self.candidates = tuple(candidates)  # in order of rank
        self.exact = _name_cells(candidates, Form.NAME)
        self.wildcards = _name_cells(candidates, Form.WILDCARD)
        self.v4 = AddressIndex([each for each in candidates if each.destination.version == 4], 32)
        self.v6 = AddressIndex([each for each in candidates if each.destination.version == 6], 128)

    @property
    def tenant(self) -> str:
        """The tenant that the profile belongs to, as its document names it."""
        return self.document.tenant

    @property
    def id(self) -> str:
        """The profile's id."""
        return self.document.id

    @property
    def version(self) -> int:
        """The document's version."""
        return self.document.version

    @property
    def demands(self) -> dict[str, str]:
        """The authentication context of each application that demands one."""
        return {
            each.id: each.authentication_context
            for each in self.document.applications
            if each.authentication_context is not None
        }

    def has_channel(self, channel: Channel) -> bool:
        """Whether the profile names an edge for `channel`."""
        return channel in self.document.channels

    def classify(self, host: str, port: int, protocol: Protocol) -> Verdict:
        """Return where a flow to `host` goes. `host` is in normal form (see `model.address`); nothing is resolved."""
        winner = winner_of(self.cells(host), 1 if protocol is Protocol.TCP else 2, port)
        return NO_RULE if winner is None else winner[3]

    def application_of(self, host: str, port: int, protocol: Protocol) -> str | None:
        """Return the application that owns the destination: the winner's, where the winner tunnels."""
        verdict = self.classify(host, port, protocol)
        return verdict.application if verdict.outcome is Outcome.TUNNEL else None

    def cells(self, host: str) -> Sequence[Cell]:
        """Return the cells of every rule whose destinations match `host`, whatever its ports and protocols."""
        if ":" in host:
            return self.v6.find(_ipv6_value(host))
        if host[-1] in _DIGITS and host.replace(".", "").isdigit():  # no name in normal form is all digits
            a, b, c, d = host.split(".")
            return self.v4.find(int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d))
        found = []
        cell = self.exact.get(host)
        if cell is not None:
            found.append(cell)
        wildcards = self.wildcards
        if wildcards:
            dot = host.find(".")
            while dot >= 0:
                cell = wildcards.get(host[dot + 1 :])
                if cell is not None:
                    found.append(cell)
                dot = host.find(".", dot + 1)
            cell = wildcards.get("")
            if cell is not None:
                found.append(cell)
        return found


def _ipv6_value(host: str) -> int:
    """Return the number of an IPv6 address in normal form; `ipaddress`, which judges it too, takes thrice as long."""
    head, gap, tail = host.partition("::")
    value = 0
    for group in head.split(":") if head else ():
        value = value << 16 | int(group, 16)
    if gap:
        after = tail.split(":") if tail else []
        value <<= 16 * (8 - head.count(":") - bool(head) - len(after))
        for group in after:
            value = value << 16 | int(group, 16)
    return value


def compile_profile(document: ProfileDocument) -> CompiledProfile:
    """Return the index of `document`. Takes n log n time and memory in the number of destinations."""
    quick_access = {each.id for each in document.applications if each.kind == "quick_access"}
    memo: dict[tuple[PortRange, ...], PortsOfRule] = {}
    rules: dict[str, CompiledRule] = {}
    offers: list[tuple[OrderKey, Destination, CompiledRule]] = []
    for rule in document.rules:
        compiled = CompiledRule(
            rule,
            _verdict(rule, document.tenant),
            quick_access=rule.application in quick_access,
            ports=_ports(rule.ports, memo),
        )
        rules[rule.id] = compiled
        offers += [(order_key(compiled, each), each, compiled) for each in dict.fromkeys(rule.destinations)]
    offers.sort(key=_before)
    candidates = [
        Candidate(rank, compiled.mask, compiled.ports, compiled.verdict, compiled, each)
        for rank, (_, each, compiled) in enumerate(offers)
    ]
    return CompiledProfile(document, rules, candidates)


def _before(offer: tuple[OrderKey, Destination, CompiledRule]) -> tuple[OrderKey, Destination]:
    """The order of precedence; equal keys are destinations of one rule, whose order only has to be the same always."""
    return offer[:2]


def _verdict(rule: Rule, tenant: str) -> Verdict:
    outcome, reason = _OUTCOMES[rule.action]
    return Verdict(
        outcome,
        reason,
        channel=rule.channel,
        rule_id=rule.id,
        priority=rule.priority,
        application=rule.application,
        hardening=rule.effective_hardening,
        on_switch=rule.on_switch,
        fingerprint=_fingerprint(rule, tenant),
    )


def _fingerprint(rule: Rule, tenant: str) -> int:
    """Return a number that any change of meaning changes, and a change of mere spelling does not. Never 0."""
    meaning = (
        tenant,
        rule.id,
        rule.channel,
        rule.application,
        rule.priority,
        frozenset(rule.destinations),
        merge_ports(rule.ports),
        frozenset(rule.protocols),
        rule.action,
        rule.effective_hardening,
        rule.on_switch,
    )
    return hash(meaning) or 1


def _ports(ranges: tuple[PortRange, ...], memo: dict[tuple[PortRange, ...], PortsOfRule]) -> PortsOfRule:
    """Return the rule's ports; rules that are written alike share them."""
    known = memo.get(ranges)
    if known is None:
        merged = merge_ports(ranges)
        known = memo[ranges] = PortsOfRule(merged, port_container(merged), port_count(merged))
    return known


def _name_cells(candidates: Iterable[Candidate], form: Form) -> dict[str, Cell]:
    found: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        if candidate.destination.form is form:
            found.setdefault(candidate.destination.text, []).append(candidate)
    return {text: make_cell(each) for text, each in found.items()}


def owners(profile: CompiledProfile, host: str, port: int, protocol: Protocol) -> str | None:
    """Return the application that owns the destination, or None where no tunnelling rule wins."""
    return profile.application_of(host, port, protocol)


def changed_rules(old: CompiledProfile, new: CompiledProfile) -> frozenset[str]:
    """Return the ids of the rules of `old` that `new` lacks or words differently: their flows must end."""
    return frozenset(
        rule_id
        for rule_id, compiled in old.rules.items()
        if rule_id not in new.rules or new.rules[rule_id].verdict.fingerprint != compiled.verdict.fingerprint
    )
