"""What is wrong with a profile that loads: rules that never win, that collide, that take too much, that leak.

Everything is judged on the compiled cells, so that lint cannot disagree with the data plane. Realistic profiles take
time in proportion to their destinations; the work on adversarial ones is bounded and its end is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tunneld.forwarding.candidates import TCP_BIT, UDP_BIT, Candidate, CompiledRule
from tunneld.forwarding.cells import MAX_SCAN, candidates_in, winner_of
from tunneld.forwarding.compile import CompiledProfile, compile_profile
from tunneld.forwarding.destinations import Destination, Form
from tunneld.forwarding.document import ProfileDocument
from tunneld.forwarding.explain import because
from tunneld.forwarding.regions import Region, port_starts, regions
from tunneld.model.verdict import Action, Channel, Hardening, Outcome

MAX_DECISIONS = 3_000_000  # a few seconds; 10,000 realistic rules need a tenth of it
MAX_BEATEN = 64  # regions, and port bounds in each, looked at to name who beats a rule that never wins
_BROAD_IPV4 = 1 << 24  # a /8: a whole RFC 1918 block
_BROAD_ALL_PORTS = 1 << 16  # a /16 with every port open is a network, not an application
_BROAD_IPV6 = 1 << 96  # a /32: what a provider is given


class Finding(NamedTuple):
    """One thing to look at. A `warning` is likely a mistake, an `info` is allowed and worth knowing."""

    kind: str  # shadowed, unreachable, overlapping, over-broad, leak-prone, unassigned, ineffective or incomplete
    level: str  # "warning" | "info"
    rule: str | None
    path: str
    message: str

    def to_json(self) -> dict[str, Any]:
        """Return the finding as plain values."""
        return self._asdict()


# Colliding candidates, the winner first, by their rules and by how they collide.
_Pairs = dict[tuple[str, str, str], tuple[Candidate, Candidate]]


class _Survey(NamedTuple):
    """What one pass over all regions has seen."""

    winners: set[int]  # ranks of the candidates that win somewhere
    pairs: _Pairs
    complete: bool


def lint(document: ProfileDocument) -> list[Finding]:
    """Return the findings in the order of the document's rules, those about the whole document first."""
    profile = compile_profile(document)
    survey = _survey(profile)
    paths = {rule.id: f"rules[{position}]" for position, rule in enumerate(document.rules)}
    findings = [*_about_document(profile, survey)]
    findings += _never_win(profile, survey, paths)
    findings += _collisions(survey, paths)
    for compiled in profile.rules.values():
        findings += _about_rule(compiled, profile, paths[compiled.rule.id])
    place = {path: position for position, path in enumerate(paths.values())}
    findings.sort(key=lambda each: place.get(each.path.partition("].")[0].rstrip("]") + "]", -1))
    return findings


def _survey(profile: CompiledProfile) -> _Survey:
    winners: set[int] = set()
    pairs: _Pairs = {}
    decisions = 0
    for region in regions(profile):
        cells = region.cells(profile)
        if not cells:
            continue
        if len(cells) == 1 and len(candidates := candidates_in(cells)) == 1:
            winners.add(candidates[0].rank)  # alone in its place: it wins whatever it admits
            continue
        starts = port_starts(cells)
        decisions += 2 * len(starts)
        if decisions > MAX_DECISIONS:
            return _Survey(winners, pairs, complete=False)
        for bit in (TCP_BIT, UDP_BIT):
            for port in starts:
                winner = winner_of(cells, bit, port)
                if winner is not None:
                    winners.add(winner.rank)
        _collect_pairs(candidates_in(cells)[:MAX_SCAN], pairs)
    return _Survey(winners, pairs, complete=True)


def _collect_pairs(candidates: Sequence[Candidate], pairs: _Pairs) -> None:
    """Add, for each candidate, how it collides with the best one before it that takes some of its flows."""
    for position, loser in enumerate(candidates):
        for winner in candidates[:position]:
            left, right = winner.compiled, loser.compiled
            if left is not right and left.shares_ports_with(right):
                collision = _collision(winner, loser)
                if collision:
                    pairs.setdefault((left.rule.id, right.rule.id, collision), (winner, loser))
                break


