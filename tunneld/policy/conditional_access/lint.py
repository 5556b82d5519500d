"""Combinations that nobody could satisfy, found before they lock anybody out.

The linter asks the evaluator about perfect sign-ins: everything used at home and here, a compliant and hybrid joined
device, all terms accepted. What a policy still misses then cannot be met by anybody of that sort. The other rules look
at what evaluation cannot see: administrators, addresses, applications that registration itself goes through.
"""

from __future__ import annotations

from dataclasses import dataclass

from tunneld.policy.conditional_access.compiled import numbers
from tunneld.policy.conditional_access.controls import Case, Demand, unmet
from tunneld.policy.conditional_access.lint_rules import RULES, Encounter, Ground
from tunneld.policy.conditional_access.lint_values import Finding, Severity
from tunneld.policy.conditional_access.matching import Sight, matching_users
from tunneld.policy.conditional_access.perfect import Visitor, perfect_subject, visitors
from tunneld.policy.conditional_access.standing import stand
from tunneld.policy.conditional_access.words import ControlKind, UserClass
from tunneld.policy.directory import Tenant


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a kind of unmet control is told: the rule's name, what is wrong, the mend."""

    rule: str
    message: str
    mend: str


_OWN_PASSWORD = 50142  # changing it is in the user's own hands
_DEVICE_MEND = "Trust {flag} of their tenant (inboundTrust), or exclude these users from the policy."
_EXCLUDE = "Exclude these users from the policy, or let another control do (operator OR)."
_UNMET: dict[str, Explanation] = {
    ControlKind.COMPLIANT_DEVICE: Explanation(
        "compliantDeviceWithoutTrust", "A device of another tenant counts as compliant only where home is trusted.",
        _DEVICE_MEND.format(flag="the compliant devices"),
    ),
    ControlKind.DOMAIN_JOINED: Explanation(
        "domainJoinedDeviceWithoutTrust", "A device of another tenant counts as joined only where home is trusted.",
        _DEVICE_MEND.format(flag="the hybrid joined devices"),
    ),
    ControlKind.APPROVED_APPLICATION: Explanation(
        "approvedApplicationForGuests", "External users cannot use an approved client application.", _EXCLUDE,
    ),
    ControlKind.COMPLIANT_APPLICATION: Explanation(
        "compliantApplication", "No application can be put under an app protection policy here.", _EXCLUDE,
    ),
    ControlKind.PASSWORD_CHANGE: Explanation(
        "passwordChangeForGuests", "The password of an external user cannot be changed in this tenant.", _EXCLUDE,
    ),
    ControlKind.TERMS_OF_USE: Explanation(
        "termsOfUseWithoutObject", "Users without an object here cannot accept terms of use.", _EXCLUDE,
    ),
    ControlKind.CUSTOM: Explanation(
        "customControl", "No provider of custom controls is connected, so that nobody can pass.",
        "Remove the custom control.",
    ),
}  # fmt: skip
_DIRECT_CONNECT = Explanation(
    "directConnectWithoutMfaTrust", "Over direct connect only multifactor authentication at a trusted home counts.",
    "Accept multifactor authentication of their tenant (inboundTrust.isMfaAccepted), or exclude these users.",
)
_STRENGTH_OUTSIDE = Explanation(
    "strengthForOtherIdentityProviders",
    "An authentication strength cannot be met by accounts without a home tenant (passcode, federation, social).",
    "Ask such guests for plain multifactor authentication in a policy of its own, and exclude them here.",
)
_STRENGTH = Explanation(
    "strengthWithoutMfaTrust", "None of the methods that the strength allows can be used in this tenant by guests.",
    "Accept multifactor authentication of their tenant (inboundTrust.isMfaAccepted), or allow such a method.",
)


def lint_tenant(tenant: Tenant) -> tuple[Finding, ...]:
    """Return what is wrong with a tenant's policies that are enforced or reported, in a stable order."""
    ground, found = _survey(tenant)
    found += [finding for rule in RULES for finding in rule(ground)]
    return tuple(sorted(found, key=lambda each: (each.severity is not Severity.LOCKOUT, each.rule, each.policies)))


def lint_policy(tenant: Tenant, policy_id: str) -> tuple[Finding, ...]:
    """Return the findings that name one policy: what the API warns of when it is saved."""
    return tuple(each for each in lint_tenant(tenant) if policy_id in each.policies)


def _survey(tenant: Tenant) -> tuple[Ground, list[Finding]]:
    """Put every visitor's perfect sign-in to the policies that are about them."""
    access = tenant.policy.conditional_access
    about: dict[str, list[Encounter]] = {}
    who: dict[tuple[str, Explanation], dict[str, None]] = {}
    for visitor in visitors(tenant):
        subject = perfect_subject(tenant, visitor)
        standing = stand(subject)
        for number in numbers(access.live & matching_users(Sight(subject, standing, access))):
            policy = access.policies[number]
            if visitor.sort is not UserClass.MEMBER:
                about.setdefault(policy.id, []).append(Encounter(visitor, standing))
            for demand in unmet(Case(subject, standing, policy)):
                if demand.code != _OWN_PASSWORD:
                    who.setdefault((policy.id, _explain(demand, visitor)), {})[visitor.name] = None
    found = [
        Finding(each.rule, Severity.LOCKOUT, (policy_id,), tuple(names), each.message, each.mend)
        for (policy_id, each), names in who.items()
    ]
    return Ground(tenant, about), found


def _explain(demand: Demand, visitor: Visitor) -> Explanation:
    kind = demand.control.partition(":")[0]
    if demand.code == 90071:
        return _DIRECT_CONNECT
    if kind == ControlKind.STRENGTH:
        return _STRENGTH_OUTSIDE if visitor.outside else _STRENGTH
    return _UNMET[kind]
