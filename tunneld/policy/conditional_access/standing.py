"""What the tenant may believe of a session: whose multifactor authentication counts, where, and which device."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tunneld.policy.conditional_access.classify import classify
from tunneld.policy.conditional_access.subject import Subject
from tunneld.policy.conditional_access.words import (
    FIRST_FACTORS,
    NEVER_FIRST,
    USABLE_AT_RESOURCE,
    Combination,
    UserClass,
)
from tunneld.policy.facts import DeviceFacts, MethodUse, Place


@dataclass(frozen=True, slots=True)
class Standing:
    """A subject seen through the tenant's inbound trust.

    `mfa_place` is where multifactor authentication has to happen, None where no place would count. `uses` are the
    methods used there. A device is `known_device` when its attributes may be read at all; the two flags say whether
    its word on compliance or on being hybrid joined is taken.
    """

    user_class: UserClass
    home_tenant: str  # "" for guests from outside all tenants
    outside: bool  # a guest from outside all tenants
    mfa_place: Place | None
    uses: tuple[MethodUse, ...]
    used: frozenset[str]  # the methods of `uses`
    registered: frozenset[str]
    primary_at: int | None
    known_device: DeviceFacts | None
    compliance_counts: bool
    hybrid_join_counts: bool

    @property
    def internal(self) -> bool:
        """Whether the account authenticates in this tenant."""
        return self.user_class in (UserClass.MEMBER, UserClass.INTERNAL_GUEST)

    def usable(self, combinations: Iterable[Combination]) -> tuple[Combination, ...]:
        """Return what of each combination has to be used at that place; those that cannot be used there fall out.

        At home a combination is taken as it is. A visited tenant sees home's sign-in as the first factor and has few
        second ones to offer.
        """
        if self.mfa_place is not Place.RESOURCE:
            return tuple(combinations)
        seconds = (each - FIRST_FACTORS for each in combinations)
        return tuple(dict.fromkeys(each for each in seconds if each and each <= USABLE_AT_RESOURCE))

    def ready(self, combinations: Iterable[Combination]) -> tuple[Combination, ...]:
        """Return the combinations whose methods the user has registered, or has used already."""
        have = self.registered | self.used | FIRST_FACTORS
        return tuple(each for each in combinations if each <= have)

    def second_factor_at(self) -> int | None:
        """Return when a factor beyond the first was last used at the place that counts."""
        return max((use.at for use in self.uses if use.method not in FIRST_FACTORS), default=None)


def stand(subject: Subject) -> Standing:
    """Apply inbound trust to a subject, once per sign-in."""
    sort = classify(subject.user, subject.path)
    outside = subject.user is not None and subject.user.external is not None and sort is not UserClass.SERVICE_PROVIDER
    internal = sort in (UserClass.MEMBER, UserClass.INTERNAL_GUEST)
    facts, trust = subject.facts, subject.trust
    place = _mfa_place(sort, outside, trust.mfa)
    device = facts.device
    ours = subject.tenant.id if internal else subject.home.id
    foreign = not internal and (outside or sort is UserClass.SERVICE_PROVIDER)
    if device is not None and device.tenant_id != ours:
        device = None
    compliance = not foreign and (internal or trust.compliant_device)
    hybrid = not foreign and (internal or trust.hybrid_joined)
    both = internal or outside
    uses = (*facts.home, *facts.resource) if both else facts.resource if place is Place.RESOURCE else facts.home
    return Standing(
        sort, "" if outside else subject.home.id, outside, place, uses, frozenset(use.method for use in uses),
        facts.registered_home | facts.registered_resource if both
        else facts.registered_resource if place is Place.RESOURCE else facts.registered_home,
        max((use.at for use in facts.home if use.method not in NEVER_FIRST), default=None),
        device if compliance or hybrid else None, compliance, hybrid,
    )  # fmt: skip


def _mfa_place(sort: UserClass, outside: bool, trusted: bool) -> Place | None:
    if sort in (UserClass.MEMBER, UserClass.INTERNAL_GUEST, UserClass.SERVICE_PROVIDER):
        return Place.HOME  # our own users have but one place; a service provider's home is always believed
    if outside:
        return Place.RESOURCE  # whatever the trust settings say: they are about tenants
    if trusted:
        return Place.HOME
    return None if sort is UserClass.DIRECT_CONNECT else Place.RESOURCE
