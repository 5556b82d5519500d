"""The forwarding profile of a lab tenant, derived from what the tenant owns."""

from __future__ import annotations

from typing import Any

from tunneld.lab.world import BLOCKED_HOST, Origin, Segment, Tenant


def profile_document(tenant: Tenant, edges: dict[str, str]) -> dict[str, Any]:
    """Return the tenant's profile; `edges` says where the edge of each channel listens."""
    return {
        "schema": 1,
        "id": f"{tenant.name}-workforce",
        "tenant": tenant.name,
        "version": 1,
        "assignments": {"users": [], "groups": [tenant.group_id("lab-users")], "user_types": []},
        "channels": {
            channel: {
                "edge": f"{tenant.edge_name(channel)}:443",
                "audience": tenant.channel_audience(channel),
                "address": edges[channel],
            }
            for channel in tenant.channels
        },
        "applications": [
            {"id": tenant.segment_id(segment.key), "name": segment.name, "kind": segment.kind}
            for segment in tenant.segments
        ],
        "rules": _rules(tenant),
        "private_dns": {"suffixes": sorted({_suffix(origin) for origin in tenant.origins if origin.private})},
    }


def _rules(tenant: Tenant) -> list[dict[str, Any]]:
    segments = {segment.key: segment for segment in tenant.segments}
    rules = [_origin_rule(tenant, segments[origin.segment], origin) for origin in tenant.origins]
    rules += [_catch_all_rule(tenant, segment) for segment in tenant.segments if segment.catch_all]
    if "internet" in tenant.channels:
        rules.append({
            "id": "internet-blocked", "channel": "internet", "destinations": [BLOCKED_HOST, f"*.{BLOCKED_HOST}"],
            "action": "block",
        })
    if "microsoft" in tenant.channels:
        # The sign-in itself must not depend on the tunnel that it opens.
        rules.append({
            "id": "sign-in-direct", "channel": "microsoft", "destinations": ["login.office.example"],
            "action": "bypass",
        })
    return rules


def _origin_rule(tenant: Tenant, segment: Segment, origin: Origin) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "id": f"{tenant.name}-{origin.name}",
        "channel": segment.channel,
        "application": tenant.segment_id(segment.key),
        "destinations": [origin.host] + ([origin.address] if origin.address else []),
        "protocols": [origin.protocol],
        "action": "tunnel",
        "hardening": segment.hardening,
        "on_switch": origin.on_switch,
    }
    if origin.kind != "own":  # your own program may listen for anything
        rule["ports"] = [origin.port]
    return rule


def _catch_all_rule(tenant: Tenant, segment: Segment) -> dict[str, Any]:
    return {
        "id": f"{tenant.name}-{segment.key}",
        "channel": segment.channel,
        "application": tenant.segment_id(segment.key),
        "destinations": list(segment.catch_all),
        "action": "tunnel",
        "hardening": segment.hardening,
    }


def _suffix(origin: Origin) -> str:
    return origin.host.partition(".")[2]
