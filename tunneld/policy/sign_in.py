"""The sign-in decision: one function over values, in one fixed order of steps.

The order is part of the contract, because the first refusal is the one that a person sees and searches for. Home's
outbound settings (S4) come before the visited tenant's inbound ones (S5), since home issues first; both come before
the lookup of the guest object (S6), so that a blocked partner learns nothing about who is a guest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tunneld.model.reasons import Reason
from tunneld.policy.conditional_access.outcome import AccessVerdict, Interaction, Task
from tunneld.policy.directory import Client, Directory, ObjectKey, Resource, ResourceKind, Tenant, User
from tunneld.policy.facts import AccessPath, SessionFacts, Surroundings
from tunneld.policy.refusals import Refusal, refusal
from tunneld.policy.trace import TraceStep


@dataclass(frozen=True, slots=True)
class PasswordProof:
    """A password was typed: whether it was the right one, and whether the account was locked before that."""

    correct: bool
    locked: bool


@dataclass(frozen=True, slots=True)
class MethodProof:
    """Something other than a password was presented as the first factor: a passkey, a passcode, another provider."""

    method: str  # a word of Graph's authenticationMethodModes
    correct: bool


@dataclass(frozen=True, slots=True)
class SessionProof:
    """An earlier sign-in at the home tenant is being used: a session, a code, a refresh token."""

    authenticated_at: int
    revoked: bool
    lifetime_s: int


Proof = PasswordProof | MethodProof | SessionProof


@dataclass(frozen=True, slots=True)
class SignInRequest:
    """Everything that the decision looks at besides the directory.

    `account` is the object that holds the credential: in the home tenant, or in the visited one for a guest from
    outside all tenants. None when no account has the typed name. `consented` says whether this account has accepted
    the tenant's terms before, or just now.
    """

    tenant: str
    client_id: str
    audience: str
    account: ObjectKey | None
    proof: Proof
    consented: bool = False
    facts: SessionFacts = SessionFacts()
    around: Surroundings = Surroundings()


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
    path: AccessPath = AccessPath.NONE
    access: AccessVerdict = AccessVerdict()


@dataclass(frozen=True, slots=True)
class Deny:
    """Why not: the stable reason, the published code, and the steps that led there.

    `interaction` is what a page could still do about it; None means that asking the user is useless.
    """

    refusal: Refusal
    trace: tuple[TraceStep, ...]
    interaction: Interaction | None = None
    path: AccessPath = AccessPath.NONE
    access: AccessVerdict = AccessVerdict()

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
        """Tell whether accepting the invitation would turn this into a grant."""
        return self.interaction is not None and self.interaction.task is Task.REDEMPTION


@dataclass(slots=True)
class Progress:
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
    path: AccessPath = AccessPath.NONE
    access: AccessVerdict = AccessVerdict()
    interaction: Interaction | None = None
    trace: list[TraceStep] = field(default_factory=list)


Outcome = Refusal | str  # a refusal, or the words that say why the step passed


def evaluate(request: SignInRequest, directory: Directory, now: int) -> Grant | Deny:
    """Decide one sign-in, silent or not. The caller shows pages, mints tokens and writes the log."""
    progress = Progress(request, directory, now)
    for step, check, judge in STEPS:
        outcome = judge(progress)
        blocked = isinstance(outcome, Refusal)
        where = progress.home if step == "S3" else progress.tenant
        rule = f"AADSTS{outcome.code}" if isinstance(outcome, Refusal) else outcome
        name = where.name if where else ""
        progress.trace.append(TraceStep(step, check, name, "block" if blocked else "pass", rule))
        if isinstance(outcome, Refusal):
            return Deny(outcome, tuple(progress.trace), progress.interaction, progress.path, progress.access)
    return _grant(progress)


def _request(at: Progress) -> Outcome:
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


def _home_authentication(at: Progress) -> Outcome:
    account, proof = at.request.account, at.request.proof
    if isinstance(proof, PasswordProof) and proof.locked:
        return refusal(50053)
    at.home = at.directory.tenants.get(account[0]) if account else None
    at.home_user = at.directory.user(account) if account else None
    if at.home_user is None or at.home_user.home is not None:
        return refusal(50034)
    if isinstance(proof, PasswordProof | MethodProof) and not proof.correct:
        return refusal(50126)
    if not at.home_user.enabled:
        return refusal(50057)
    if isinstance(proof, PasswordProof):
        return "password"
    if isinstance(proof, MethodProof):
        return proof.method
    if proof.revoked:
        return refusal(50173)
    if at.now - proof.authenticated_at >= proof.lifetime_s:
        return refusal(50173, "The session is too old; a fresh sign-in is needed.")
    return "session"


def _object_in_tenant(at: Progress) -> Outcome:
    assert at.tenant is not None
    assert at.request.account is not None
    at.user = at.directory.presence(at.tenant, at.request.account)
    if at.user is None:
        return refusal(50020)
    if not at.user.enabled:
        return refusal(50057)
    return f"{at.user.user_type} {at.user.oid}"


def _redemption(at: Progress) -> Outcome:
    assert at.tenant is not None
    assert at.user is not None
    if at.user.home is None:
        return "own user"
    if at.request.consented:
        return "accepted"
    if at.user.pending or at.tenant.consent_required:
        at.interaction = Interaction(Task.REDEMPTION)
        return refusal(50014)
    return "not asked for"


def _assignment(at: Progress) -> Outcome:
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


STEPS: tuple[tuple[str, str, Callable[[Progress], Outcome]], ...] = (
    ("S0", "request", _request),
    ("S3", "home authentication", _home_authentication),
    ("S6", "object in the tenant", _object_in_tenant),
    ("S7", "redemption", _redemption),
    ("S8", "assignment", _assignment),
)


def _grant(at: Progress) -> Grant:
    assert at.tenant is not None
    assert at.user is not None
    assert at.home is not None
    assert at.home_user is not None
    assert at.client is not None
    assert at.resource is not None
    return Grant(
        at.tenant, at.user, at.home, at.home_user, at.client, at.resource, tuple(at.trace), at.path, at.access
    )
