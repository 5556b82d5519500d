"""Every rule of saving cross-tenant access settings, once broken and once kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.access_oracle import everything
from tests.support.access_world import BARE, HOME, OTHER, RESOURCE, UNKNOWN, change, changes_of, directory_of
from tunneld.policy.cross_tenant.effective import PERSONAL_TENANT
from tunneld.policy.directory import Directory
from tunneld.policy.objects import Change, Conflict, ObjectRef
from tunneld.policy.overlay import change_directory, put_objects

Body = dict[str, Any]
ALL_USERS, ALL_APPS = ("AllUsers", "user"), ("AllApplications", "application")
SOME_USER, SOME_GROUP, SOME_APP = (UNKNOWN, "user"), (UNKNOWN, "group"), (UNKNOWN, "application")
SUITE = ("Office365", "application")
OPEN, CLOSED = everything("allowed"), everything("blocked")


def lists(user_type: str, users: list[tuple[str, str]], app_type: str, apps: list[tuple[str, str]]) -> Body:
    return {
        "usersAndGroups": {"accessType": user_type, "targets": [{"target": t, "targetType": k} for t, k in users]},
        "applications": {"accessType": app_type, "targets": [{"target": t, "targetType": k} for t, k in apps]},
    }


def saved(bodies: Body, tenant: str = RESOURCE, directory: Directory = BARE) -> Directory | Conflict:
    return change_directory(directory, changes_of({tenant: bodies}))


SETTINGS: list[tuple[str, Body, str, str]] = [
    # V1: nobody may come, yet something is open to them
    ("conflictingAccess", lists("blocked", [ALL_USERS], "allowed", [ALL_APPS]), "applications", "blocks all users"),
    ("conflictingAccess", lists("blocked", [ALL_USERS], "blocked", [SOME_APP]), "applications", "blocks all users"),
    # V2: nothing is open, yet some may come
    ("conflictingAccess", lists("blocked", [SOME_USER], "blocked", [ALL_APPS]), "usersAndGroups", "does not block all"),
    # V3: people are allowed, applications are not
    ("conflictingAccess", lists("allowed", [ALL_USERS], "blocked", [ALL_APPS]), "usersAndGroups", "allows users"),
    ("conflictingAccess", lists("allowed", [SOME_USER], "blocked", [ALL_APPS]), "usersAndGroups", "allows users"),
    # V6
    ("keywordMixedWithIds", lists("allowed", [ALL_USERS, SOME_USER], "allowed", [ALL_APPS]), "usersAndGroups.t", ""),
    ("keywordMixedWithIds", lists("allowed", [ALL_USERS], "allowed", [SOME_APP, ALL_APPS]), "applications.targets", ""),
    # V7
    ("emptyTargets", lists("allowed", [], "allowed", [ALL_APPS]), "usersAndGroups.targets", ""),
    ("emptyTargets", lists("blocked", [SOME_USER], "blocked", []), "applications.targets", ""),
    # V8
    ("targetTypeMismatch", lists("allowed", [SOME_APP], "allowed", [ALL_APPS]), "usersAndGroups.targets[0]", ""),
    ("targetTypeMismatch", lists("allowed", [SOME_USER, SUITE], "allowed", [ALL_APPS]), "usersAndGroups", ""),
    ("targetTypeMismatch", lists("allowed", [(ALL_USERS[0], "group")], "allowed", [ALL_APPS]), "usersAndGroups", ""),
    ("targetTypeMismatch", lists("allowed", [(ALL_APPS[0], "user")], "allowed", [ALL_APPS]), "usersAndGroups", ""),
    ("targetTypeMismatch", lists("allowed", [ALL_USERS], "allowed", [SOME_USER]), "applications.targets[0]", ""),
    ("targetTypeMismatch", lists("allowed", [ALL_USERS], "allowed", [("AllUsers", "application")]), "applications", ""),
]
NAMES = (
    "b2bCollaborationInbound", "b2bCollaborationOutbound", "b2bDirectConnectInbound", "b2bDirectConnectOutbound",
    "tenantRestrictions",
)


@pytest.mark.parametrize(("rule", "setting", "place", "words"), SETTINGS)
@pytest.mark.parametrize("name", NAMES)
def test_settings_that_contradict_themselves(name: str, rule: str, setting: Body, place: str, words: str) -> None:
    """In the default, in a partner and in a template alike, with the member's name."""
    holders: list[Body] = [{"default": {name: setting}}, {"partners": {HOME: {name: setting}}}]
    if name != "tenantRestrictions":
        holders.append({"template": {name: setting}})
    for bodies in holders:
        conflict = saved(bodies)
        assert isinstance(conflict, Conflict)
        assert (conflict.rule, conflict.status) == (rule, 400)
        assert conflict.target.startswith(f"{name}.{place}")
        assert words in conflict.message
        assert conflict.mend.endswith(".")


