"""Replays over generated worlds: the policy in force changes nobody's sign-in, and equal input gives equal records."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.test_cross_tenant import _TENANT, world
from tests.support.access_world import (
    GUEST,
    HOME,
    HOME_PEOPLE,
    NOW,
    OUTSIDE,
    OWN,
    PRIVATE,
    RESOURCE,
    SUITE,
    attempt_of,
    change,
    changes_of,
    directory_of,
    question_of,
)
from tunneld.policy.directory import DAEMON_CLIENT, Directory
from tunneld.policy.facts import AccessPath, MethodUse, SessionFacts, Surroundings
from tunneld.policy.objects import Change
from tunneld.policy.overlay import put_objects
from tunneld.policy.replay import RecordedSignIn, replay
from tunneld.policy.sign_in import evaluate
from tunneld.policy.sign_in_record import Moment, records_of

_MOMENT = Moment("2026-01-01T00:00:00Z", "0" * 8, "password", record_ids=("1", "2", "3"))

_POLICY = st.fixed_dictionaries({
    "state": st.sampled_from(["enabled", "disabled", "enabledForReportingButNotEnforced"]),
    "conditions": st.fixed_dictionaries({
        "users": st.sampled_from([{"includeUsers": ["All"]}, {"includeUsers": [GUEST]},
                                  {"includeUsers": ["All"], "excludeUsers": [OWN]}]),
        "applications": st.sampled_from([{"includeApplications": [name]} for name in ("All", PRIVATE, SUITE)]),
        "clientAppTypes": st.just(["all"]),
    }),
    "grantControls": st.fixed_dictionaries({
        "operator": st.sampled_from(["AND", "OR"]),
        "builtInControls": st.lists(
            st.sampled_from(["mfa", "compliantDevice", "domainJoinedDevice"]), min_size=1, max_size=3, unique=True
        ) | st.just(["block"]),
    }),
})
_QUESTION = st.builds(
    lambda oid, app, path, methods, consented: question_of(
        attempt_of(oid, app, path=path, consented=consented),
        facts=SessionFacts(home=tuple(MethodUse(each, NOW - 5) for each in methods)),
        around=Surroundings(path=AccessPath(path)),
    ),
    st.sampled_from([*HOME_PEOPLE, OWN, *OUTSIDE]), st.sampled_from([PRIVATE, SUITE, DAEMON_CLIENT]),
    st.sampled_from(["b2bCollaboration", "b2bDirectConnect", "serviceProvider"]),
    st.sampled_from([(), ("password",), ("password", "softwareOath")]), st.booleans(),
)


def policies(bodies: list[dict[str, Any]]) -> list[Change]:
    kind = "conditionalAccessPolicy"
    ids = [f"abcdabcd-0000-4000-8000-{number:012}" for number in range(len(bodies))]
    return [change(RESOURCE, kind, id_, {"id": id_, "displayName": id_[-3:], **body})
            for id_, body in zip(ids, bodies, strict=True)]


def records(directory: Directory, questions: list[Any]) -> list[str]:
    """Return every tenant's record of every question as bytes would be."""
    return [
        json.dumps([record.tenant_id, record.body])
        for question in questions
        for record in records_of(question, evaluate(question, directory, NOW), directory, _MOMENT)
    ]


@given(_TENANT, _TENANT, st.lists(_POLICY, max_size=3), st.lists(_QUESTION, min_size=1, max_size=12))
@settings(max_examples=120, deadline=None)
def test_the_policy_in_force_changes_no_recorded_sign_in(
    home: Any, resource: Any, conditional: list[dict[str, Any]], questions: list[Any]
) -> None:
    """Whatever is configured: written again as a candidate it gains and loses nobody, seen from either side."""
    bodies = world(home, resource)
    candidate = [*changes_of(bodies), *policies(conditional)]
    now = put_objects(directory_of(bodies), policies(conditional))
    after = put_objects(now, reversed(candidate))
    recorded = [RecordedSignIn(str(number), NOW, question) for number, question in enumerate(questions)]
    for reader in ("", HOME, RESOURCE):
        found = replay(recorded, now, after, reader)
        assert (found.differences, found.unchanged) == ((), len(questions))
    assert after.tenants[RESOURCE].version == now.tenants[RESOURCE].version


@given(_TENANT, _TENANT, st.lists(_POLICY, max_size=3), st.lists(_QUESTION, min_size=1, max_size=12))
@settings(max_examples=80, deadline=None)
def test_equal_input_gives_records_equal_to_the_byte(
    home: Any, resource: Any, conditional: list[dict[str, Any]], questions: list[Any]
) -> None:
    """Two directories that were built by themselves, the second in another order of writes."""
    bodies = world(home, resource)
    one = put_objects(directory_of(bodies), policies(conditional))
    other = directory_of(dict(reversed(bodies.items())))
    for each in reversed(policies(conditional)):
        other = put_objects(other, [each])
    assert records(one, questions) == records(other, questions)


@given(_TENANT, _TENANT, st.lists(_QUESTION, min_size=4, max_size=12))
@settings(max_examples=60, deadline=None)
def test_a_block_for_all_loses_exactly_those_who_were_let_in(home: Any, resource: Any, questions: list[Any]) -> None:
    """So that the properties above are not about a replay that never finds anything."""
    bodies = world(home, resource)
    now = directory_of(bodies)
    block = {"state": "enabled", "grantControls": {"operator": "OR", "builtInControls": ["block"]}, "conditions": {
        "users": {"includeUsers": ["All"]}, "applications": {"includeApplications": ["All"]},
        "clientAppTypes": ["all"],
    }}
    after = put_objects(now, policies([block]))
    recorded = [RecordedSignIn(str(number), NOW, question) for number, question in enumerate(questions)]
    found = replay(recorded, now, after)
    lost = {each for row in found.differences if row.change == "loses" for each in row.sign_ins}
    let_in = {each.id for each in recorded if not hasattr(evaluate(each.request, now, NOW), "code")}
    assert lost == let_in
