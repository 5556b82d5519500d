"""A switch as a plan of values, and its receipt."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunneld.model.reasons import Reason
from tunneld.model.verdict import KEEP, TERMINATE, Channel, SwitchPolicy
from tunneld.session.switching import (
    OPENING,
    FlowCounts,
    Phase,
    Receipt,
    Standing,
    Step,
    StepKind,
    allowed_channels,
    on_switch_of,
    plan,
    total_bytes_after,
)

P, I, M, E = Channel.PRIVATE, Channel.INTERNET, Channel.MICROSOFT, Channel.ENTRA  # noqa: E741
SUBSETS = [frozenset(s) for s in chain.from_iterable(combinations(Channel, n) for n in range(5))]
ORDER = list(Phase)


def test_home_to_a_resource_tenant_retires_every_home_channel_and_builds_the_private_one() -> None:
    steps = plan(Standing("home", frozenset({P, I, M})), Standing("resource", frozenset({P})))
    assert steps == (
        Step(StepKind.ENROL),
        Step(StepKind.BUILD, P),
        Step(StepKind.PROBE, P),
        Step(StepKind.ASSIGN),
        Step(StepKind.RETIRE, P),
        Step(StepKind.RETIRE, M),
        Step(StepKind.RETIRE, I),
        Step(StepKind.REMEMBER),
    )


def test_a_home_without_channels_needs_no_certificate_and_no_tunnel() -> None:
    steps = plan(Standing("resource", frozenset({P})), Standing("home", frozenset()))
    assert steps == (Step(StepKind.ASSIGN), Step(StepKind.RETIRE, P), Step(StepKind.REMEMBER))


def test_the_first_tenant_of_a_daemon_retires_nothing() -> None:
    assert [s.kind for s in plan(None, Standing("home", frozenset()))] == [StepKind.ASSIGN, StepKind.REMEMBER]


@given(st.one_of(st.none(), st.sampled_from(SUBSETS)), st.sampled_from(SUBSETS))
def test_in_every_plan_the_phases_follow_each_other_and_there_is_one_commit(
    old: frozenset[Channel] | None, new: frozenset[Channel]
) -> None:
    current = None if old is None else Standing("a", old)
    steps = OPENING + plan(current, Standing("b", new))
    ranks = [ORDER.index(step.phase) for step in steps]
    assert ranks == sorted(ranks)
    assert [step.kind for step in steps].count(StepKind.ASSIGN) == 1
    assert {s.channel for s in steps if s.kind is StepKind.BUILD} == new
    assert {s.channel for s in steps if s.kind is StepKind.RETIRE} == (old or frozenset())
    assert [s.kind for s in steps].count(StepKind.PROBE) == (1 if new else 0)


@pytest.mark.parametrize(
    ("home", "machine_bound", "expected"),
    [(True, False, {P, I, M, E}), (False, True, {P, I, M, E}), (True, True, {P, I, M, E}), (False, False, {P})],
)
def test_an_external_user_has_the_private_channel_only(home: bool, machine_bound: bool, expected: set[Channel]) -> None:
    assert allowed_channels(Channel, home=home, machine_bound=machine_bound) == expected


def test_a_guest_of_a_tenant_without_a_private_channel_has_none() -> None:
    assert allowed_channels([I, M], home=False, machine_bound=False) == frozenset()


def test_a_flow_does_what_its_rule_says_and_ends_if_the_rule_is_gone() -> None:
    policies = {"a": KEEP, "b": SwitchPolicy("drain", 30)}
    assert on_switch_of("a", policies) is KEEP
    assert on_switch_of("b", policies) == SwitchPolicy("drain", 30)
    assert on_switch_of("gone", policies) is TERMINATE
    assert on_switch_of(None, policies) is TERMINATE


def test_the_bytes_after_commit_are_a_count_or_nothing() -> None:
    assert total_bytes_after([]) == 0
    assert total_bytes_after([0, 12]) == 12
    assert total_bytes_after([0, None, 5]) is None


def test_a_committed_receipt_has_exactly_the_public_fields() -> None:
    receipt = Receipt(
        "contoso", "fabrikam", 2, None, prepare_ms=12.34567, commit_ms=0.01, retire_ms=3.0,
        flows=FlowCounts(3, 1, 2), old_epoch_bytes_after_commit=0,
    )
    assert receipt.committed
    assert receipt.to_json() == {
        "from": "contoso", "to": "fabrikam", "epoch": 2, "committed": True, "reason": None, "detail": None,
        "phases": {"prepare_ms": 12.346, "commit_ms": 0.01, "retire_ms": 3.0},
        "flows": {"terminated": 3, "drained": 1, "kept": 2},
        "old_epoch_bytes_after_commit": 0,
    }


def test_a_receipt_that_was_not_committed_names_its_reason_and_leaves_later_phases_null() -> None:
    receipt = Receipt("contoso", "fabrikam", 1, Reason.PROBE_FAILED, "no answer in 3 s", prepare_ms=3000.0)
    public = receipt.to_json()
    assert not receipt.committed
    assert (public["committed"], public["reason"], public["detail"]) == (False, "probe_failed", "no answer in 3 s")
    assert public["phases"] == {"prepare_ms": 3000.0, "commit_ms": None, "retire_ms": None}
    assert public["old_epoch_bytes_after_commit"] is None