@pytest.mark.parametrize(
    "setting",
    [
        OPEN, CLOSED, lists("allowed", [ALL_USERS], "blocked", [SOME_APP]),
        lists("allowed", [ALL_USERS], "allowed", [SUITE, SOME_APP]),
        lists("allowed", [ALL_USERS], "allowed", [("AllMicrosoftApps", "application")]),
    ],
)
def test_settings_that_hold(setting: Body) -> None:
    """What is well-formed and consistent is saved, wherever it stands."""
    for name in NAMES:
        for bodies in ({"default": {name: setting}}, {"partners": {HOME: {name: setting}}}):
            assert isinstance(saved(bodies), Directory)
    targeted = lists("blocked", [SOME_USER, SOME_GROUP], "blocked", [SOME_APP])
    assert isinstance(saved({"partners": {HOME: dict.fromkeys(NAMES, targeted)}}), Directory)


TARGETED = lists("allowed", [SOME_USER], "allowed", [ALL_APPS])
ONE_APP = lists("allowed", [ALL_USERS], "allowed", [SOME_APP])
GROUPED = lists("blocked", [SOME_GROUP], "blocked", [SOME_APP])
ORDER = "invitationRedemptionIdentityProviderConfiguration"
OBJECTS: list[tuple[str, Body, str]] = [
    # V4: the default's inbound and network rules know no users of unknown tenants
    ("targetNotAllowedInDefault", {"default": {"b2bCollaborationInbound": TARGETED}}, "b2bCollaborationInbound"),
    ("targetNotAllowedInDefault", {"default": {"b2bDirectConnectInbound": GROUPED}}, "b2bDirectConnectInbound"),
    ("targetNotAllowedInDefault", {"default": {"tenantRestrictions": TARGETED}}, "tenantRestrictions"),
    # V5
    ("notWritableInDefault", {"default": {"automaticUserConsentSettings": {"inboundAllowed": True}}}, "automatic"),
    ("notWritableInDefault", {"default": {"automaticUserConsentSettings": {"outboundAllowed": True}}}, "automatic"),
    # V9
    ("fallbackRequired", {"default": {ORDER: {}}}, ORDER),
    ("fallbackRequired", {"partners": {HOME: {ORDER: {"primaryIdentityProviderPrecedenceOrder": []}}}}, ORDER),
    ("duplicateIdentityProvider", {"default": {ORDER: {
        "primaryIdentityProviderPrecedenceOrder": ["externalFederation", " ExternalFederation "],
        "fallbackIdentityProvider": "emailOneTimePasscode",
    }}}, ORDER),
    # V10
    ("ownTenantAsPartner", {"partners": {RESOURCE: {}}}, "tenantId"),
    # V11
    ("directConnectAcrossClouds", {"partners": {OTHER: {"b2bDirectConnectInbound": OPEN}}}, "b2bDirectConnectInbound"),
    ("directConnectAcrossClouds", {"partners": {OTHER: {"b2bDirectConnectOutbound": GROUPED}}}, "b2bDirectConnectO"),
    # V14
    ("personalAccountsNotTargetable", {"partners": {PERSONAL_TENANT: {"b2bCollaborationInbound": TARGETED}}}, "b2bC"),
    ("personalAccountsNotTargetable", {"partners": {PERSONAL_TENANT: {"tenantRestrictions": GROUPED}}}, "tenantR"),
]


@pytest.fixture(scope="module")
def two_clouds() -> Directory:
    other = replace(BARE.tenants[OTHER], cloud="microsoftonline.us")
    return replace(BARE, tenants={**BARE.tenants, OTHER: other})


@pytest.mark.parametrize(("rule", "bodies", "place"), OBJECTS)
def test_objects_that_break_a_rule(two_clouds: Directory, rule: str, bodies: Body, place: str) -> None:
    """The rules about where a setting may stand."""
    conflict = saved(bodies, directory=two_clouds)
    assert isinstance(conflict, Conflict)
    assert (conflict.rule, conflict.status) == (rule, 400)
    assert conflict.target.startswith(place)


