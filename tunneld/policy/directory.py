"""The directory: tenants, their users and guests, applications and assignments, frozen after loading.

A person has one object per tenant. The object in the home tenant carries the credential; the others name it by
`home = (tenant id, object id)`. Nothing here reads a file: `directory_document.py` builds these values from text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tunneld.policy.objects import GraphObject
from tunneld.policy.tenant_policy import TenantPolicy
from tunneld.policy.token_shape import TUNNEL_SHAPE, AppRole, TokenShape

# Well-known audiences and the daemon's client id: constants of this system, the same in every tenant.
DIRECTORY_API = "00000003-0000-0000-c000-000000000000"
ENROLMENT_API = "0a4c1d7e-52f3-4f0b-8a6e-3d9b7c15e284"
ACCESS_PANEL = "0000000c-0000-0000-c000-000000000000"  # the pages where people look after their own account
DAEMON_CLIENT = "7d2f3c9e-6b1a-4e5d-9a40-1f6c8e2b5a10"

DEFAULT_CLOUD = "microsoftonline.com"  # the commercial one; also microsoftonline.us and microsoftonline.cn

ObjectKey = tuple[str, str]  # (home tenant id, object id in it): who a person is, whatever tenant they visit


class UserType(StrEnum):
    """The relation of a user object to its tenant; an account of another organization may be a Member."""

    MEMBER = "member"
    GUEST = "guest"


class ExternalState(StrEnum):
    """How far a guest's invitation has come; the words are Graph's `externalUserState`."""

    PENDING = "PendingAcceptance"
    ACCEPTED = "Accepted"


class SignInWay(StrEnum):
    """Where the credential of a user object is checked. Independent of the user type."""

    HERE = "here"  # a password in this tenant
    HOME = "home"  # another tenant of this identity provider: `User.home` names the object there
    MAIL = "mail"  # a one-time passcode sent by mail
    FEDERATION = "federation"  # a SAML, WS-Fed or OpenID provider that this tenant trusts for a domain
    SOCIAL = "social"  # a social identity provider
    PERSONAL = "personal"  # a personal account, in the tenant that all of those share


@dataclass(frozen=True, slots=True)
class ExternalIdentity:
    """A credential outside all tenants: `issuer` says whose, `subject` is the name that the issuer gives."""

    way: SignInWay
    issuer: str
    subject: str


class ResourceKind(StrEnum):
    """What an audience stands for in a tenant."""

    DIRECTORY = "directory"
    ENROLMENT = "enrolment"
    ACCOUNT = "account"  # the pages where people look after their own account
    APPLICATION = "application"
    CHANNEL = "channel"


@dataclass(frozen=True, slots=True)
class User:
    """A user object of one tenant. `group_keys` holds ids and names of its groups, so that either may be assigned.

    An account of another tenant has `home`; a guest from outside all tenants has `external`; the others sign in here.
    `attributes` are further single-valued properties by Graph's name (department, jobTitle, …).
    """

    oid: str
    upn: str
    display_name: str
    user_type: UserType
    enabled: bool
    groups: tuple[str, ...]
    group_keys: frozenset[str]
    home: ObjectKey | None = None
    password_hash: str | None = field(default=None, repr=False)
    external: ExternalIdentity | None = None
    external_state: ExternalState | None = None
    mail: str = ""
    other_mails: tuple[str, ...] = ()
    roles: frozenset[str] = frozenset()  # ids of role definitions assigned over the whole tenant
    attributes: Mapping[str, str] = field(default_factory=dict)
    sessions_valid_from: int = 0  # Graph's signInSessionsValidFromDateTime: older sign-ins count no more

    @property
    def way(self) -> SignInWay:
        """Where this object's credential is checked."""
        if self.home is not None:
            return SignInWay.HOME
        return self.external.way if self.external is not None else SignInWay.HERE

    @property
    def pending(self) -> bool:
        """Tell whether the invitation has not been accepted yet."""
        return self.external_state is ExternalState.PENDING


@dataclass(frozen=True, slots=True)
class Assignments:
    """Whom something is assigned to: users by object id or UPN, groups by id or name.

    User types narrow that; with neither users nor groups they name everybody of the type. All empty means nobody.
    """

    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    user_types: frozenset[str] = frozenset()

    def closeness(self, user: User) -> int | None:
        """Return 0 for a direct assignment, 1 by group, 2 by user type alone, None for none."""
        if self.user_types and user.user_type not in self.user_types:
            return None
        if user.oid in self.users or user.upn in self.users:
            return 0
        if user.group_keys & self.groups:
            return 1
        return 2 if self.user_types and not self.users and not self.groups else None


@dataclass(frozen=True, slots=True)
class Application:
    """A private application: the audience of app tokens."""

    id: str
    name: str
    assignments: Assignments
    shape: TokenShape = TUNNEL_SHAPE
    roles: tuple[AppRole, ...] = ()
    owners: frozenset[str] = frozenset()  # ids of users
    object_id: str = ""  # of the stored object; "" when only the document has it


@dataclass(frozen=True, slots=True)
class Group:
    """A group with its direct members: ids of users and of groups. What nesting adds is in `User.groups`."""

    id: str
    name: str
    members: frozenset[str] = frozenset()
    members_hidden: bool = False


