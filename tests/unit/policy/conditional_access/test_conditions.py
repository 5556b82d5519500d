"""Which policies a sign-in meets: each condition by itself, inclusions and the exclusions that beat them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.conditional_access_oracle import APP, HOME, TENANT, USER, sign_in
from tests.support.conditional_access_world import Json, decide, grant, policy, policy_id
from tunneld.policy.conditional_access.classify import classify
from tunneld.policy.conditional_access.words import UserClass
from tunneld.policy.directory import ExternalIdentity, SignInWay, User, UserType
from tunneld.policy.facts import AccessPath

GROUP, ROLE, OTHER = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "def")
OFFICE, TRUSTED, COUNTRY, NOWHERE, SIX = (f"99999999-0000-4000-8000-00000000000{n}" for n in range(5))
LOCATIONS: dict[str, Json] = {
    OFFICE: {"ipRanges": [{"cidrAddress": "198.51.100.0/24"}, {"cidrAddress": "203.0.113.7/32"}]},
    TRUSTED: {"isTrusted": True, "ipRanges": [{"cidrAddress": "192.0.2.0/25"}]},
    COUNTRY: {"countriesAndRegions": ["DE", "fr"]},
    NOWHERE: {"countriesAndRegions": ["SE"], "includeUnknownCountriesAndRegions": True},
    SIX: {"ipRanges": [{"cidrAddress": "2001:db8::/32"}]},
}
DOCUMENTS = tuple({"id": name, "displayName": "L", **each} for name, each in LOCATIONS.items())

DEVICE_ACTION = "urn:user:registerdevice"
MEMBER: Json = {"type": "member", "authenticates": "here", "path": "none"}
DIRECT: Json = {"type": None, "path": "b2bDirectConnect"}
PASSCODE: Json = {"authenticates": "outside"}


def external(types: str, *members: str) -> Json:
    tenants = {"membershipKind": "enumerated", "members": list(members)} if members else {"membershipKind": "all"}
    return {"guestOrExternalUserTypes": types, "externalTenants": tenants}


def users(**members: Any) -> Json:
    return {"users": members}


EVERYBODY = {"includeUsers": ["All"]}
CONDITIONS: list[tuple[Json, Json, bool]] = [
    (users(includeUsers=["All"]), {}, True),
    (users(includeUsers=["None"]), {}, False),
    (users(includeUsers=[USER]), {}, True),
    (users(includeUsers=[USER.upper()]), {}, True),
    (users(includeUsers=[OTHER]), {}, False),
    (users(includeUsers=[USER]), DIRECT, False),
    (users(includeGroups=[GROUP]), {"groups": [GROUP]}, True),
    (users(includeGroups=[GROUP]), {}, False),
    (users(includeRoles=[ROLE]), {"roles": [ROLE]}, True),
    (users(includeRoles=[ROLE]), {}, False),
    (users(includeUsers=["GuestsOrExternalUsers"]), {}, True),
    (users(includeUsers=["guestsorexternalusers"]), DIRECT, True),
    (users(includeUsers=["GuestsOrExternalUsers"]), MEMBER, False),
    (users(includeUsers=["GuestsOrExternalUsers"]), {**MEMBER, "type": "guest"}, True),
    (users(includeGuestsOrExternalUsers=external("b2bCollaborationGuest")), {}, True),
    (users(includeGuestsOrExternalUsers=external("B2BCOLLABORATIONGUEST, internalGuest")), {}, True),
    (users(includeGuestsOrExternalUsers=external("b2bCollaborationMember,b2bDirectConnectUser")), {}, False),
    (users(includeGuestsOrExternalUsers=external("b2bCollaborationMember,b2bDirectConnectUser")), DIRECT, True),
    (users(includeGuestsOrExternalUsers=external("b2bCollaborationGuest", HOME)), {}, True),
    (users(includeGuestsOrExternalUsers=external("b2bCollaborationGuest", OTHER)), {}, False),
    (users(includeGuestsOrExternalUsers=external("b2bCollaborationGuest", TENANT)), PASSCODE, False),
    (users(includeGuestsOrExternalUsers=external("b2bCollaborationGuest")), PASSCODE, True),
    (users(includeGuestsOrExternalUsers={"guestOrExternalUserTypes": "b2bCollaborationGuest"}), {}, True),
    (users(**EVERYBODY, excludeUsers=[USER]), {}, False),
    (users(**EVERYBODY, excludeUsers=["GuestsOrExternalUsers"]), {}, False),
    (users(**EVERYBODY, excludeGroups=[GROUP]), {"groups": [GROUP]}, False),
    (users(**EVERYBODY, excludeRoles=[ROLE]), {"roles": [ROLE]}, False),
    (users(**EVERYBODY, excludeGuestsOrExternalUsers=external("b2bCollaborationGuest")), {}, False),
    (users(**EVERYBODY, excludeGuestsOrExternalUsers=external("b2bCollaborationGuest", OTHER)), {}, True),
    (users(includeUsers=[USER], excludeUsers=[USER]), {}, False),
    ({"applications": {"includeApplications": ["None"]}}, {}, False),
    ({"applications": {"includeApplications": [APP]}}, {}, True),
    ({"applications": {"includeApplications": [OTHER]}}, {}, False),
    ({"applications": {"includeApplications": ["All"], "excludeApplications": [APP]}}, {}, False),
    ({"applications": {"includeApplications": ["All"], "excludeApplications": [OTHER]}}, {}, True),
    ({"applications": {"includeUserActions": ["urn:user:registersecurityinfo"]}}, {}, False),
    ({"applications": {"includeUserActions": [DEVICE_ACTION]}}, {"action": DEVICE_ACTION}, True),
    ({}, {"action": DEVICE_ACTION}, False),
    ({"clientAppTypes": ["browser"]}, {}, True),
    ({"clientAppTypes": ["exchangeActiveSync", "other"]}, {}, False),
    ({"clientAppTypes": ["other"]}, {"client_app": "other"}, True),
    ({"platforms": {"includePlatforms": ["all"]}}, {}, True),
    ({"platforms": {"includePlatforms": ["IOS"]}}, {"platform": "iOS"}, True),
    ({"platforms": {"includePlatforms": ["windows"]}}, {"platform": "iOS"}, False),
    ({"platforms": {"includePlatforms": ["windows"]}}, {}, False),
    ({"platforms": {"excludePlatforms": ["iOS"]}}, {"platform": "iOS"}, False),
    ({"platforms": {"includePlatforms": ["all"], "excludePlatforms": ["iOS"]}}, {}, True),
    ({"locations": {"includeLocations": ["All"]}}, {}, True),
    ({"locations": {"excludeLocations": [OFFICE]}}, {"address": "198.51.100.9"}, False),
    ({"locations": {"includeLocations": [OFFICE]}}, {"address": "198.51.100.9"}, True),
    ({"locations": {"includeLocations": [OFFICE]}}, {"address": "::ffff:203.0.113.7"}, True),
    ({"locations": {"includeLocations": [OFFICE]}}, {"address": "203.0.113.8"}, False),
    ({"locations": {"includeLocations": [OFFICE]}}, {"address": "nonsense"}, False),
    ({"locations": {"includeLocations": [OFFICE]}}, {"address": "2001:db8::1"}, False),
    ({"locations": {"includeLocations": [SIX]}}, {"address": "2001:db8::1"}, True),
    ({"locations": {"includeLocations": [SIX]}}, {"address": "198.51.100.9"}, False),
    ({"locations": {"includeLocations": ["AllTrusted"]}}, {"address": "192.0.2.127"}, True),
    ({"locations": {"includeLocations": ["alltrusted"]}}, {"address": "192.0.2.128"}, False),
    ({"locations": {"includeLocations": ["AllTrusted"]}}, {"address": "198.51.100.9"}, False),
    ({"locations": {"includeLocations": ["All"], "excludeLocations": ["AllTrusted"]}}, {"address": "192.0.2.1"}, False),
    ({"locations": {"includeLocations": ["All"], "excludeLocations": ["AllTrusted"]}}, {}, True),
    ({"locations": {"includeLocations": [COUNTRY]}}, {"country": "FR"}, True),
    ({"locations": {"includeLocations": [COUNTRY]}}, {"country": "SE"}, False),
    ({"locations": {"includeLocations": [COUNTRY]}}, {}, False),
    ({"locations": {"includeLocations": [NOWHERE]}}, {}, True),
    ({"locations": {"includeLocations": [NOWHERE]}}, {"country": "DE"}, False),
    ({"locations": {"includeLocations": [OTHER]}}, {"address": "198.51.100.9"}, False),
    ({"signInRiskLevels": ["high", "medium"]}, {"sign_in_risk": "medium"}, True),
    ({"signInRiskLevels": ["high"]}, {"sign_in_risk": "medium"}, False),
    ({"signInRiskLevels": ["high"]}, {"user_risk": "high"}, False),
    ({"userRiskLevels": ["High"]}, {"user_risk": "high"}, True),
    ({"userRiskLevels": ["high"]}, {}, False),
]  # fmt: skip


@pytest.mark.parametrize(("conditions", "facts", "met"), CONDITIONS)
def test_one_condition(conditions: Json, facts: Json, met: bool) -> None:
    """A block tells by its refusal whether the policy applies."""
    body = policy(**conditions, grantControls=grant("block"))
    who = sign_in(**facts)
    verdict = decide(who, body, namedLocation=DOCUMENTS)
    assert (verdict.refusal is not None) is met


def test_the_first_condition_that_fails_is_in_the_log() -> None:
    """Those before it are satisfied, those after it nobody looked at; all of them are where the policy applies."""
    bodies = [
        policy(1, **users(includeUsers=["None"])),
        policy(2, platforms={"includePlatforms": ["linux"]}, locations={"includeLocations": [OFFICE]}),
        policy(3, devices={"deviceFilter": {"mode": "include", "rule": "device.isCompliant -eq True"}}),
        policy(4, state="disabled"),
        policy(5, state="enabledForReportingButNotEnforced", userRiskLevels=["high"]),
        policy(6),
    ]
    lines = decide(sign_in(), *bodies).applied
    assert [(line.id, line.result, len(line.satisfied), line.not_satisfied) for line in lines] == [
        (policy_id(1), "notApplied", 0, ("users",)),
        (policy_id(2), "notApplied", 3, ("devicePlatform",)),
        (policy_id(3), "notApplied", 7, ("deviceState",)),
        (policy_id(4), "notEnabled", 0, ()),
        (policy_id(5), "reportOnlyNotApplied", 6, ("userRisk",)),
        (policy_id(6), "success", 8, ()),
    ]
    assert lines[1].satisfied == ("users", "application", "clientType")


COMPLIANT = {"tenant": HOME, "compliant": True, "hybrid": False}


@pytest.mark.parametrize(
    ("mode", "facts", "applies"),
    [
        ("include", {}, False),
        ("exclude", {}, True),
        ("include", {"device": COMPLIANT}, False),  # without trust its attributes are not read
        ("include", {"device": COMPLIANT, "trust": ["mfa"]}, False),
        ("include", {"device": COMPLIANT, "trust": ["compliant"]}, True),
        ("include", {"device": COMPLIANT, "trust": ["hybrid"]}, True),
        ("exclude", {"device": COMPLIANT, "trust": ["hybrid"]}, False),
        ("include", {"device": {**COMPLIANT, "tenant": TENANT}, "trust": ["compliant"]}, False),
        ("include", {"device": {**COMPLIANT, "tenant": TENANT}, **MEMBER}, True),
        ("include", {"device": COMPLIANT, **MEMBER}, False),
    ],
)
def test_device_filter(mode: str, facts: Json, applies: bool) -> None:
    """A guest's device is looked at only under device trust, and only home's word on home's device counts."""
    rule = {"deviceFilter": {"mode": mode, "rule": "device.isCompliant -eq True"}}
    body = policy(devices=rule, grantControls=grant("block"))
    assert (decide(sign_in(**facts), body).refusal is not None) is applies
    elsewhere = policy(2, devices=rule, users={"includeUsers": ["None"]}, grantControls=grant("block"))
    assert decide(sign_in(**facts), elsewhere, policy(3)).refusal is None


