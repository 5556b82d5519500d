"""The sign-in decision: one function over values, in one fixed order of steps.

The order is part of the contract, because the first refusal is the one that a person sees and searches for:

    S0 request    S3 home authentication    S6 object in the tenant    S7 redemption    S8 assignment

The gaps are the places of tenant restrictions (S1), clouds (S2), the two sides' cross-tenant access settings
(S4, S5) and Conditional Access (S9 to S11): each is one more function in `STEPS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tunneld.model.reasons import Reason
from tunneld.policy.directory import Client, Directory, ObjectKey, Resource, ResourceKind, Tenant, User, UserState
from tunneld.policy.refusals import Refusal, refusal


@dataclass(frozen=True, slots=True)
class PasswordProof:
    """A password was typed: whether it was the right one, and whether the account was locked before that."""

    correct: bool
    locked: bool


@dataclass(frozen=True, slots=True)
class SessionProof:
    """An earlier sign-in at the home tenant is being used: a session, a code, a refresh token."""

    authenticated_at: int
    revoked: bool
    lifetime_s: int


@dataclass(frozen=True, slots=True)
class SignInRequest:
    """Everything that the decision looks at besides the directory.

    `account` is the home object, None when no account has the typed name. `consented` says whether this account
    has accepted the tenant's terms before, or just now.
    """

    tenant: str
    client_id: str
    audience: str
    account: ObjectKey | None
    proof: PasswordProof | SessionProof
    consented: bool = False


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One step of the decision. No clock and no secret in it: the same input gives the same bytes."""

    step: str
    check: str
    tenant: str
    effect: str  # "pass" | "block"
    rule: str


@dataclass(frozen=True, slots=True)
class Grant:
    """Who may have a token for what."""

    tenant: Tenant
    user: User
    home: Tenant
    home_user: User
    client: Client
    resource: Resource
    trace: tuple[TraceStep, ...]


@dataclass(frozen=True, slots=True)
class Deny:
    """Why not: the stable reason, the published code, and the steps that led there."""

    refusal: Refusal
    trace: tuple[TraceStep, ...]

    @property
    def reason(self) -> Reason:
        return self.refusal.reason

    @property
    def code(self) -> int:
        return self.refusal.code

    @property
    def authenticated(self) -> bool:
        """Tell whether the person did prove who they are before something else was refused."""
        return any(step.step == "S3" and step.effect == "pass" for step in self.trace)

    @property
    def unproven(self) -> bool:
        """Tell whether the proof itself was the problem, so that proving it again may help."""
        return bool(self.trace) and self.trace[-1].step == "S3"

    @property
    def needs_consent(self) -> bool:
        """Tell whether a page could still turn this into a grant."""
        return self.refusal.code == 50014


@dataclass(slots=True)
class _Progress:
    """What the steps have found so far; lives for one evaluation."""

    request: SignInRequest
    directory: Directory
    now: int
    tenant: Tenant | None = None
    client: Client | None = None
    resource: Resource | None = None
    home: Tenant | None = None
    home_user: User | None = None
    user: User | None = None
    trace: list[TraceStep] = field(default_factory=list)


Outcome = Refusal | str  # a refusal, or the words that say why the step passed


def evaluate(request: SignInRequest, directory: Directory, now: int) -> Grant | Deny:
    """Decide one sign-in, silent or not. The caller shows pages, mints tokens and writes the log."""
    progress = _Progress(request, directory, now)
    for step, check, judge in STEPS:
        outcome = judge(progress)
        blocked = isinstance(outcome, Refusal)
        where = progress.home if step == "S3" else progress.tenant
        rule = f"AADSTS{outcome.code}" if isinstance(outcome, Refusal) else outcome
        name = where.name if where else ""
        progress.trace.append(TraceStep(step, check, name, "block" if blocked else "pass", rule))
        if isinstance(outcome, Refusal):
            return Deny(outcome, tuple(progress.trace))
    return _grant(progress)


def _request(at: _Progress) -> Outcome:
    at.tenant = at.directory.tenant(at.request.tenant)
    if at.tenant is None:
        return refusal(90002)
    at.client = at.directory.clients.get(at.request.client_id)
    if at.client is None:
        return refusal(700016)
    at.resource = at.tenant.resource(at.request.audience)
    if at.resource is None:
        return refusal(500011)
    return f"{at.resource.kind} {at.resource.id}"


def _home_authentication(at: _Progress) -> Outcome:
    account, proof = at.request.account, at.request.proof
    if isinstance(proof, PasswordProof) and proof.locked:
        return refusal(50053)
    at.home = at.directory.tenants.get(account[0]) if account else None
    at.home_user = at.directory.user(account) if account else None
    if at.home_user is None or at.home_user.home is not None:
        return refusal(50034)
    if isinstance(proof, PasswordProof) and not proof.correct:
        return refusal(50126)
    if at.home_user.state is not UserState.ACTIVE:
        return refusal(50057)
    if isinstance(proof, PasswordProof):
        return "password"
    if proof.revoked:
        return refusal(50173)
    if at.now - proof.authenticated_at >= proof.lifetime_s:
        return refusal(50173, "The session is too old; a fresh sign-in is needed.")
    return "session"


def _object_in_tenant(at: _Progress) -> Outcome:
    assert at.tenant is not None
    assert at.request.account is not None
    at.user = at.directory.presence(at.tenant, at.request.account)
    if at.user is None:
        return refusal(50020)
    if at.user.state is UserState.DISABLED:
        return refusal(50057)
    return f"{at.user.user_type} {at.user.oid}"


def _redemption(at: _Progress) -> Outcome:
    assert at.tenant is not None
    assert at.user is not None
    if at.user.home is None:
        return "own user"
    if at.request.consented:
        return "accepted"
    if at.user.state is UserState.PENDING or at.tenant.consent_required:
        return refusal(50014)
    return "not asked for"


def _assignment(at: _Progress) -> Outcome:
    assert at.tenant is not None
    assert at.user is not None
    assert at.resource is not None
    if at.resource.kind is ResourceKind.APPLICATION:
        if at.tenant.applications[at.resource.id].assignments.closeness(at.user) is None:
            sentence = f"The user is not assigned to the application {at.resource.name} (application_not_assigned)."
            return refusal(50105, sentence)
        return "application assigned"
    if at.resource.kind is ResourceKind.CHANNEL:
        profile = at.tenant.profile_of(at.user)
        if profile is None or profile.channels.get(at.resource.name) != at.resource.id:
            sentence = f"No profile with the {at.resource.name} channel is assigned to the user (profile_not_assigned)."
            return refusal(50105, sentence, reason=Reason.PROFILE_NOT_ASSIGNED)
        return f"profile {profile.id}"
    return "no assignment needed"


STEPS: tuple[tuple[str, str, Callable[[_Progress], Outcome]], ...] = (
    ("S0", "request", _request),
    ("S3", "home authentication", _home_authentication),
    ("S6", "object in the tenant", _object_in_tenant),
    ("S7", "redemption", _redemption),
    ("S8", "assignment", _assignment),
)


def _grant(at: _Progress) -> Grant:
    assert at.tenant is not None
    assert at.user is not None
    assert at.home is not None
    assert at.home_user is not None
    assert at.client is not None
    assert at.resource is not None
    return Grant(at.tenant, at.user, at.home, at.home_user, at.client, at.resource, tuple(at.trace))