def _collision(winner: Candidate, loser: Candidate) -> str | None:
    """Return what it means that these two meet: a leak, a migration, an overlap, or None for nothing remarkable."""
    left, right = winner.compiled, loser.compiled
    if left.verdict.outcome is right.verdict.outcome and left.rule.application == right.rule.application:
        return None
    if left.verdict.outcome is Outcome.DIRECT and right.verdict.outcome is Outcome.TUNNEL:
        return "leak" if right.rule.channel is Channel.PRIVATE else None
    if left.rule.channel is not right.rule.channel:
        return None  # the order of channels is meant to decide this
    if left.quick_access != right.quick_access:
        return "migration"
    inside = loser.destination.contains(winner.destination)
    carved = inside and not winner.destination.contains(loser.destination)
    return None if carved else "overlap"  # an exception cut out of a wider destination is what specific rules are for


def _about_document(profile: CompiledProfile, survey: _Survey) -> Iterator[Finding]:
    document = profile.document
    whom = document.assignments
    if not (whom.users or whom.groups or whom.user_types):
        message = "the profile names nobody, so nobody gets it; name users, groups or user_types"
        yield Finding("unassigned", "warning", None, "assignments", message)
    if not survey.complete:
        message = (
            f"rules overlap so deeply that only {MAX_DECISIONS:,} decisions were looked at; the list may lack some"
        )
        yield Finding("incomplete", "warning", None, "rules", message)
    yield from _vain_demands(profile)
    for position, suffix in enumerate(document.private_dns.suffixes):
        generic = candidates_in(Region(Form.WILDCARD, suffix).cells(profile))
        if not any(each.compiled.rule.channel is Channel.PRIVATE for each in generic):
            message = f"no private rule covers *.{suffix}: names below it that no rule names are not tunnelled"
            yield Finding("leak-prone", "warning", None, f"private_dns.suffixes[{position}]", message)


def _vain_demands(profile: CompiledProfile) -> Iterator[Finding]:
    asked = {
        each.rule.application
        for each in profile.rules.values()
        if each.rule.channel is Channel.PRIVATE and each.rule.action is Action.TUNNEL
    }
    for position, application in enumerate(profile.document.applications):
        if application.authentication_context is not None and application.id not in asked:
            message = f"no private rule tunnels to {application.name}, so nobody is asked for a token of it"
            path = f"applications[{position}].authentication_context"
            yield Finding("ineffective", "warning", None, path, message)


def _never_win(profile: CompiledProfile, survey: _Survey, paths: dict[str, str]) -> Iterator[Finding]:
    if not survey.complete:
        return
    beaten: dict[str, list[Candidate]] = {}
    for candidate in profile.candidates:
        if candidate.rank not in survey.winners:
            beaten.setdefault(candidate.compiled.rule.id, []).append(candidate)
    for rule_id, candidates in beaten.items():
        rule = profile.rules[rule_id].rule
        distinct = list(dict.fromkeys(rule.destinations))
        if len(candidates) == len(distinct):
            yield _beaten(profile, candidates, rule_id, paths[rule_id], "the rule")
            continue
        for candidate in candidates:
            position = rule.destinations.index(candidate.destination)
            path = f"{paths[rule_id]}.destinations[{position}]"
            yield _beaten(profile, [candidate], rule_id, path, str(candidate.destination))


def _beaten(profile: CompiledProfile, candidates: list[Candidate], rule_id: str, path: str, what: str) -> Finding:
    winners: dict[str, Candidate] = {}
    for candidate in candidates[:MAX_BEATEN]:
        for winner in _winners_over(profile, candidate):
            winners.setdefault(winner.compiled.rule.id, winner)
    covering = [each for each in winners.values() if all(_covers(each.compiled, candidate) for candidate in candidates)]
    if covering:
        winner = covering[0]
        other = winner.compiled.rule.id
        if other == rule_id:
            return Finding("shadowed", "info", rule_id, path, f"{what} repeats {winner.destination} of the same rule")
        message = f"{what} never wins: {other} takes all of it ({because(winner, candidates[0])})"
        return Finding("shadowed", "warning", rule_id, path, message)
    names = ", ".join(list(winners)[:4])
    return Finding(
        "unreachable", "warning", rule_id, path, f"{what} never wins: others take all of it, among them {names}"
    )


