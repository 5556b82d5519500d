"""Why a flow goes where it goes: the winner, every rule that lost and on what, and the rules that nearly matched."""

from __future__ import annotations

from typing import Any, NamedTuple

from tunneld.forwarding.candidates import Candidate, order_key, protocol_bit
from tunneld.forwarding.cells import candidates_in, winner_of
from tunneld.forwarding.compile import NO_RULE, CompiledProfile
from tunneld.model.verdict import Protocol, Verdict


class Considered(NamedTuple):
    """A rule that matched destination, port and protocol, and what became of it."""

    rule: str
    outcome: str  # "won" | "lost"
    because: str  # for a loser, begins with the field on which it lost


class NearMiss(NamedTuple):
    """A rule that would have matched but for one thing."""

    rule: str
    because: str


class Explanation(NamedTuple):
    """Everything that one decision weighed."""

    host: str
    port: int
    protocol: Protocol
    verdict: Verdict
    candidates: tuple[Considered, ...]
    near_misses: tuple[NearMiss, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the public fields; `tenant` and `epoch` are the running daemon's to fill in."""
        verdict = self.verdict
        rule = {"id": verdict.rule_id, "priority": verdict.priority, "application": verdict.application}
        return {
            "destination": self.host,
            "protocol": self.protocol.value,
            "port": self.port,
            "verdict": verdict.outcome.value,
            "channel": verdict.channel.value if verdict.channel else None,
            "tenant": None,
            "epoch": None,
            "rule": rule if verdict.rule_id is not None else None,
            "reason": verdict.reason.value,
            "candidates": [each._asdict() for each in self.candidates],
            "near_misses": [each._asdict() for each in self.near_misses],
        }


def explain(profile: CompiledProfile, host: str, port: int, protocol: Protocol) -> Explanation:
    """Return the decision for `host`, which is in normal form, with everything that was weighed for it."""
    cells = profile.cells(host)
    bit = protocol_bit(protocol)
    winner = winner_of(cells, bit, port)
    considered: dict[str, Considered] = {}
    missed: dict[str, NearMiss] = {}
    for candidate in candidates_in(cells):  # the best first, so a rule is judged by its best destination
        rule = candidate.compiled.rule.id
        if not candidate.compiled.admits(bit, port):
            missed.setdefault(rule, NearMiss(rule, _why_not(candidate, port, protocol)))
        elif rule not in considered and winner is not None:
            considered[rule] = _judged(candidate, winner)
    for candidate in candidates_in([profile.wildcards[host]] if host in profile.wildcards else []):
        rule = candidate.compiled.rule.id
        if rule not in considered:
            missed.setdefault(rule, NearMiss(rule, f"{candidate.destination} never matches {host} itself"))
    verdict = NO_RULE if winner is None else winner.compiled.verdict
    return Explanation(host, port, protocol, verdict, tuple(considered.values()), tuple(missed.values()))


def _judged(candidate: Candidate, winner: Candidate) -> Considered:
    rule = candidate.compiled.rule.id
    if candidate is winner:
        return Considered(rule, "won", f"matches {winner.destination}, and no match comes before it")
    return Considered(rule, "lost", because(winner, candidate))


def because(winner: Candidate, loser: Candidate) -> str:
    """Return the first field in the order of precedence on which `loser` comes after `winner`, and both values."""
    won, lost = order_key(winner.compiled, winner.destination), order_key(loser.compiled, loser.destination)
    field = next(name for name, left, right in zip(won._fields, won, lost, strict=True) if left != right)
    here, there = winner.compiled.rule, loser.compiled.rule
    match field:
        case "channel":
            what = f"{here.channel.value} of {here.id} is decided before {there.channel.value}"
        case "application_kind":
            what = f"an Enterprise application ({here.id}) goes before Quick Access"
        case "priority":
            what = f"{here.priority} of {here.id} goes before {there.priority}"
        case "name_before_address" | "labels":
            what = f"{winner.destination} of {here.id} is more exact than {loser.destination}"
        case "addresses":
            what = f"{winner.destination} of {here.id} covers fewer addresses than {loser.destination}"
        case "ports":
            what = f"{here.id} covers {won.ports} ports, this rule {lost.ports}"
        case _:
            what = f"equal in all else, and {here.id} sorts before {there.id}"
    return f"{field}: {what}"


def _why_not(candidate: Candidate, port: int, protocol: Protocol) -> str:
    compiled = candidate.compiled
    faults = []
    if protocol not in compiled.rule.protocols:
        faults.append(f"protocol {protocol.value} is not {' or '.join(each.value for each in compiled.rule.protocols)}")
    if port not in compiled.ports:
        ports = [str(each) for each in compiled.merged]
        shown = ", ".join(ports if len(ports) <= 8 else [*ports[:8], f"{len(ports) - 8} more"])
        faults.append(f"port {port} is not in {shown}")
    return f"{candidate.destination} matches, but {' and '.join(faults)}"
