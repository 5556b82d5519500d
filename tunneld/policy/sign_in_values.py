"""What goes into the sign-in decision and what comes out of it; and the notes that its steps take on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from tunneld.model.reasons import Reason
from tunneld.policy.conditional_access.outcome import AccessVerdict, Interaction
from tunneld.policy.cross_tenant.matching import Applications
from tunneld.policy.directory import Client, Directory, ObjectKey, Resource, Tenant, User
from tunneld.policy.facts import AccessPath, SessionFacts, Surroundings
from tunneld.policy.refusals import Refusal, refusal
from tunneld.policy.trace import TraceStep

# The published lifetime of an access token over direct connect: nobody in the visited tenant can be disabled there.
DIRECT_CONNECT_LIFETIME_S = 3600


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


class ApplicationConsent(StrEnum):
    """Whether the client application may act for the user in the tenant."""

    GIVEN = "given"  # by the user or an administrator, or none is needed
    MISSING = "missing"  # the user can give it
    ADMINISTRATOR = "administrator"  # only an administrator can


@dataclass(frozen=True, slots=True)
class SignInRequest:
    """Everything that the decision looks at besides the directory.

    `account` is the object that holds the credential: in the home tenant, or in the visited one for a guest from
    outside all tenants. None when no account has the typed name; `realm` is then the tenant that the name's domain
    belongs to, so that a name without an account is refused as one with an account would be. `consented` says whether
    this account has accepted the tenant's terms before, or just now.
    """

    tenant: str
    client_id: str
    audience: str
    account: ObjectKey | None
    proof: Proof
    consented: bool = False
    facts: SessionFacts = SessionFacts()
    around: Surroundings = Surroundings()
    realm: str = ""
    application_consent: ApplicationConsent = ApplicationConsent.GIVEN


@dataclass(frozen=True, slots=True)
class Grant:
    """Who may have a token for what. `user` is made up where the path needs no object in the tenant."""

    tenant: Tenant
    user: User
    home: Tenant
    home_user: User
    client: Client
    resource: Resource
    trace: tuple[TraceStep, ...]
    path: AccessPath = AccessPath.NONE
    access: AccessVerdict = AccessVerdict()

    @property
    def token_lifetime_s(self) -> int | None:
        """Return how long an access token lives, None where the tenant decides."""
        return DIRECT_CONNECT_LIFETIME_S if self.path is AccessPath.DIRECT_CONNECT else None


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


@dataclass(slots=True)
class Progress:
    """What the steps have found so far; lives for one evaluation."""

    request: SignInRequest
    directory: Directory
    now: int
    tenant: Tenant | None = None
    client: Client | None = None
    resource: Resource | None = None
    applications: Applications | None = None
    home: Tenant | None = None
    home_user: User | None = None
    present: User | None = None  # the account's own object in the tenant
    user: User | None = None  # that, or the one made up for a path without an object
    path: AccessPath = AccessPath.NONE
    access: AccessVerdict = AccessVerdict()
    interaction: Interaction | None = None
    trace: list[TraceStep] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a step: the words that say why it passed, or a refusal. `tenant` is whose setting was read."""

    rule: str
    tenant: Tenant | None = None
    setting: str = ""
    source: str = ""
    hit: bool | None = None
    refusal: Refusal | None = None


Findings = Iterator[Finding]


def refused(
    code: int, sentence: str | None = None, *, reason: Reason | None = None, tenant: Tenant | None = None
) -> Finding:
    """Return a refusal that no setting of a tenant stands behind."""
    return Finding(f"AADSTS{code}", tenant, refusal=refusal(code, sentence, reason=reason))