@pytest.mark.parametrize(
    "bodies",
    [
        {"default": {"b2bCollaborationOutbound": TARGETED, "automaticUserConsentSettings": {"inboundAllowed": False}}},
        {"default": {ORDER: {"fallbackIdentityProvider": "MicrosoftAccount"}}},
        {"partners": {HOME: {ORDER: {"primaryIdentityProviderPrecedenceOrder": ["AzureActiveDirectory"],
                                     "fallbackIdentityProvider": "defaultConfiguredIdp"}}}},
        {"partners": {OTHER: {"b2bDirectConnectInbound": CLOSED, "b2bCollaborationInbound": TARGETED}}},
        {"partners": {UNKNOWN: {"b2bDirectConnectInbound": OPEN}}},
        {"partners": {PERSONAL_TENANT: {"b2bCollaborationInbound": lists("allowed", [ALL_USERS], "allowed", [SUITE])}}},
        {"policy": {"allowedCloudEndpoints": ["MicrosoftOnline.us ", "partner.microsoftonline.cn"]}},
    ],
)
def test_neighbours_of_the_rules(two_clouds: Directory, bodies: Body) -> None:
    """What a rule nearly says is allowed."""
    assert isinstance(saved(bodies, directory=two_clouds), Directory)


@pytest.mark.parametrize(
    ("bodies", "place"),
    [
        ({"default": {"b2bCollaborationOutbound": TARGETED}}, "b2bCollaborationOutbound"),
        ({"partners": {HOME: {"b2bCollaborationInbound": ONE_APP}}}, "b2bCollaborationInbound"),
        ({"partners": {HOME: {"b2bDirectConnectInbound": OPEN}}}, "b2bDirectConnectInbound"),
        ({"partners": {HOME: {"inboundTrust": {"isMfaAccepted": True}}}}, "inboundTrust"),
        ({"template": {"inboundTrust": {"isCompliantDeviceAccepted": True}}}, "inboundTrust"),
    ],
)
def test_the_licence(bodies: Body, place: str) -> None:
    """Targets, trust and direct connect are licensed; everything else is not."""
    assert isinstance(saved(bodies), Directory)
    poor = replace(BARE, tenants={**BARE.tenants, RESOURCE: replace(BARE.tenants[RESOURCE], has_p1=False)})
    conflict = saved(bodies, directory=poor)
    assert isinstance(conflict, Conflict)
    assert (conflict.rule, conflict.status) == ("licenseRequired", 403)
    assert conflict.target.startswith(place)
    free = {"inboundTrust": {}, "b2bCollaborationInbound": CLOSED, "b2bDirectConnectOutbound": CLOSED}
    assert isinstance(saved({"partners": {HOME: free}, "default": free}, directory=poor), Directory)


def test_synchronization_belongs_to_a_partner() -> None:
    """It needs the partner; that automatic redemption is missing is the job's to say."""
    body = {"tenantId": HOME, "userSyncInbound": {"isSyncAllowed": True}}
    push = change(RESOURCE, "identitySynchronization", HOME, body)
    conflict = change_directory(BARE, [push])
    assert isinstance(conflict, Conflict)
    assert (conflict.rule, conflict.target) == ("partnerNotFound", "tenantId")
    changed = change_directory(BARE, [push, *changes_of({RESOURCE: {"partners": {HOME: {}}}})])
    assert isinstance(changed, Directory)
    assert changed.tenants[RESOURCE].policy.cross_tenant.partners[HOME].user_sync_allowed
    gone = put_objects(changed, [Change(ObjectRef(RESOURCE, "identitySynchronization", HOME), None)])
    assert not gone.tenants[RESOURCE].policy.cross_tenant.partners[HOME].user_sync_allowed


@pytest.mark.parametrize("level", ["none", "newPartners", "existingPartners"])
@pytest.mark.parametrize("member", [True, False])
def test_synchronization_template(level: str, member: bool) -> None:
    """A member without an object of its own follows the template where that is applied; its own object wins."""
    allowed = {"isSyncAllowed": True}
    bodies = {RESOURCE: {
        "partners": {HOME: {"isInMultiTenantOrganization": member}, OTHER: {"isInMultiTenantOrganization": True}},
        "synchronizationTemplate": {"templateApplicationLevel": level, "userSyncInbound": allowed},
    }}
    own = change(RESOURCE, "identitySynchronization", OTHER, {"tenantId": OTHER, "userSyncInbound": None})
    directory = put_objects(directory_of(bodies), [own])
    for found in (directory, put_objects(BARE, [own, *reversed(changes_of(bodies))])):
        partners = found.tenants[RESOURCE].policy.cross_tenant.partners
        assert partners[HOME].user_sync_allowed == (member and level != "none")
        assert not partners[OTHER].user_sync_allowed
