"""Why a destination goes where it goes: the classifier's own account, with what the running daemon adds."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, NamedTuple

from tunneld.forwarding.compile import CompiledProfile
from tunneld.forwarding.explain import Explanation
from tunneld.forwarding.explain import explain as explain_destination
from tunneld.journal.flows import FlowRecord
from tunneld.model.address import normalise_host, parse_ip, parse_port
from tunneld.model.errors import PeerProtocolError
from tunneld.model.reasons import Kind, Reason, reason_named
from tunneld.model.verdict import Hardening, Outcome, Protocol, Verdict
from tunneld.policy.destinations import Endpoint, forbidden
from tunneld.session.lifecycle import ChannelState

DEFAULT_PORT = 443
WEB_PORTS = {"http": 80, "https": 443}
REFUSED = "refused"

_WEB_ADDRESS = re.compile(r"(https?)://([^/?#@]+)(?:[/?#].*)?", re.IGNORECASE)

NO_PROFILE = Verdict(Outcome.DIRECT, Reason.NO_PROFILE)


class Destination(NamedTuple):
    """What was asked about."""

    host: str
    port: int
    protocol: Protocol


class Surroundings(NamedTuple):
    """What besides the rules decides about a flow at this moment. Each default is "nothing known of it"."""

    hosts: Collection[str] = ()
    """Names that the settings give an address, whatever that is."""
    allowed: frozenset[Endpoint] = frozenset()
    private_suffixes: Collection[str] = ()
    channel_state: str | None = None
    channel_reason: Reason | None = None
    token_state: str | None = None


def parse_destination(text: str, protocol: str | None = None) -> Destination:
    """Read `host[:port][/tcp|/udp]`; an IPv6 address with a port stands in brackets. Raises PeerProtocolError.

    The address of a web page is read as well: its host, and the port of its scheme unless it names another.
    """
    text, default = _without_page(text.strip())
    rest, slash, suffix = text.partition("/")
    word = (suffix if slash else protocol or "tcp").lower()
    if word not in ("tcp", "udp"):
        raise PeerProtocolError(Reason.UNSUPPORTED_PROTOCOL, f"{word!r} is neither tcp nor udp")
    host, colon, port = rest.rpartition(":")
    if not colon or rest.endswith("]") or (":" in host and not host.endswith("]")):
        host, port = rest, str(default)  # a name, or an IPv6 address, on its own
    if host.startswith("[") and host.endswith("]") and parse_ip(host[1:-1]) is not None:
        host = host[1:-1]
    return Destination(normalise_host(host), parse_port(port), Protocol(word))


def verdict_of(profile: CompiledProfile | None, destination: Destination) -> Verdict:
    """Return what the rules say."""
    return NO_PROFILE if profile is None else profile.classify(*destination)


def right_now(verdict: Verdict, destination: Destination, around: Surroundings) -> dict[str, str]:
    """Return what a flow would meet at this moment: a rule is the beginning of its way, not the end.

    What only trying would tell (a name's addresses, an origin's answer) is not foretold.
    """
    if verdict.outcome is Outcome.TUNNEL:
        refusal = reason_named(around.token_state)
        if around.channel_state == ChannelState.UNREACHABLE:
            if verdict.hardening is not Hardening.BYPASS:
                return _met(REFUSED, Reason.HARDENING_BLOCK)
            verdict = Verdict(Outcome.DIRECT, Reason.HARDENING_BYPASS)
        elif around.channel_state == ChannelState.UNAUTHENTICATED and around.channel_reason is not None:
            return _met(REFUSED, around.channel_reason)
        elif refusal is not None:
            return _met(REFUSED, refusal)
    if verdict.outcome is Outcome.DIRECT:
        refusal = _refusal_of_direct(destination, around)
        return _met(Outcome.DIRECT.value, verdict.reason) if refusal is None else _met(REFUSED, refusal)
    return _met(REFUSED if verdict.reason.kind is Kind.DENIED else verdict.outcome.value, verdict.reason)


def explanation(profile: CompiledProfile | None, destination: Destination) -> dict[str, Any]:
    """Return the public explanation under `profile`; without one everything goes direct, and it says so."""
    if profile is None:
        return Explanation(*destination, verdict=NO_PROFILE, candidates=(), near_misses=()).to_json()
    return explain_destination(profile, *destination).to_json()


def explain_flow(record: FlowRecord, profile: CompiledProfile | None) -> dict[str, Any]:
    """Return what was decided about one flow. `profile` is the one of its epoch, None if that is gone.

    What is gone is null: a decision is not explained by rules that did not make it.
    """
    weighed = None if profile is None else explanation(profile, destination_of(record))
    rule = None
    if record.rule_id is not None:
        same = weighed is not None and weighed["rule"] is not None and weighed["rule"]["id"] == record.rule_id
        priority = weighed["rule"]["priority"] if same and weighed else None
        rule = {"id": record.rule_id, "priority": priority, "application": record.application}
    return {
        "destination": record.destination,
        "protocol": record.protocol,
        "port": record.port,
        "verdict": _outcome(record),
        "channel": record.channel,
        "tenant": record.tenant,
        "epoch": record.epoch,
        "rule": rule,
        "reason": record.reason.value if record.reason else None,
        "candidates": weighed["candidates"] if weighed else None,
        "near_misses": weighed["near_misses"] if weighed else None,
        "flow": record.to_json(),
    }


def destination_of(record: FlowRecord) -> Destination:
    return Destination(record.destination, record.port, Protocol(record.protocol))


def _outcome(record: FlowRecord) -> str | None:
    """Return the verdict that the flow's action stands for."""
    words = {"bypass": Outcome.DIRECT.value}
    return words.get(record.action, record.action) if record.action else None


def _without_page(text: str) -> tuple[str, int]:
    """Return host and port of a web address, and the port that counts where none is named."""
    page = _WEB_ADDRESS.fullmatch(text)
    if page is None:
        if "://" in text:
            raise PeerProtocolError(Reason.MALFORMED_REQUEST, f"{text[:80]!r} is no destination; write host:port")
        return text, DEFAULT_PORT
    return page[2], WEB_PORTS[page[1].lower()]


def _met(outcome: str, reason: Reason) -> dict[str, str]:
    return {"outcome": outcome, "reason": reason.value}


def _refusal_of_direct(destination: Destination, around: Surroundings) -> Reason | None:
    host = destination.host
    if host in around.hosts:
        return None
    if parse_ip(host) is not None:
        return forbidden(host, destination.port, allowed=around.allowed)
    labels = host.split(".")
    private = any(".".join(labels[start:]) in around.private_suffixes for start in range(len(labels)))
    return Reason.NAME_NOT_RESOLVED if private else None
