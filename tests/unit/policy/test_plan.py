"""Plans: what differs, read like a diff, and nothing where nothing differs."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tunneld.policy.plan import Action, MemberChange, Written, differences, merged, plan

KEY = ("conditionalAccessPolicy", "p1")
NOW = {"id": "p1", "displayName": "Require MFA", "state": "enabled", "modifiedDateTime": "2026-01-01T00:00:00Z"}


def wanted(**changes: Any) -> dict[tuple[str, str], Written]:
    return {KEY: Written({**NOW, **changes}, "p.json")}


def test_an_export_plans_nothing() -> None:
    """Also where the service has written a new time since."""
    assert plan({KEY: NOW}, wanted(), prune=True) == ()
    assert plan({KEY: {**NOW, "modifiedDateTime": "later"}}, wanted(), prune=True) == ()


def test_a_new_file_is_created_and_says_where_it_is() -> None:
    """With the members that hold something."""
    (step,) = plan({}, wanted(grantControls=None), prune=False)
    assert (step.action, step.name, step.where) == (Action.CREATE, "Require MFA", "p.json")
    assert [member.path for member in step.members] == ["displayName", "id", "state"]


def test_a_change_names_each_member_with_old_and_new() -> None:
    """And the whole object as it will be."""
    (step,) = plan({KEY: NOW}, wanted(state="disabled"), prune=False)
    assert step.action is Action.CHANGE
    assert step.members == (MemberChange("state", "enabled", "disabled"),)
    assert step.body is not None
    assert step.body["state"] == "disabled"


def test_what_is_in_no_file_is_deleted_only_when_pruning() -> None:
    """Files are the whole truth only where somebody says so."""
    assert plan({KEY: NOW}, {}, prune=False) == ()
    (step,) = plan({KEY: NOW}, {}, prune=True)
    assert (step.action, step.body, step.name) == (Action.DELETE, None, "Require MFA")


def test_a_member_that_a_file_leaves_out_keeps_its_value() -> None:
    """As with PATCH; an explicit null is a value."""
    partial = {KEY: Written({"id": "p1", "state": "disabled"}, "p.json")}
    (step,) = plan({KEY: NOW}, partial, prune=False)
    assert step.body is not None
    assert (step.body["displayName"], step.body["state"]) == ("Require MFA", "disabled")
    (step,) = plan({KEY: NOW}, wanted(displayName=None), prune=False)
    assert step.members == (MemberChange("displayName", "Require MFA", None),)


def test_members_inside_members_are_named_by_their_path() -> None:
    """A list counts as one value: order may matter in it."""
    old = {"inboundTrust": {"isMfaAccepted": False, "isCompliantDeviceAccepted": True}, "list": [1, 2]}
    new = {"inboundTrust": {"isMfaAccepted": True, "isCompliantDeviceAccepted": True}, "list": [2, 1]}
    assert list(differences(old, new)) == [
        MemberChange("inboundTrust.isMfaAccepted", False, True), MemberChange("list", [1, 2], [2, 1]),
    ]


def test_steps_come_by_kind_and_name() -> None:
    """Whatever the order of files was."""
    bodies = {("b", "1"): {"displayName": "x"}, ("a", "2"): {"displayName": "Z"}, ("a", "3"): {"displayName": "y"}}
    steps = plan({}, {name: Written(body, "") for name, body in bodies.items()}, prune=False)
    assert [(step.kind, step.name) for step in steps] == [("a", "y"), ("a", "Z"), ("b", "x")]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=8,
)  # fmt: skip
bodies = st.dictionaries(st.sampled_from(["id", "displayName", "a", "b", "modifiedDateTime"]), values, max_size=5)


@given(bodies, bodies)
def test_a_plan_that_was_applied_plans_nothing_more(now: dict[str, Any], then: dict[str, Any]) -> None:
    """Idempotent: the second run of the same files has nothing to do."""
    files = {KEY: Written(then, "p.json")}
    for step in plan({KEY: now}, files, prune=True):
        assert step.body is not None
        now = dict(step.body)
    assert plan({KEY: now}, files, prune=True) == ()
    assert not list(differences(now, merged(now, then)))
