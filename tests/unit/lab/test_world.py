"""The lab's world hangs together: its documents load, its overlap is real, its ids never change."""

from __future__ import annotations

import json

import pytest

from tunneld.forwarding.compile import compile_profile
from tunneld.forwarding.document import load_profile
from tunneld.forwarding.lint import lint
from tunneld.lab import world
from tunneld.lab.profiles import profile_document
from tunneld.model.verdict import Outcome, Protocol

WITH_PROFILE = [tenant for tenant in world.TENANTS if tenant.channels]


def compiled(tenant: world.Tenant):
    text = json.dumps(profile_document(tenant, dict.fromkeys(tenant.channels, "127.0.0.1:8443")))
    return compile_profile(load_profile(text, where=f"{tenant.name}.json"))


def test_ids_are_the_same_everywhere() -> None:
    """Documentation and scripts may quote them."""
    assert world.CONTOSO.id == "2ed7f603-5ad0-5239-a692-aa2aa069281f"
    ids = [tenant.id for tenant in world.TENANTS]
    ids += [tenant.segment_id(segment.key) for tenant in world.TENANTS for segment in tenant.segments]
    ids += [tenant.user_id(user.name) for tenant in world.TENANTS for user in tenant.users]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("tenant", WITH_PROFILE, ids=lambda tenant: tenant.name)
def test_every_origin_is_owned_by_its_segment(tenant: world.Tenant) -> None:
    """What the connector maps is what the profile sends there, under the right application."""
    profile = compiled(tenant)
    channels = {segment.key: segment.channel for segment in tenant.segments}
    for origin in tenant.origins:
        for host in (origin.host, origin.address):
            if host is None:
                continue
            verdict = profile.classify(host, origin.port, Protocol(origin.protocol))
            assert verdict.outcome is Outcome.TUNNEL
            assert verdict.rule_id == f"{tenant.name}-{origin.name}"
            assert verdict.application == tenant.segment_id(origin.segment)
            assert verdict.channel == channels[origin.segment]
            assert str(verdict.on_switch) == origin.on_switch


@pytest.mark.parametrize("tenant", WITH_PROFILE, ids=lambda tenant: tenant.name)
def test_the_profiles_are_clean(tenant: world.Tenant) -> None:
    """lint has no warning about what newcomers learn from."""
    text = json.dumps(profile_document(tenant, dict.fromkeys(tenant.channels, "127.0.0.1:8443")))
    assert [finding for finding in lint(load_profile(text, where="p.json")) if finding.level == "warning"] == []


def test_two_partners_use_the_same_names_and_addresses() -> None:
    """Only the active tenant can tell which is meant."""
    fabrikam, woodgrove = (
        {(origin.host, origin.port, origin.protocol) for origin in tenant.origins}
        for tenant in (world.FABRIKAM, world.WOODGROVE)
    )
    assert fabrikam == woodgrove
    for tenant in (world.FABRIKAM, world.WOODGROVE):
        verdict = compiled(tenant).classify("10.20.99.1", 22, Protocol.TCP)
        assert verdict.application == tenant.segment_id("quick-access")


def test_there_is_one_of_every_kind_behind_each_edge() -> None:
    """And each kind once among what is assigned and ends at a switch, so that tests find the plain case first."""
    for tenant in WITH_PROFILE:
        first = {origin.kind: origin for origin in reversed(tenant.origins) if origin.private}
        assert set(first) >= {"http", "tls", "echo", "sink", "udp-echo", "slow", "refuse"}
        assert {first[kind].on_switch for kind in first} == {"terminate"}


def test_the_user_is_a_guest_here_and_a_member_there() -> None:
    """Two ways to be invited."""
    kinds = {
        tenant.name: user.user_type for tenant in world.TENANTS for user in tenant.users if user.home == world.HOME
    }
    assert kinds == {"fabrikam": "guest", "woodgrove": "member"}
