"""What Conditional Access answers: a refusal, something the user can still do, or the session it allows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tunneld.policy.facts import Place
from tunneld.policy.refusals import Refusal
from tunneld.policy.trace import TraceStep


class Task(StrEnum):
    """What a page can ask of the user, so that a refusal becomes a grant."""

    SIGN_IN = "sign_in"  # fresh primary authentication
    MFA = "mfa"
    REGISTER_MFA = "register_mfa"
    DEVICE = "device"  # present a device credential at home
    TERMS_OF_USE = "terms_of_use"
    REDEMPTION = "redemption"  # accept the invitation: review permissions
    CONSENT = "consent"


@dataclass(frozen=True, slots=True)
class Interaction:
    """One task. `methods` are the combinations that would do (empty: any second factor), each a set of Graph words."""

    task: Task
    place: Place = Place.RESOURCE
    methods: tuple[frozenset[str], ...] = ()
    policies: tuple[str, ...] = ()  # ids of the policies that ask
    agreement: str = ""  # id of the terms of use


@dataclass(frozen=True, slots=True)
class AppliedPolicy:
    """One line of a sign-in record's `appliedConditionalAccessPolicies`; the words are Graph's."""

    id: str
    display_name: str
    result: str  # success | failure | notApplied | notEnabled | reportOnlySuccess | reportOnlyFailure | …
    grant_controls: tuple[str, ...] = ()
    session_controls: tuple[str, ...] = ()
    satisfied: tuple[str, ...] = ()
    not_satisfied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionControls:
    """What the session may do; None means that no policy says so."""

    sign_in_frequency_s: int | None = None  # 0: every time
    persistent_browser: bool | None = None
    continuous_access: str = ""  # "" | "disabled" | "strictEnforcement" | "strictLocation"


@dataclass(frozen=True, slots=True)
class AccessVerdict:
    """The whole answer. Without a refusal the sign-in goes on under `session`, and `contexts` may go into `acrs`."""

    refusal: Refusal | None = None
    interaction: Interaction | None = None
    applied: tuple[AppliedPolicy, ...] = ()
    session: SessionControls = SessionControls()
    contexts: tuple[str, ...] = ()
    trace: tuple[TraceStep, ...] = ()