@dataclass(frozen=True, slots=True)
class AssignedProfile:
    """What sign-in needs to know of a forwarding profile: who has it, and its channels' audiences."""

    id: str
    assignments: Assignments
    channels: Mapping[str, str]  # channel name → audience


@dataclass(frozen=True, slots=True)
class Client:
    """A public client application (RFC 6749 §2.1). `trusted` ones are our own.

    The directory document's are registered in every tenant. One that an application of the admin API brings belongs to
    `tenant`, and others may use it only when it is for `everybody`.
    """

    id: str
    name: str
    redirect_uris: tuple[str, ...]
    trusted: bool = False
    tenant: str = ""
    everybody: bool = True

    def may_ask(self, tenant: Tenant, resource: Resource) -> bool:
        """Tell whether the client may ask for tokens of a resource without an administrator's word.

        Whoever owns one application can give it redirect URIs, so nobody's key, account page or application in another
        organization is reached by it: there is no consent here that could say otherwise (a choice).
        """
        if not self.tenant or resource.kind is ResourceKind.DIRECTORY:
            return True
        return self.tenant == tenant.id and resource.kind in (ResourceKind.APPLICATION, ResourceKind.CHANNEL)


@dataclass(frozen=True, slots=True)
class Resource:
    """The meaning of one audience in one tenant."""

    kind: ResourceKind
    id: str
    name: str
    scope: str


@dataclass(frozen=True, slots=True)
class Tenant:
    """One organization."""

    id: str
    name: str
    display_name: str
    domains: tuple[str, ...]
    users: Mapping[str, User]  # by object id
    applications: Mapping[str, Application]  # by id
    profiles: tuple[AssignedProfile, ...]
    channels: Mapping[str, str]  # audience → channel name
    consent_required: bool = False
    token_lifetime: tuple[int, int] | None = None
    withdrawn_keys: frozenset[str] = frozenset()
    cloud: str = DEFAULT_CLOUD
    objects: Mapping[str, Mapping[str, GraphObject]] = field(default_factory=dict)  # kind → id → as the API shows it
    policy: TenantPolicy = field(default_factory=TenantPolicy)
    groups: Mapping[str, Group] = field(default_factory=dict)  # by id
    has_p1: bool = True  # a licence: trust settings and targeted users, groups and applications need it
    version: str = ""  # fingerprint of everything above that decides: equal policies have equal ones

    def object(self, kind: str, object_id: str) -> GraphObject | None:
        """Return one object of the tenant as the API shows it."""
        return self.objects.get(kind, {}).get(object_id.lower())

    def resource(self, audience: str) -> Resource | None:
        """Return what tokens for `audience` open in this tenant."""
        if audience == DIRECTORY_API:
            return Resource(ResourceKind.DIRECTORY, audience, "Directory", "Directory.Read Profile.Read")
        if audience == ENROLMENT_API:
            return Resource(ResourceKind.ENROLMENT, audience, "Tunnel enrolment", "user_impersonation")
        if audience == ACCESS_PANEL:
            return Resource(ResourceKind.ACCOUNT, audience, "App Access Panel", "user_impersonation")
        if audience in self.channels:
            name = self.channels[audience]
            return Resource(ResourceKind.CHANNEL, audience, name, "user_impersonation")
        application = self.applications.get(audience)
        if application is None:
            return None
        return Resource(ResourceKind.APPLICATION, audience, application.name, "user_impersonation")

    def profile_of(self, user: User) -> AssignedProfile | None:
        """Return the profile in effect: the closest assignment wins, then the order in the directory."""
        ranked = [
            (closeness, index)
            for index, profile in enumerate(self.profiles)
            if (closeness := profile.assignments.closeness(user)) is not None
        ]
        return self.profiles[min(ranked)[1]] if ranked else None


@dataclass(frozen=True, slots=True)
class Directory:
    """All tenants of this identity provider, with the indexes that sign-in asks."""

    tenants: Mapping[str, Tenant]  # by id
    aliases: Mapping[str, str]  # short name or verified domain → id
    clients: Mapping[str, Client]
    visits: Mapping[ObjectKey, tuple[ObjectKey, ...]]  # home object → (tenant id, object id) elsewhere
    accounts: Mapping[str, ObjectKey]  # UPN → home object

    def tenant(self, text: str) -> Tenant | None:
        """Return the tenant that a path segment names: id, short name or verified domain, in any case."""
        wanted = text.lower()
        return self.tenants.get(self.aliases.get(wanted, wanted))

    def account(self, upn: str) -> ObjectKey | None:
        """Home realm discovery: return the home object that a typed user name stands for."""
        return self.accounts.get(upn.strip().lower())

    def home_realm(self, upn: str) -> Tenant | None:
        """Return the tenant that a user name belongs to by its domain, whether or not there is such an account."""
        return self.tenant(upn.strip().rpartition("@")[2])

    def user(self, key: ObjectKey) -> User | None:
        """Return a user object by (tenant id, object id)."""
        tenant = self.tenants.get(key[0])
        return tenant.users.get(key[1]) if tenant else None

    def presence(self, tenant: Tenant, account: ObjectKey) -> User | None:
        """Return the object by which a home account is known in `tenant`, its own object at home."""
        if account[0] == tenant.id:
            user = tenant.users.get(account[1])
            return user if user is not None and user.home is None else None
        for tenant_id, oid in self.visits.get(account, ()):
            if tenant_id == tenant.id:
                return tenant.users.get(oid)
        return None
