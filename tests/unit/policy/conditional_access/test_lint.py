"""Each combination that locks somebody out, with who and how it is mended; and its neighbour that does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.conditional_access_oracle import HOME
from tests.support.conditional_access_world import Json, grant, policy, policy_id, tenant
from tunneld.policy.built_in_roles import BY_NAME
from tunneld.policy.conditional_access.lint import lint_policy, lint_tenant
from tunneld.policy.cross_tenant.effective import (
    OPEN,
    AccessType,
    B2BSetting,
    CrossTenantPolicy,
    InboundTrust,
    Settings,
    Targets,
)
from tunneld.policy.directory import ExternalIdentity, SignInWay, Tenant, User, UserType
from tunneld.policy.guests.collaboration import Collaboration

GUESTS = {"users": {"includeUsers": ["GuestsOrExternalUsers"]}}
COLLABORATION = {"users": {"includeGuestsOrExternalUsers": {"guestOrExternalUserTypes": "b2bCollaborationGuest"}}}
TERMS = "99999999-0000-4000-8000-000000000001"
LOCATION = "99999999-0000-4000-8000-000000000002"
PHISHING_RESISTANT = {"authenticationStrength": {"id": "00000000-0000-0000-0000-000000000004"}}
MFA_STRENGTH = {"authenticationStrength": {"id": "00000000-0000-0000-0000-000000000002"}}
ADMINISTRATOR = BY_NAME["global administrator"].id
PANEL, TERMS_APPLICATION = "0000000c-0000-0000-c000-000000000000", "d52792f4-ba38-424d-8140-ada5b883f293"
TRUSTED = Settings(inbound_trust=InboundTrust(mfa=True, compliant_device=True, hybrid_joined=True))


def only(*applications: str, access: AccessType = AccessType.ALLOWED) -> B2BSetting:
    return B2BSetting(Targets(AccessType.ALLOWED), Targets(access, False, frozenset(applications)))


def person(oid: str, *, role: str = "", enabled: bool = True, external: bool = False, guest: bool = False) -> User:
    identity = ExternalIdentity(SignInWay.SOCIAL, "s", oid) if external else None
    return User(
        oid, f"{oid}@x", oid, UserType.GUEST if guest else UserType.MEMBER, enabled, (), frozenset(),
        external=identity, roles=frozenset({role} if role else ()),
    )


def world(
    *policies: Json, default: Settings | None = None, partner: Settings | None = None, passcode: bool = False,
    users: tuple[User, ...] = (), **others: tuple[Json, ...],
) -> Tenant:
    """A tenant whose guests all have a home tenant, unless the case says otherwise."""
    plain = tenant(*policies, **others)
    settings = CrossTenantPolicy(partners={HOME: partner} if partner else {})
    if default is not None:
        settings = replace(settings, default=default, is_service_default=False)
    return replace(
        plain, users={user.oid: user for user in users},
        policy=replace(plain.policy, cross_tenant=settings, collaboration=Collaboration(one_time_passcode=passcode)),
    )


def rules(at: Tenant, severity: str = "lockout") -> set[str]:
    return {each.rule for each in lint_tenant(at) if each.severity == severity}


AGREEMENT = {"id": TERMS, "displayName": "Terms"}
DIRECT = Settings(direct_connect_inbound=OPEN)
CASES: dict[str, tuple[Tenant, set[str]]] = {
    "no policies": (world(), set()),
    "a device nobody trusts": (
        world(policy(**GUESTS, grantControls=grant("compliantDevice"))), {"compliantDeviceWithoutTrust"},
    ),
    "a device that all trust": (
        world(policy(**GUESTS, grantControls=grant("compliantDevice")), default=TRUSTED), set(),
    ),
    "members have devices": (
        world(policy(users={"includeUsers": ["All"], "excludeUsers": ["GuestsOrExternalUsers"]},
                     grantControls=grant("compliantDevice", "domainJoinedDevice", "approvedApplication"))), set(),
    ),
    "a joined device": (
        world(policy(**GUESTS, grantControls=grant("domainJoinedDevice"))), {"domainJoinedDeviceWithoutTrust"},
    ),
    "either device or factor": (
        world(policy(**GUESTS, grantControls=grant("compliantDevice", "mfa", operator="OR"))), set(),
    ),
    "a passkey asked of guests": (
        world(policy(**GUESTS, grantControls=grant(**PHISHING_RESISTANT))), {"strengthWithoutMfaTrust"},
    ),
    "a strength that guests can meet": (world(policy(**GUESTS, grantControls=grant(**MFA_STRENGTH))), set()),
    "a strength for passcode guests": (
        world(policy(**GUESTS, grantControls=grant(**MFA_STRENGTH)), passcode=True),
        {"strengthForOtherIdentityProviders"},
    ),
    "a strength for a social guest there is": (
        world(policy(**GUESTS, grantControls=grant(**MFA_STRENGTH)), users=(person("s", external=True, guest=True),)),
        {"strengthForOtherIdentityProviders"},
    ),
    "a disabled guest": (
        world(policy(**GUESTS, grantControls=grant(**MFA_STRENGTH)),
              users=(person("s", external=True, guest=True, enabled=False),)), set(),
    ),
    "an own guest": (
        world(policy(**GUESTS, grantControls=grant(**MFA_STRENGTH)), users=(person("i", guest=True),)), set(),
    ),
    "approved application": (
        world(policy(**GUESTS, grantControls=grant("approvedApplication"))), {"approvedApplicationForGuests"},
    ),
    "compliant application": (
        world(policy(**GUESTS, grantControls=grant("compliantApplication"))), {"compliantApplication"},
    ),
    "password change": (
        world(policy(**GUESTS, userRiskLevels=["high"], grantControls=grant("passwordChange", "mfa"))),
        {"passwordChangeForGuests"},
    ),
    "password change of members": (
        world(policy(users={"includeUsers": ["All"], "excludeUsers": ["GuestsOrExternalUsers"]},
                     userRiskLevels=["high"], grantControls=grant("passwordChange"))), set(),
    ),
    "custom control": (
        world(policy(**GUESTS, grantControls=grant(customAuthenticationFactors=["f"]))), {"customControl"},
    ),
    "factor over direct connect": (
        world(policy(**GUESTS, grantControls=grant("mfa")), default=DIRECT), {"directConnectWithoutMfaTrust"},
    ),
    "strength over direct connect": (
        world(policy(**GUESTS, grantControls=grant(**MFA_STRENGTH)), default=DIRECT), {"directConnectWithoutMfaTrust"},
    ),
    "terms over direct connect": (
        world(policy(**GUESTS, grantControls=grant(termsOfUse=[TERMS])), default=DIRECT, agreement=(AGREEMENT,)),
        {"termsOfUseWithoutObject"},
    ),
    "terms for guests": (
        world(policy(**GUESTS, grantControls=grant(termsOfUse=[TERMS])), agreement=(AGREEMENT,)), set(),
    ),
    "a service provider's device": (
        world(policy(**GUESTS, grantControls=grant("compliantDevice")), default=TRUSTED,
              partner=Settings(service_provider=True)), {"compliantDeviceWithoutTrust"},
    ),
    "a switched off policy": (
        world(policy(**GUESTS, state="disabled", grantControls=grant("compliantDevice"))), set(),
    ),
    "a reported policy": (
        world(policy(**GUESTS, state="enabledForReportingButNotEnforced", grantControls=grant("compliantDevice"))),
        {"compliantDeviceWithoutTrust"},
    ),
    "block everybody": (world(policy(grantControls=grant("block"))), {"blockWithoutEmergencyAccess"}),
    "block all but an administrator": (
        world(policy(users={"includeUsers": ["All"], "excludeRoles": [ADMINISTRATOR]}, grantControls=grant("block")),
              users=(person("a", role=ADMINISTRATOR),)), set(),
    ),
    "an exempt administrator who is disabled": (
        world(policy(users={"includeUsers": ["All"], "excludeRoles": [ADMINISTRATOR]}, grantControls=grant("block")),
              users=(person("a", role=ADMINISTRATOR, enabled=False),)), {"blockWithoutEmergencyAccess"},
    ),
    "block on one platform": (
        world(policy(platforms={"includePlatforms": ["linux"]}, grantControls=grant("block"))), set(),
    ),
    "block legacy clients": (world(policy(clientAppTypes=["other"], grantControls=grant("block"))), set()),
    "block for risk": (world(policy(signInRiskLevels=["high"], grantControls=grant("block"))), set()),
    "block for user risk": (world(policy(userRiskLevels=["high"], grantControls=grant("block"))), set()),
    "block unknown devices": (
        world(policy(devices={"deviceFilter": {"mode": "exclude", "rule": "device.isCompliant -eq True"}},
                     grantControls=grant("block"))), set(),
    ),
    "block all locations": (
        world(policy(**COLLABORATION, locations={"includeLocations": ["All"]}, grantControls=grant("block"))),
        {"blockAllLocations"},
    ),
    "block all but trusted, where none is": (
        world(policy(locations={"includeLocations": ["All"], "excludeLocations": ["AllTrusted"]},
                     grantControls=grant("block"))), {"blockAllLocations"},
    ),
    "block all but trusted": (
        world(policy(locations={"includeLocations": ["All"], "excludeLocations": ["AllTrusted"]},
                     grantControls=grant("block")),
              namedLocation=({"id": LOCATION, "displayName": "L", "isTrusted": True,
                              "ipRanges": [{"cidrAddress": "203.0.113.0/24"}]},)), set(),
    ),
    "block some locations": (
        world(policy(**COLLABORATION, locations={"includeLocations": [LOCATION]}, grantControls=grant("block"))), set(),
    ),
    "register with trust": (
        world(policy(**GUESTS, applications={"includeUserActions": ["urn:user:registersecurityinfo"]},
                     grantControls=grant("mfa")), default=TRUSTED), {"registrationAgainstMfaTrust"},
    ),
    "register without trust": (
        world(policy(**GUESTS, applications={"includeUserActions": ["urn:user:registersecurityinfo"]},
                     grantControls=grant("mfa"))), {"registrationNeedsItself"},
    ),
    "register with terms": (
        world(policy(**GUESTS, applications={"includeUserActions": ["urn:user:registersecurityinfo"]},
                     grantControls=grant(termsOfUse=[TERMS])), agreement=(AGREEMENT,)), set(),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("at", "expected"), CASES.values(), ids=CASES)
def test_lockouts(at: Tenant, expected: set[str]) -> None:
    """Who cannot get in whatever they do."""
    assert rules(at) == expected


WARNINGS: dict[str, tuple[Tenant, set[str]]] = {
    "a factor here": (world(policy(**GUESTS, grantControls=grant("mfa"))), {"passwordlessHome"}),
    "a factor at home": (world(policy(**GUESTS, grantControls=grant("mfa")), default=TRUSTED), set()),
    "no factor": (world(policy(**GUESTS, grantControls=grant("approvedApplication"))), set()),
    "risk": (
        world(policy(**GUESTS, signInRiskLevels=["high"], grantControls=grant("mfa"))),
        {"passwordlessHome", "riskBeforeRegistration"},
    ),
    "inbound list without the panel": (
        world(policy(**GUESTS, grantControls=grant("mfa")),
              default=replace(TRUSTED, collaboration_inbound=only(TERMS_APPLICATION))), {"applicationsOfRegistration"},
    ),
    "inbound list with the panel": (
        world(policy(**GUESTS, grantControls=grant("mfa")),
              default=replace(TRUSTED, collaboration_inbound=only(PANEL))), set(),
    ),
    "inbound list without the terms": (
        world(policy(**GUESTS, grantControls=grant(termsOfUse=[TERMS])),
              default=replace(TRUSTED, collaboration_inbound=only(PANEL))), {"applicationsOfRegistration"},
    ),
    "inbound list that blocks the panel": (
        world(policy(**GUESTS, grantControls=grant("mfa")),
              default=replace(TRUSTED, collaboration_inbound=only(PANEL, access=AccessType.BLOCKED))),
        {"applicationsOfRegistration"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("at", "expected"), WARNINGS.values(), ids=WARNINGS)
def test_warnings(at: Tenant, expected: set[str]) -> None:
    """Who meets trouble under circumstances."""
    assert rules(at, "warning") == expected


def test_a_finding_names_policies_people_and_the_mend() -> None:
    """The partner that is trusted is not among the locked out; the others are."""
    at = world(policy(4, **GUESTS, grantControls=grant("compliantDevice")), policy(5, grantControls=grant("mfa")),
               partner=TRUSTED)
    (finding,) = lint_policy(at, policy_id(4))
    assert finding.policies == (policy_id(4),)
    assert finding.locked_out == (
        "b2bCollaborationGuest of other tenants", "b2bCollaborationMember of other tenants",
    )
    assert "inboundTrust" in finding.mend
    body: dict[str, Any] = finding.to_json()
    assert body["rule"] == "compliantDeviceWithoutTrust"
    assert body["severity"] == "lockout"
    assert body["lockedOut"] == list(finding.locked_out)


def test_tenants_that_a_policy_lists_are_looked_at() -> None:
    """A policy for one tenant locks out its people only, though nobody has settings for it."""
    external = {"membershipKind": "enumerated", "members": [HOME]}
    users = {"includeGuestsOrExternalUsers": {
        "guestOrExternalUserTypes": "b2bCollaborationGuest", "externalTenants": external,
    }}  # fmt: skip
    (finding,) = lint_tenant(world(policy(users=users, grantControls=grant("compliantDevice"))))
    assert finding.locked_out == (f"b2bCollaborationGuest of tenant {HOME}",)


def test_closed_doors_are_not_reported() -> None:
    """Whoever cannot come in at all is not locked out by a policy."""
    closed = B2BSetting(Targets(AccessType.BLOCKED), Targets(AccessType.BLOCKED))
    at = world(policy(**GUESTS, grantControls=grant("compliantDevice")), default=Settings(collaboration_inbound=closed))
    assert lint_tenant(at) == ()


def test_findings_stand_in_a_fixed_order() -> None:
    """Lockouts come first, and the same policies give the same list whatever order they were written in."""
    bodies = [policy(n, **GUESTS, grantControls=grant("mfa", "compliantDevice")) for n in (3, 1, 2)]
    found = lint_tenant(world(*bodies))
    assert found == lint_tenant(world(*reversed(bodies)))
    assert [each.severity for each in found] == ["lockout"] * 3 + ["warning"] * 3
    assert [each.policies[0] for each in found] == [policy_id(n) for n in (1, 2, 3)] * 2


def test_guests_whom_no_policy_tells_apart_are_counted() -> None:
    """A thousand guests are one sort; whoever is named by a policy, or has a role, is a sort of their own."""
    guests = [person(f"g{n}", external=True, guest=True) for n in range(5)]
    guests[4] = replace(guests[4], roles=frozenset({ADMINISTRATOR}))
    at = world(policy(**GUESTS, grantControls=grant(**MFA_STRENGTH)), users=tuple(guests))
    (finding,) = lint_policy(at, policy_id(1))[:1]
    assert finding.locked_out == ("g0@x and 3 others", "g4@x")
    named = "99999999-0000-4000-8000-00000000000a"
    users = {"includeUsers": ["GuestsOrExternalUsers"], "excludeUsers": [named]}
    exempt = replace(guests[3], oid=named)
    at = world(policy(users=users, grantControls=grant(**MFA_STRENGTH)), users=(*guests[:3], exempt))
    (finding,) = lint_policy(at, policy_id(1))[:1]
    assert finding.locked_out == ("g0@x and 2 others",)
