"""What holds of cross-tenant settings whatever they are: null is the default, equal inputs give equal bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.access_world import (
    DISABLED,
    GUEST,
    HOME,
    MEMBER,
    NOBODYS,
    NOW,
    OWNER,
    PENDING,
    PRIVATE,
    RESOURCE,
    STAFF,
    STRANGER,
    SUITE,
    UNKNOWN,
    attempt_of,
    changes_of,
    directory_of,
    question_of,
)
from tunneld.policy.cross_tenant.documents import AccessDefault
from tunneld.policy.cross_tenant.effective import Settings, policy_id
from tunneld.policy.directory import DAEMON_CLIENT, Directory
from tunneld.policy.facts import AccessPath, Restrictions, Surroundings
from tunneld.policy.overlay import put_objects
from tunneld.policy.sign_in import Deny, Grant, evaluate

Body = dict[str, Any]
ROOT = Path(__file__).parents[2]

_PEOPLE = st.one_of(
    st.just([{"target": "AllUsers", "targetType": "user"}]),
    st.lists(st.sampled_from([
        {"target": GUEST, "targetType": "user"}, {"target": STAFF, "targetType": "group"},
        {"target": UNKNOWN, "targetType": "user"}, {"target": NOBODYS, "targetType": "group"},
    ]), min_size=1, max_size=3),
)
_APPS = st.one_of(
    st.just([{"target": "AllApplications", "targetType": "application"}]),
    st.lists(st.sampled_from([
        {"target": name, "targetType": "application"} for name in (PRIVATE, SUITE, DAEMON_CLIENT, "Office365", UNKNOWN)
    ]), min_size=1, max_size=3),
)
_TYPES = st.sampled_from(["allowed", "blocked"])
_SETTING = st.fixed_dictionaries({
    "usersAndGroups": st.fixed_dictionaries({"accessType": _TYPES, "targets": _PEOPLE}),
    "applications": st.fixed_dictionaries({"accessType": _TYPES, "targets": _APPS}),
})
_TRUST = st.fixed_dictionaries({"isMfaAccepted": st.booleans(), "isCompliantDeviceAccepted": st.booleans()})
_PROPERTIES: dict[str, st.SearchStrategy[Any]] = {
    "b2bCollaborationInbound": _SETTING, "b2bCollaborationOutbound": _SETTING, "b2bDirectConnectInbound": _SETTING,
    "b2bDirectConnectOutbound": _SETTING, "tenantRestrictions": _SETTING, "inboundTrust": _TRUST,
    "blockServiceProviderOutboundAccess": st.booleans(),
}
_DEFAULT = st.fixed_dictionaries({}, optional=_PROPERTIES)
_PARTNER = st.fixed_dictionaries({}, optional={name: st.none() | values for name, values in _PROPERTIES.items()})
_TENANT = st.tuples(_DEFAULT, _PARTNER, _PARTNER)


def world(home: tuple[Body, Body, Body], resource: tuple[Body, Body, Body]) -> dict[str, Body]:
    return {
        HOME: {"default": home[0], "partners": {RESOURCE: home[1], OWNER: home[2]}},
        RESOURCE: {"default": resource[0], "partners": {HOME: resource[1], OWNER: resource[2]}},
        OWNER: {"default": home[0], "partners": {HOME: home[2], RESOURCE: resource[2]}},
    }


def questions() -> Iterator[Any]:
    header = Restrictions(v2=(f"{OWNER}:{policy_id(OWNER)}",))
    for oid in (GUEST, MEMBER, PENDING, DISABLED, STRANGER):
        for app in (PRIVATE, SUITE):
            for path in AccessPath:
                yield question_of(attempt_of(oid, app), around=Surroundings(path=path))
            yield question_of(attempt_of(oid, app), around=Surroundings(restrictions=header))


def answers(directory: Directory) -> list[tuple[int, str, tuple[tuple[str, str, bool | None], ...]]]:
    """Return every decision without the names of its sources, which legitimately differ."""
    found = []
    for question in questions():
        outcome = evaluate(question, directory, NOW)
        lines = tuple((line.step, line.rule, line.hit) for line in outcome.trace)
        found.append((outcome.code if isinstance(outcome, Deny) else 0, str(outcome.path), lines))
    return found


def written_out(default: Mapping[str, Any], partner: Mapping[str, Any]) -> Body:
    """Return the partner with every null replaced by what the default says, the service's values included."""
    everything = AccessDefault.model_validate(dict(default)).to_json()
    names = [name for name in _PROPERTIES if name in everything]
    return {**partner, **{name: everything[name] for name in names if partner.get(name) is None}}


