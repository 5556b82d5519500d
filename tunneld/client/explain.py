"""Why a destination goes where it goes: the classifier's own account, with what the running daemon adds."""

from __future__ import annotations

from typing import Any, NamedTuple

from tunneld.forwarding.compile import CompiledProfile
from tunneld.forwarding.explain import Explanation
from tunneld.forwarding.explain import explain as explain_destination
from tunneld.journal.flows import FlowRecord
from tunneld.model.address import normalise_host, parse_port
from tunneld.model.errors import PeerProtocolError
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Outcome, Protocol, Verdict

DEFAULT_PORT = 443

NO_PROFILE = Verdict(Outcome.DIRECT, Reason.NO_PROFILE)


class Destination(NamedTuple):
    """What was asked about."""

    host: str
    port: int
    protocol: Protocol


def parse_destination(text: str, protocol: str | None = None) -> Destination:
    """Read `host[:port][/tcp|/udp]`; an IPv6 address with a port stands in brackets. Raises PeerProtocolError."""
    rest, slash, suffix = text.strip().partition("/")
    word = (suffix if slash else protocol or "tcp").lower()
    if word not in ("tcp", "udp"):
        raise PeerProtocolError(Reason.UNSUPPORTED_PROTOCOL, f"{word!r} is neither tcp nor udp")
    host, colon, port = rest.rpartition(":")
    if not colon or rest.endswith("]") or (":" in host and not host.endswith("]")):
        host, port = rest, str(DEFAULT_PORT)  # a name, or an IPv6 address, on its own
    return Destination(normalise_host(host), parse_port(port), Protocol(word))


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
