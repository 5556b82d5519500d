"""One grant control against one session: met, or what is missing, with the code that says so.

Microsoft Entra: Conditional Access for external users, and the table of what inbound trust makes of each control.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tunneld.policy.conditional_access.compiled import Control, Policy
from tunneld.policy.conditional_access.outcome import Task
from tunneld.policy.conditional_access.standing import Standing
from tunneld.policy.conditional_access.subject import Subject
from tunneld.policy.conditional_access.words import (
    MFA_COMBINATIONS,
    RANK,
    USABLE_AT_RESOURCE,
    Combination,
    ControlKind,
    UserClass,
)
from tunneld.policy.facts import Place

# A plain MFA control at the visited tenant: any second factor that it can ask for.
_SECOND_FACTORS = tuple(frozenset({method}) for method in sorted(USABLE_AT_RESOURCE))
SESSION_RANK = len(RANK)  # session controls come after all grant controls


@dataclass(frozen=True, slots=True)
class Demand:
    """Something that is missing. Without a task the user can do nothing about it.

    `combinations` would each do; `any_factor` says that the control itself names none.
    """

    rank: int
    code: int
    control: str
    task: Task | None = None
    place: Place = Place.RESOURCE
    combinations: tuple[Combination, ...] = ()
    any_factor: bool = False
    agreement: str = ""
    sentence: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """What a control is judged on: the sign-in, what may be believed of it, and the policy that asks."""

    subject: Subject
    standing: Standing
    policy: Policy


def unmet(case: Case) -> tuple[Demand, ...]:
    """Return what a policy's grant controls still need.

    With OR the first control that is met ends the policy; when none is, the first one that the user can do something
    about is asked for, else the first of all.
    """
    policy = case.policy
    demands = [_JUDGES[control.kind](control, case) for control in policy.controls]
    missing = tuple(demand for demand in demands if demand is not None)
    if policy.every_control or not missing:
        return missing
    if len(missing) < len(demands):
        return ()
    return (next((demand for demand in missing if demand.task is not None), missing[0]),)


def need_factor(
    case: Case, control: Control, combinations: tuple[Combination, ...], *, any_factor: bool
) -> Demand:
    """Return the demand for one of the combinations: to use it, or first to register one."""
    standing = case.standing
    place = standing.mfa_place or Place.HOME
    rank, name = RANK[control.kind], control.name
    if standing.ready(combinations):
        return Demand(rank, 50076, name, Task.MFA, place, standing.ready(combinations), any_factor)
    if case.policy.on_sign_in_risk:
        return Demand(rank, 53004, name)
    return Demand(rank, 50079, name, Task.REGISTER_MFA, place, combinations, any_factor)


def need_multifactor(control: Control, case: Case) -> Demand | None:
    """Judge the plain MFA control; a guest's methods at home count only where home is trusted."""
    standing = case.standing
    if standing.mfa_place is None:
        return Demand(RANK[control.kind], 90071, control.name)
    combinations = _SECOND_FACTORS if standing.mfa_place is Place.RESOURCE else MFA_COMBINATIONS
    used = standing.used
    if any(each <= used for each in combinations):
        return None
    return need_factor(case, control, combinations, any_factor=standing.mfa_place is Place.HOME)


def _strength(control: Control, case: Case) -> Demand | None:
    standing, rank = case.standing, RANK[control.kind]
    if standing.outside:
        sentence = "An authentication strength can be met only by accounts that have a home tenant."
        return Demand(rank, 53003, control.name, sentence=sentence)
    if standing.mfa_place is None:
        return Demand(rank, 90071, control.name)
    combinations = standing.usable(control.combinations)
    if not combinations:
        sentence = "No method that the authentication strength allows can be used in the tenant."
        return Demand(rank, 53003, control.name, sentence=sentence)
    used = standing.used
    if any(each <= used for each in combinations):
        return None
    return need_factor(case, control, combinations, any_factor=False)


def _compliant(control: Control, case: Case) -> Demand | None:
    device = case.standing.known_device
    if case.standing.compliance_counts and device is not None and device.compliant:
        return None
    missing = case.standing.compliance_counts and device is None
    return _device(control, case, 50097 if missing else 53000, 53000, ask=missing)


def _hybrid_joined(control: Control, case: Case) -> Demand | None:
    device = case.standing.known_device
    if case.standing.hybrid_join_counts and device is not None and device.hybrid_joined:
        return None
    return _device(control, case, 53001, 53001, ask=case.standing.hybrid_join_counts and device is None)


def _device(control: Control, case: Case, code: int, hard: int, *, ask: bool) -> Demand:
    """A device that is unknown may prove itself at home; over direct connect nobody is asked."""
    rank, name = RANK[control.kind], control.name
    if ask and case.standing.user_class is not UserClass.DIRECT_CONNECT:
        return Demand(rank, code, name, Task.DEVICE, Place.HOME)
    return Demand(rank, hard, name)


def _approved_application(control: Control, case: Case) -> Demand | None:
    """Our own clients are the approved ones; for external users the control cannot be met."""
    if case.standing.internal and case.subject.client.trusted:
        return None
    return Demand(RANK[control.kind], 53002, control.name)


def _compliant_application(control: Control, case: Case) -> Demand:
    """Nothing here puts an application under a protection policy, so that nobody can meet the control."""
    del case
    return Demand(RANK[control.kind], 53009, control.name)


def _password_change(control: Control, case: Case) -> Demand:
    """Own users change it where they have it and lose the risk thereby; a guest's password is not ours to change."""
    if case.standing.internal:
        return Demand(RANK[control.kind], 50142, control.name)
    return Demand(RANK[control.kind], 53011 if case.policy.on_user_risk else 53003, control.name)


def _terms_of_use(control: Control, case: Case) -> Demand | None:
    if case.subject.user is None:  # nobody here whose acceptance could be recorded
        return Demand(RANK[control.kind], 53003, control.name)
    if control.id in case.subject.facts.terms_accepted:
        return None
    return Demand(RANK[control.kind], 50158, control.name, Task.TERMS_OF_USE, agreement=control.id)


def _custom(control: Control, case: Case) -> Demand:
    """No provider of custom controls is connected."""
    del case
    return Demand(RANK[control.kind], 50158, control.name)


_JUDGES: dict[ControlKind, Callable[[Control, Case], Demand | None]] = {
    ControlKind.MFA: need_multifactor,
    ControlKind.STRENGTH: _strength,
    ControlKind.COMPLIANT_DEVICE: _compliant,
    ControlKind.DOMAIN_JOINED: _hybrid_joined,
    ControlKind.APPROVED_APPLICATION: _approved_application,
    ControlKind.COMPLIANT_APPLICATION: _compliant_application,
    ControlKind.PASSWORD_CHANGE: _password_change,
    ControlKind.TERMS_OF_USE: _terms_of_use,
    ControlKind.CUSTOM: _custom,
}
