"""Sign-ins in which everything that can be proved is proved, by every sort of visitor that a tenant may have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tunneld.policy.conditional_access.classify import classify
from tunneld.policy.conditional_access.compiling import AGREEMENT, POLICY
from tunneld.policy.conditional_access.documents import ConditionalAccessPolicy
from tunneld.policy.conditional_access.subject import Subject
from tunneld.policy.conditional_access.words import KNOWN_COMBINATIONS, USABLE_AT_RESOURCE, UserClass
from tunneld.policy.cross_tenant.effective import CLOSED, InboundTrust
from tunneld.policy.directory import (
    DAEMON_CLIENT,
    Client,
    ExternalIdentity,
    Resource,
    ResourceKind,
    SignInWay,
    Tenant,
    User,
    UserType,
)
from tunneld.policy.facts import AccessPath, DeviceFacts, MethodUse, SessionFacts, Surroundings

NOW = 0
ANY_OTHER_TENANT = "ffffffff-ffff-ffff-ffff-ffffffffffff"  # a tenant without settings of its own
_METHODS = frozenset(method for each in KNOWN_COMBINATIONS for method in each)


@dataclass(frozen=True, slots=True)
class Visitor:
    """A sort of user, or a user that there is. `home` is a tenant id; `outside` has no home tenant."""

    name: str
    sort: UserClass
    home: str
    outside: bool = False
    user: User | None = None


def visitors(tenant: Tenant) -> Iterator[Visitor]:
    """Yield every sort of user that the tenant's settings let in, then the external users that it has."""
    yield Visitor("members", UserClass.MEMBER, tenant.id, user=_member(UserType.MEMBER))
    settings = tenant.policy.cross_tenant
    for home in _homes(tenant):
        of = "other tenants" if home == ANY_OTHER_TENANT else f"tenant {home}"
        if settings.collaboration_inbound(home).value != CLOSED:
            for sort, user_type in (
                (UserClass.COLLABORATION_GUEST, UserType.GUEST), (UserClass.COLLABORATION_MEMBER, UserType.MEMBER),
            ):
                yield Visitor(f"{sort} of {of}", sort, home, user=replace(_member(user_type), home=(home, "")))
        if settings.direct_connect_inbound(home).value != CLOSED:
            yield Visitor(f"{UserClass.DIRECT_CONNECT} of {of}", UserClass.DIRECT_CONNECT, home)
        partner = settings.partners.get(home)
        if partner is not None and partner.service_provider:
            yield Visitor(f"{UserClass.SERVICE_PROVIDER} of {of}", UserClass.SERVICE_PROVIDER, home)
    if tenant.policy.collaboration.one_time_passcode:
        guest = replace(_member(UserType.GUEST), external=ExternalIdentity(SignInWay.MAIL, "", ""))
        yield Visitor("guests without a home tenant", UserClass.COLLABORATION_GUEST, tenant.id, True, guest)
    yield from _residents(tenant)


def _residents(tenant: Tenant) -> Iterator[Visitor]:
    """Yield one of each sort of external users that no policy can tell apart: there may be thousands of guests."""
    named = _named_users(tenant)
    alike: dict[object, list[Visitor]] = {}
    for user in tenant.users.values():
        sort = classify(user, AccessPath.NONE)
        if sort is not UserClass.MEMBER and user.enabled:
            home = user.home[0] if user.home is not None else tenant.id
            own = user.oid if user.oid in named else ""
            held = tenant.policy.roles.held.get(user.oid, frozenset())
            key = (sort, home, user.external is not None, frozenset(user.groups), user.roles, held, own)
            alike.setdefault(key, []).append(Visitor(user.upn, sort, home, user.external is not None, user))
    for first, *others in alike.values():
        yield replace(first, name=f"{first.name} and {len(others)} others") if others else first


def _named_users(tenant: Tenant) -> set[str]:
    lists = [
        one for each in _documents(tenant)
        for one in (each.conditions.users.include_users, each.conditions.users.exclude_users)
    ]  # fmt: skip
    return {user for each in lists for user in each}


def _documents(tenant: Tenant) -> Iterator[ConditionalAccessPolicy]:
    for document in tenant.objects.get(POLICY, {}).values():
        assert isinstance(document, ConditionalAccessPolicy)
        yield document


def perfect_subject(tenant: Tenant, visitor: Visitor) -> Subject:
    """Return the sign-in of a visitor who has done everything that there is to do."""
    home = replace(tenant, id=visitor.home)
    user = visitor.user or _member(UserType.MEMBER)
    foreign = visitor.home != tenant.id
    trust = tenant.policy.cross_tenant.inbound_trust(visitor.home).value if foreign else InboundTrust()
    facts = SessionFacts(
        tuple(MethodUse(method, NOW) for method in sorted(_METHODS)),
        tuple(MethodUse(method, NOW) for method in sorted(USABLE_AT_RESOURCE)),
        device=DeviceFacts("", visitor.home, compliant=True, hybrid_joined=True),
        terms_accepted=frozenset(tenant.objects.get(AGREEMENT, ())),
    )
    return Subject(
        tenant, visitor.user, home, user, Client(DAEMON_CLIENT, "", (), trusted=True),
        Resource(ResourceKind.DIRECTORY, "", "", ""), _PATHS.get(visitor.sort, AccessPath.COLLABORATION), trust, facts,
        Surroundings(), NOW,
    )


_PATHS = {
    UserClass.DIRECT_CONNECT: AccessPath.DIRECT_CONNECT, UserClass.SERVICE_PROVIDER: AccessPath.SERVICE_PROVIDER,
    UserClass.MEMBER: AccessPath.NONE, UserClass.INTERNAL_GUEST: AccessPath.NONE,
}  # fmt: skip


def _member(user_type: UserType) -> User:
    return User("", "", "", user_type, True, (), frozenset())


def _homes(tenant: Tenant) -> list[str]:
    """The tenants that settings or policies name, and one that stands for all others."""
    named = set(tenant.policy.cross_tenant.partners)
    for document in _documents(tenant):
        external = document.conditions.users.include_guests_or_external_users
        if external is not None and external.external_tenants is not None:
            named.update(external.external_tenants.members or ())
    return [*sorted(named - {tenant.id}), ANY_OTHER_TENANT]
