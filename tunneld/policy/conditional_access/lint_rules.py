"""Rules of the linter that look at settings rather than at sign-ins. Each yields findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tunneld.policy.built_in_roles import BY_NAME
from tunneld.policy.conditional_access.compiling import LOCATION, POLICY
from tunneld.policy.conditional_access.documents import ConditionalAccessPolicy, Conditions, Locations
from tunneld.policy.conditional_access.lint_values import Finding, Severity
from tunneld.policy.conditional_access.matching import Sight, matching_users
from tunneld.policy.conditional_access.perfect import Visitor, perfect_subject
from tunneld.policy.conditional_access.references import NamedLocation
from tunneld.policy.conditional_access.standing import Standing, stand
from tunneld.policy.conditional_access.words import ALL, ALL_TRUSTED, REGISTER_SECURITY, UserClass
from tunneld.policy.cross_tenant.effective import AccessType, B2BSetting
from tunneld.policy.directory import Tenant
from tunneld.policy.facts import Place
from tunneld.policy.role_grants import WHOLE_TENANT

ACCESS_PANEL = "0000000c-0000-0000-c000-000000000000"  # a second factor is registered there
TERMS_OF_USE = "d52792f4-ba38-424d-8140-ada5b883f293"  # terms are accepted there
_ADMINISTRATOR = BY_NAME["global administrator"]
_EVERYWHERE = (None, Locations(), Locations(include_locations=(ALL,)))

@dataclass(frozen=True, slots=True)
class Encounter:
    """A visitor whom a policy is about, and what the tenant believes of them."""

    visitor: Visitor
    standing: Standing


@dataclass(frozen=True, slots=True)
class Ground:
    """A tenant, and whom of its external visitors each policy is about, by policy id."""

    tenant: Tenant
    about: Mapping[str, Sequence[Encounter]]


Rule = Callable[[Ground], Iterator[Finding]]


def _live(ground: Ground) -> Iterator[ConditionalAccessPolicy]:
    for document in ground.tenant.objects.get(POLICY, {}).values():
        assert isinstance(document, ConditionalAccessPolicy)
        if document.state != "disabled":
            yield document


def _blocks(document: ConditionalAccessPolicy) -> bool:
    return document.grant_controls is not None and "block" in document.grant_controls.built_in_controls


def _asks_factor(document: ConditionalAccessPolicy) -> bool:
    grant = document.grant_controls
    return grant is not None and ("mfa" in grant.built_in_controls or grant.authentication_strength is not None)


def block_everybody(ground: Ground) -> Iterator[Finding]:
    """A block on everything needs an administrator who is exempt (Microsoft: emergency access accounts)."""
    tenant = ground.tenant
    access = tenant.policy.conditional_access
    by_id = {policy.id: number for number, policy in enumerate(access.policies)}
    administrators = [user for user in tenant.users.values() if user.enabled and _administers(tenant, user.oid)]
    caught = [
        matching_users(Sight(subject, stand(subject), access))
        for user in administrators
        for subject in [perfect_subject(tenant, Visitor(user.upn, UserClass.MEMBER, tenant.id, user=user))]
    ]
    for document in _live(ground):
        users, applications = document.conditions.users, document.conditions.applications
        everything = ALL in users.include_users and ALL in applications.include_applications
        if not _blocks(document) or not everything or not _unconditional(document.conditions):
            continue
        if all(bits >> by_id[document.id] & 1 for bits in caught):
            yield Finding(
                "blockWithoutEmergencyAccess", Severity.LOCKOUT, (document.id,), ("everybody",),
                "The policy blocks everything for everybody, administrators included.",
                "Exclude an account for emergencies that holds the role Global Administrator.",
            )


def _administers(tenant: Tenant, user: str) -> bool:
    held = tenant.policy.roles.held.get(user, frozenset())
    assigned = {role.definition for role in held if role.scope == WHOLE_TENANT} | tenant.users[user].roles
    return _ADMINISTRATOR.id in assigned


def _unconditional(conditions: Conditions) -> bool:
    devices, platforms = conditions.devices, conditions.platforms
    return (
        conditions.locations in _EVERYWHERE
        and (platforms is None or ("all" in platforms.include_platforms and not platforms.exclude_platforms))
        and (devices is None or devices.device_filter is None)
        and not conditions.sign_in_risk_levels and not conditions.user_risk_levels
        and "all" in conditions.client_app_types
    )  # fmt: skip


def block_all_locations(ground: Ground) -> Iterator[Finding]:
    """A block on locations means something only if some address is outside."""
    known = ground.tenant.objects.get(LOCATION, {}).values()
    trusted = any(isinstance(each, NamedLocation) and each.is_trusted for each in known)
    for document in _live(ground):
        locations = document.conditions.locations
        if not _blocks(document) or locations is None or ALL not in locations.include_locations:
            continue
        if not set(locations.exclude_locations) - ({ALL_TRUSTED} if not trusted else set()):
            yield Finding(
                "blockAllLocations", Severity.LOCKOUT, (document.id,), ("everybody whom the policy is about",),
                "The policy blocks every location, and excludes none that has an address.",
                "Exclude a named location, or mark one as trusted where AllTrusted is excluded.",
            )


def registration(ground: Ground) -> Iterator[Finding]:
    """A policy on registering security information may ask for the very thing that is to be registered."""
    for document in _live(ground):
        actions = document.conditions.applications.include_user_actions
        if REGISTER_SECURITY not in actions or not (_asks_factor(document) or _blocks(document)):
            continue
        for trusted, rule, message in (
            (True, "registrationAgainstMfaTrust",
             "Users whose home is trusted for multifactor authentication cannot finish registering here."),
            (False, "registrationNeedsItself",
             "The policy asks for a second factor, or blocks, before the first one can be registered."),
        ):  # fmt: skip
            names = [
                each.visitor.name for each in ground.about.get(document.id, ())
                if (each.standing.mfa_place is Place.HOME) is trusted
            ]  # fmt: skip
            if names:
                mend = "Exclude guests and external users from the policy."
                yield Finding(rule, Severity.LOCKOUT, (document.id,), tuple(names), message, mend)


def factor_at_resource(ground: Ground) -> Iterator[Finding]:
    """A factor that guests have to register here: what home knows of them does not help."""
    for document in _live(ground):
        names = tuple(
            each.visitor.name for each in ground.about.get(document.id, ())
            if not each.visitor.outside and each.standing.mfa_place is Place.RESOURCE
        )
        if not names or not _asks_factor(document):
            continue
        if document.conditions.sign_in_risk_levels:
            yield Finding(
                "riskBeforeRegistration", Severity.WARNING, (document.id,), names,
                "In a risky sign-in no second factor may be registered, so that guests without one are blocked.",
                "Accept multifactor authentication of their tenant, or have guests register before.",
            )
        yield Finding(
            "passwordlessHome", Severity.WARNING, (document.id,), names,
            "Whoever signs in at home without a password has to register another factor here, and no passkey.",
            "Accept multifactor authentication of their tenant (inboundTrust.isMfaAccepted).",
        )


def applications_of_registration(ground: Ground) -> Iterator[Finding]:
    """Registering a factor and accepting terms go through two applications, which inbound lists have to let in."""
    settings = ground.tenant.policy.cross_tenant
    for document in _live(ground):
        grant = document.grant_controls
        needed = {ACCESS_PANEL} if _asks_factor(document) else set()
        needed |= {TERMS_OF_USE} if grant is not None and grant.terms_of_use else set()
        names = [
            each.visitor.name for each in ground.about.get(document.id, ())
            if each.visitor.home != ground.tenant.id
            and any(_kept_out(settings.collaboration_inbound(each.visitor.home).value, one) for one in needed)
        ]
        if names:
            yield Finding(
                "applicationsOfRegistration", Severity.WARNING, (document.id,), tuple(names),
                "Inbound access keeps them from the applications in which they would register or accept.",
                f"Allow {' and '.join(sorted(needed))} in b2bCollaborationInbound.applications.",
            )


def _kept_out(setting: B2BSetting, application: str) -> bool:
    targets = setting.applications
    listed = targets.everything or application in targets.ids
    return listed is (targets.access is AccessType.BLOCKED)


RULES: tuple[Rule, ...] = (
    block_everybody, block_all_locations, registration, factor_at_resource, applications_of_registration,
)
