"""Session controls: how old a sign-in may be, what the browser keeps, how continuous access evaluation behaves."""

from __future__ import annotations

from collections.abc import Iterable

from tunneld.policy.conditional_access.compiled import Control, Policy
from tunneld.policy.conditional_access.controls import SESSION_RANK, Case, Demand, need_multifactor
from tunneld.policy.conditional_access.outcome import SessionControls, Task
from tunneld.policy.conditional_access.words import ControlKind, UserClass
from tunneld.policy.facts import Place

EVERY_TIME_S = 300  # Microsoft Entra asks no more often than every five minutes, for the clocks' sake
FREQUENCY = "signInFrequency"
_STRICTNESS = ("", "disabled", "strictEnforcement", "strictLocation")
_FACTORS = (ControlKind.MFA, ControlKind.STRENGTH)


def too_old(case: Case) -> Demand | None:
    """Return what a policy's sign-in frequency asks for. Over direct connect session controls do not apply."""
    frequency = case.policy.frequency
    if frequency is None or case.standing.user_class is UserClass.DIRECT_CONNECT:
        return None
    since = case.subject.now - (EVERY_TIME_S if frequency.every_time else frequency.seconds)
    primary = case.standing.primary_at
    if not frequency.secondary_only and (primary is None or primary <= since):
        return Demand(SESSION_RANK, 70043, FREQUENCY, Task.SIGN_IN, Place.HOME)
    if frequency.secondary_only or any(control.kind in _FACTORS for control in case.policy.controls):
        return _factor_too_old(case, since)
    return None


def _factor_too_old(case: Case, since: int) -> Demand | None:
    used_at = case.standing.second_factor_at()
    if used_at is None:
        # Who has used no second factor either met the grant by something else, or is asked for one only now.
        return need_multifactor(Control(ControlKind.MFA), case) if _secondary(case.policy) else None
    if used_at > since:
        return None
    place = case.standing.mfa_place or Place.HOME
    return Demand(SESSION_RANK + 1, 50078, FREQUENCY, Task.MFA, place, any_factor=True)


def _secondary(policy: Policy) -> bool:
    return policy.frequency is not None and policy.frequency.secondary_only


def session_of(policies: Iterable[Policy], user_class: UserClass) -> SessionControls:
    """Combine the session controls of all policies that apply: the strictest of each, which is a choice."""
    if user_class is UserClass.DIRECT_CONNECT:
        return SessionControls()
    frequency: int | None = None
    persistent: bool | None = None
    strictness = 0
    for policy in policies:
        if policy.frequency is not None:
            seconds = policy.frequency.seconds
            frequency = seconds if frequency is None else min(frequency, seconds)
        if policy.persistent_browser is not None:
            persistent = policy.persistent_browser and persistent is not False
        strictness = max(strictness, _STRICTNESS.index(policy.continuous_access))
    return SessionControls(frequency, persistent, _STRICTNESS[strictness])
