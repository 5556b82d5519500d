"""Forwarding profiles for tests: a short way to write one, and a slow, independent way to decide by one."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from tunneld.forwarding.compile import CompiledProfile, compile_profile
from tunneld.forwarding.document import ProfileDocument

APPLICATIONS = [
    {"id": "app", "name": "An application"},
    {"id": "other", "name": "Another application"},
    {"id": "quick", "name": "Quick Access", "kind": "quick_access"},
]
CHANNELS = {name: {"edge": f"t.{name}.edge.example:443"} for name in ("entra", "microsoft", "private", "internet")}


def rule(rule_id: str, *destinations: str, **fields: Any) -> dict[str, Any]:
    """Return a rule as a document has it: private, of application `app`, unless `fields` say otherwise."""
    defaults = {"channel": "private", "application": "app"} if fields.get("channel", "private") == "private" else {}
    return {"id": rule_id, **defaults, "destinations": list(destinations), **fields}


def values(*rules: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a whole document as plain values."""
    return {
        "schema": 1,
        "id": "profile",
        "tenant": "contoso",
        "version": 1,
        "channels": CHANNELS,
        "applications": APPLICATIONS,
        "assignments": {"user_types": ["member"]},
        "rules": list(rules),
        **fields,
    }


def document(*rules: dict[str, Any], **fields: Any) -> ProfileDocument:
    """Return the document's model."""
    return ProfileDocument.model_validate(values(*rules, **fields))


def compiled(*rules: dict[str, Any], **fields: Any) -> CompiledProfile:
    """Return the compiled profile."""
    return compile_profile(document(*rules, **fields))


def linear_scan(profile: dict[str, Any], host: str, port: int, protocol: str) -> str | None:
    """Return the id of the winning rule by trying every destination of every rule in turn.

    Shares no code with the product: it reads the document's plain values, with the standard library alone.
    """
    kinds = {each["id"]: each.get("kind", "enterprise") for each in profile["applications"]}
    best = None
    for each in profile["rules"]:
        if protocol not in each.get("protocols", ["tcp", "udp"]) or not _port_matches(each.get("ports", []), port):
            continue
        for destination in each["destinations"]:
            shape = _shape_if_matching(destination, host)
            if shape is not None:
                key = (
                    ["entra", "microsoft", "private", "internet"].index(each["channel"]),
                    kinds.get(each.get("application")) == "quick_access",
                    each.get("priority", 1000),
                    *shape,
                    _count(each.get("ports", [])) or 65535,
                    each["id"],
                )
                best = key if best is None else min(best, key)
    return None if best is None else best[-1]


def _bounds(ports: list[int | str]) -> list[tuple[int, int]]:
    split = [str(each).partition("-") for each in ports]
    return sorted((int(first), int(last or first)) for first, _, last in split)


def _port_matches(ports: list[int | str], port: int) -> bool:
    return not ports or any(first <= port <= last for first, last in _bounds(ports))


def _count(ports: list[int | str]) -> int:
    covered, reached = 0, 0
    for first, last in _bounds(ports):
        covered += max(0, last - max(first, reached + 1) + 1)
        reached = max(reached, last)
    return covered


def _shape_if_matching(destination: str, host: str) -> tuple[int, int, int] | None:
    """Return (exact before wildcard before addresses, minus the labels, addresses covered) if `host` matches."""
    try:
        address = ip_address(host)
    except ValueError:
        return _name_shape(destination.lower().removesuffix("."), host)
    try:
        if "-" in destination:
            first, last = (ip_address(each) for each in destination.split("-"))
            inside = first.version == address.version and int(first) <= int(address) <= int(last)
            return (2, 0, int(last) - int(first) + 1) if inside else None
        network = ip_network(destination)
    except ValueError:
        return None
    return (2, 0, network.num_addresses) if address in network else None


def _name_shape(destination: str, host: str) -> tuple[int, int, int] | None:
    if destination == host:
        return (0, 0, 0)
    if destination == "*":
        return (1, 0, 0)
    if destination.startswith("*.") and host.endswith(destination[1:]):
        return (1, -(destination.count(".")), 0)
    return None