def _winners_over(profile: CompiledProfile, candidate: Candidate) -> Iterator[Candidate]:
    """Yield who wins where `candidate` applies, over its first few regions and port bounds."""
    for region in _regions_of(profile, candidate.destination):
        cells = region.cells(profile)
        for bit in (TCP_BIT, UDP_BIT):
            ports = [port for port in port_starts(cells) if candidate.compiled.admits(bit, port)]
            yield from filter(None, (winner_of(cells, bit, port) for port in ports[:MAX_BEATEN]))


def _regions_of(profile: CompiledProfile, destination: Destination) -> Iterator[Region]:
    if not destination.version:
        yield Region(destination.form, destination.text)
        return
    index = profile.v4 if destination.version == 4 else profile.v6
    for start in index.starts_within(destination.start, destination.end)[:MAX_BEATEN]:
        yield Region(Form.ADDRESSES, "", destination.version, start, start)


def _covers(winner: CompiledRule, candidate: Candidate) -> bool:
    return winner.covers_ports_of(candidate.compiled) and any(
        each.contains(candidate.destination) for each in winner.rule.destinations
    )


def _collisions(survey: _Survey, paths: dict[str, str]) -> Iterator[Finding]:
    migrations: dict[str, list[str]] = {}
    for (other, rule, collision), (winner, loser) in survey.pairs.items():
        if collision == "migration":
            migrations.setdefault(rule, []).append(other)
        elif collision == "leak":
            message = f"{other} sends {winner.destination} direct, around the tunnel of {loser.destination}"
            yield Finding("leak-prone", "warning", rule, paths[rule], message)
        elif loser.rank in survey.winners:  # what never wins is reported as such
            message = f"{loser.destination} meets {winner.destination} of {other}, and {because(winner, loser)}"
            yield Finding("overlapping", "warning", rule, paths[rule], message)
    for rule, others in migrations.items():
        names = ", ".join(sorted(others)[:3])
        message = f"rules of Enterprise applications take parts of this Quick Access rule ({len(others):,}: {names})"
        yield Finding("overlapping", "info", rule, paths[rule], message)


def _about_rule(compiled: CompiledRule, profile: CompiledProfile, path: str) -> Iterator[Finding]:
    rule = compiled.rule
    if rule.channel is Channel.INTERNET:  # meant to be broad, and nothing of it is private
        return
    for position, destination in enumerate(rule.destinations):
        broad = _too_broad(destination, all_ports=not compiled.merged)
        if broad:
            yield Finding("over-broad", "warning", rule.id, f"{path}.destinations[{position}]", broad)
    if rule.channel is not Channel.PRIVATE or rule.action is not Action.TUNNEL:
        return
    if rule.hardening is Hardening.BYPASS:
        message = "hardening bypass: while the edge is unreachable, private flows go direct"
        yield Finding("leak-prone", "warning", rule.id, f"{path}.hardening", message)
    if rule.on_switch.kind == "keep":
        message = "on_switch keep: flows of this tenant live on under the next one"
        yield Finding("leak-prone", "info", rule.id, f"{path}.on_switch", message)
    for position, destination in enumerate(rule.destinations):
        if destination.form is Form.WILDCARD and destination.text and not profile.cells(destination.text):
            message = f"{destination} never matches {destination.text} itself, which no rule names: it goes direct"
            yield Finding("leak-prone", "info", rule.id, f"{path}.destinations[{position}]", message)


def _too_broad(destination: Destination, *, all_ports: bool) -> str | None:
    if destination.form is Form.WILDCARD and destination.labels < 2:
        return f"{destination} takes {'every name' if not destination.text else 'a whole top-level domain'}"
    if destination.version == 4:
        if destination.size > _BROAD_IPV4:
            return f"{destination} covers {destination.size:,} addresses, more than a /8"
        if all_ports and destination.size > _BROAD_ALL_PORTS:
            return f"{destination} opens every port of {destination.size:,} addresses; name the ports"
    if destination.version == 6 and destination.size > _BROAD_IPV6:
        return f"{destination} covers more than a /32"
    return None