@pytest.mark.parametrize(
    ("application", "word"),
    [("00000003-0000-0ff1-ce00-000000000000", "Office365"),
     ("c44b4083-3bb0-49c1-b47d-974e53cbdf3c", "MicrosoftAdminPortals")],
)  # fmt: skip
def test_groups_of_applications(application: str, word: str) -> None:
    """Two keywords stand for published lists of application ids, to include and to exclude."""
    included = policy(applications={"includeApplications": [word.lower()]}, grantControls=grant("block"))
    excluded = policy(
        applications={"includeApplications": ["All"], "excludeApplications": [word]}, grantControls=grant("block")
    )
    for app, is_member in ((application, True), (APP, False)):
        who = sign_in(app=app)
        assert (decide(who, included).refusal is not None) is is_member
        assert (decide(who, excluded).refusal is None) is is_member


ME = User("o", "u@x", "U", UserType.MEMBER, True, (), frozenset())
GUEST = User("o", "u@x", "U", UserType.GUEST, True, (), frozenset())
AWAY = ("h", "o")


@pytest.mark.parametrize(
    ("user", "home", "way", "path", "expected"),
    [
        (ME, None, None, AccessPath.NONE, UserClass.MEMBER),
        (GUEST, None, None, AccessPath.NONE, UserClass.INTERNAL_GUEST),
        (ME, AWAY, None, AccessPath.COLLABORATION, UserClass.COLLABORATION_MEMBER),
        (GUEST, AWAY, None, AccessPath.COLLABORATION, UserClass.COLLABORATION_GUEST),
        *((GUEST, None, way, AccessPath.COLLABORATION, UserClass.COLLABORATION_GUEST)
          for way in (SignInWay.MAIL, SignInWay.FEDERATION, SignInWay.SOCIAL, SignInWay.PERSONAL)),
        (ME, None, SignInWay.FEDERATION, AccessPath.COLLABORATION, UserClass.COLLABORATION_MEMBER),
        (None, None, None, AccessPath.DIRECT_CONNECT, UserClass.DIRECT_CONNECT),
        (None, None, None, AccessPath.SERVICE_PROVIDER, UserClass.SERVICE_PROVIDER),
        (GUEST, AWAY, None, AccessPath.SERVICE_PROVIDER, UserClass.SERVICE_PROVIDER),
        (None, None, None, AccessPath.COLLABORATION, UserClass.OTHER),
    ],
)  # fmt: skip
def test_classes(
    user: User | None, home: tuple[str, str] | None, way: SignInWay | None, path: AccessPath, expected: UserClass
) -> None:
    """Where an account authenticates and its user type are independent."""
    external_identity = ExternalIdentity(way, "i", "s") if way else None
    placed = replace(user, home=home, external=external_identity) if user else None
    assert classify(placed, path) is expected