@settings(max_examples=60, deadline=None)
@given(_TENANT, _TENANT)
def test_an_organizations_null_is_the_default(home: tuple[Body, Body, Body], resource: tuple[Body, Body, Body]) -> None:
    """Writing the default's values into a partner changes nothing but the source."""
    nulls = world(home, resource)
    explicit = {
        tenant: {**bodies, "partners": {
            partner: written_out(bodies["default"], body) for partner, body in bodies["partners"].items()
        }}
        for tenant, bodies in nulls.items()
    }
    assert answers(directory_of(nulls)) == answers(directory_of(explicit))


@settings(max_examples=30, deadline=None)
@given(_TENANT, _TENANT)
def test_a_partner_of_nulls_is_no_partner(home: tuple[Body, Body, Body], resource: tuple[Body, Body, Body]) -> None:
    """Within one cloud, its existence alone means nothing."""
    bodies = world(home, resource)
    empty = {id_: {**body, "partners": {partner: {} for partner in body["partners"]}} for id_, body in bodies.items()}
    without = {id_: {**body, "partners": {}} for id_, body in bodies.items()}
    assert answers(directory_of(empty)) == answers(directory_of(without))


@settings(max_examples=30, deadline=None)
@given(_TENANT, _TENANT, st.randoms(use_true_random=False))
def test_the_order_of_writing_does_not_matter(
    home: tuple[Body, Body, Body], resource: tuple[Body, Body, Body], random: Any
) -> None:
    """Objects written in any order give the same policy, version and trace, to the byte."""
    bodies = world(home, resource)
    changes = changes_of(bodies)
    random.shuffle(changes)
    one, other = directory_of(bodies), put_objects(directory_of({}), changes)
    assert traces(one) == traces(other)
    for tenant in (HOME, RESOURCE, OWNER):
        assert one.tenants[tenant].version == other.tenants[tenant].version


def traces(directory: Directory) -> bytes:
    lines = [
        [line.to_json() for line in evaluate(replace(question), directory, NOW).trace] for question in questions()
    ]
    return json.dumps(lines).encode()


_PROGRAM = """
import hashlib
from tests.property.test_cross_tenant import OWNER, directory_of, traces, world
blocked = {"usersAndGroups": {"accessType": "allowed", "targets": [
               {"target": f"dddddddd-0000-4000-8000-00000000000{n}", "targetType": "group"} for n in range(9)]},
           "applications": {"accessType": "blocked", "targets": [
               {"target": f"ffffffff-0000-4000-8000-00000000000{n}", "targetType": "application"} for n in range(9)]}}
side = ({}, {"b2bCollaborationInbound": blocked, "tenantRestrictions": blocked}, {})
print(hashlib.sha256(traces(directory_of(world(side, side)))).hexdigest())
"""


def test_traces_are_the_same_bytes_in_every_process() -> None:
    """No order of a set, no address of an object, no clock gets into a trace."""
    found = set()
    for seed in ("0", "1", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, timeout=50, check=True,
        )
        found.add(done.stdout)
    assert len(found) == 1
    assert len(found.pop()) == 65


class Counted(Mapping[str, Settings]):
    """A mapping that counts what it is asked, and refuses to be walked."""

    def __init__(self, inner: dict[str, Settings]) -> None:
        self.inner = inner
        self.asked = 0

    def __getitem__(self, key: str) -> Settings:
        self.asked += 1
        return self.inner[key]

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("a decision walks over all partners")

    def __len__(self) -> int:
        raise AssertionError("a decision counts all partners")


def test_ten_thousand_partners_cost_as_many_lookups_as_one() -> None:
    """The number of organizations is unlimited, so no decision may look at more than its own."""
    asked = {}
    for count in (1, 10_000):
        others = {f"{number:08x}-0000-4000-8000-00000000000a": Settings() for number in range(count)}
        directory = directory_of({})
        counted = []
        for tenant_id in (HOME, RESOURCE, OWNER):
            tenant = directory.tenants[tenant_id]
            partners = Counted(others)
            counted.append(partners)
            policy = replace(tenant.policy, cross_tenant=replace(tenant.policy.cross_tenant, partners=partners))
            directory = replace(
                directory, tenants={**directory.tenants, tenant_id: replace(tenant, policy=policy)}
            )
        granted = [isinstance(evaluate(question, directory, NOW), Grant) for question in questions()]
        asked[count] = ([each.asked for each in counted], granted)
    assert asked[1] == asked[10_000]
    assert sum(asked[1][0]) > len(asked[1][1])
