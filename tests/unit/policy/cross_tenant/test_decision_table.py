"""Every combination of targeting, access type, source and kind of user, against an oracle that shares no code."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from tests.support import access_oracle as oracle
from tests.support.access_world import (
    GUEST,
    HOME,
    HOME_PEOPLE,
    NOBODYS,
    NOW,
    OUTSIDE,
    OWN,
    PRIVATE,
    RESOURCE,
    STAFF,
    STATES,
    SUITE,
    UNKNOWN,
    attempt_of,
    directory_of,
    question_of,
)
from tunneld.policy.cross_tenant.effective import PERSONAL_TENANT
from tunneld.policy.directory import DAEMON_CLIENT, DIRECTORY_API, Directory
from tunneld.policy.facts import AccessPath, Surroundings
from tunneld.policy.sign_in import Deny, Grant, evaluate

Body = dict[str, Any]

PEOPLE = {
    "all": [("AllUsers", "user")],
    "ids": [(oid, "user") for oid in (*HOME_PEOPLE, *OUTSIDE)],
    "group": [(STAFF, "group")],
    "nobody": [(UNKNOWN, "user")],
    "no group": [(NOBODYS, "group"), (UNKNOWN, "user")],
}
APPS = {
    "all": ["AllApplications"], "resource": [PRIVATE], "client": [DAEMON_CLIENT], "suite": ["Office365"],
    "first party": ["AllMicrosoftApps"], "other": [UNKNOWN], "other or suite": [UNKNOWN, "Office365"],
}
TYPES = ("allowed", "blocked")
LEVELS = ("partner", "default", "default behind an empty partner", "template")
SIDES = ("Inbound", "Outbound")
EVERYBODY = (*STATES, OWN, *OUTSIDE)
OPEN_DIRECT = {f"b2bDirectConnect{side}": oracle.everything("allowed") for side in SIDES}


def setting(users: str, user_type: str, apps: str, app_type: str) -> Body:
    return {
        "usersAndGroups": {
            "accessType": user_type, "targets": [{"target": t, "targetType": kind} for t, kind in PEOPLE[users]],
        },
        "applications": {
            "accessType": app_type, "targets": [{"target": t, "targetType": "application"} for t in APPS[apps]],
        },
    }


def configured(level: str, side: str, wanted: Body, *, direct: bool) -> dict[str, Body]:
    """Return both tenants' bodies with a setting at one level of one side; the other side is as open as can be."""
    mine, partner = (RESOURCE, HOME) if side == "Inbound" else (HOME, RESOURCE)
    body = {f"b2bCollaboration{side}": wanted}
    if direct:
        body[f"b2bDirectConnect{side}"] = wanted
    tenant: Body = {}
    if level == "partner":
        tenant["partners"] = {partner: body, PERSONAL_TENANT: body}
    elif level == "template":
        tenant["template"] = {"templateApplicationLevel": "newPartners", **body}
        tenant["partners"] = {partner: {"isInMultiTenantOrganization": True}}
        tenant["default"] = {f"b2bCollaboration{side}": oracle.everything("blocked")}
    else:
        tenant["default"] = body
        if level.endswith("partner"):
            tenant["partners"] = {partner: {}}
    tenants = {mine: tenant, partner: {"default": OPEN_DIRECT} if direct else {}}
    return {id_: {"cloud": "microsoftonline.com", **bodies} for id_, bodies in tenants.items()}


def configurations(side: str) -> Iterator[tuple[str, dict[str, Body]]]:
    for level, direct in product(LEVELS, (False, True)):
        for users, user_type, apps, app_type in product(PEOPLE, TYPES, APPS, TYPES):
            tenants = configured(level, side, setting(users, user_type, apps, app_type), direct=direct)
            yield f"{side} {level} {users} {user_type} {apps} {app_type}", tenants


def compare(directory: Directory, tenants: dict[str, Body], attempt: Body, name: str) -> tuple[int, str]:
    wanted = oracle.expected(tenants, attempt)
    around = Surroundings(path=AccessPath(attempt["path"]))
    outcome = evaluate(question_of(attempt, around=around), directory, NOW)
    found = (outcome.code if isinstance(outcome, Deny) else 0, str(outcome.path))
    assert found == wanted, f"{name}: {attempt}"
    if isinstance(outcome, Grant):
        lines = [line.rule for line in outcome.trace if line.setting == "inboundTrust"]
        trusted = oracle.trusted(tenants, attempt)
        assert {word for word in ("mfa", "compliantDevice", "domainJoinedDevice") if any(
            word in line for line in lines
        )} == trusted, name
    return found


@pytest.mark.parametrize("side", SIDES)
def test_targeting_by_access_type_source_and_user(side: str) -> None:
    """Both B2B settings, at each level, on each side, for everybody and three kinds of application."""
    met: dict[tuple[int, str], int] = {}
    for name, tenants in configurations(side):
        directory = directory_of(tenants)
        for oid, app in product(EVERYBODY, (PRIVATE, SUITE, DIRECTORY_API)):
            found = compare(directory, tenants, attempt_of(oid, app), name)
            met[found] = met.get(found, 0) + 1
    own = 500213 if side == "Inbound" else 500212
    assert {code for code, _ in met} == {0, own, 50020, 50014, 50057}
    assert (0, "b2bDirectConnect") in met, "nobody came in over direct connect, so half the table says nothing"
    assert min(met.values()) > 10, met


TRUST = ("isMfaAccepted", "isCompliantDeviceAccepted", "isHybridAzureADJoinedDeviceAccepted")


@pytest.mark.parametrize("asked", ["b2bCollaboration", "b2bDirectConnect", "serviceProvider"])
def test_trust_redemption_and_paths(asked: str) -> None:
    """Which claims of home count, who is spared the prompt, and who gets in without an object."""
    met = set()
    switches = (None, True, False)
    for level, flags, provider, blocked in product(LEVELS, product((True, False), repeat=3), switches, switches):
        trust = {"inboundTrust": dict(zip(TRUST, flags, strict=True))}
        here: Body = {"partners": {HOME: {"isServiceProvider": provider}}, "default": {}}
        if level == "partner":
            here["partners"][HOME] |= trust
        elif level == "template":
            here["partners"][HOME]["isInMultiTenantOrganization"] = True
            here["template"] = {"templateApplicationLevel": "existingPartners, newPartners", **trust}
        else:
            here["default"] = trust
        home: Body = {"partners": {RESOURCE: {"blockServiceProviderOutboundAccess": blocked}}}
        tenants = {RESOURCE: here, HOME: home}
        for body in tenants.values():
            body["cloud"] = "microsoftonline.com"
            body.setdefault("default", {}).update(OPEN_DIRECT if flags[0] else {})
        directory = directory_of(tenants)
        for oid in EVERYBODY:
            attempt = attempt_of(oid, PRIVATE, path=asked)
            found = compare_service(directory, tenants, attempt)
            met.add(found)
    assert {path for _, path in met} >= {"none", "b2bCollaboration", asked}


def compare_service(directory: Directory, tenants: dict[str, Body], attempt: Body) -> tuple[int, str]:
    """A service provider's second factor is asked for last, by Conditional Access: here it is always missing."""
    outcome = evaluate(
        question_of(attempt, around=Surroundings(path=AccessPath(attempt["path"]))), directory, NOW
    )
    if str(outcome.path) != "serviceProvider":
        return compare(directory, tenants, attempt, "trust")
    wanted = oracle.expected(tenants, attempt)
    found = outcome.code if isinstance(outcome, Deny) else 0
    asked_at_home = found in (50076, 50079, 50072) and outcome.trace[-1].step == "S10"
    assert (0 if asked_at_home else found, str(outcome.path)) == wanted, attempt
    assert any("mfa" in line.rule for line in outcome.trace if line.setting == "inboundTrust") == (wanted[0] == 0)
    return wanted


def test_automatic_redemption_takes_both_sides() -> None:
    """Only home's outbound with the visited tenant's inbound suppresses the prompt; nulls are off."""
    prompted = {}
    for out, into, wrong in product((None, True, False), (None, True, False), (None, True)):
        tenants = {
            HOME: {"cloud": "c", "partners": {RESOURCE: {"automaticUserConsentSettings": {
                "outboundAllowed": out, "inboundAllowed": wrong}}}},
            RESOURCE: {"cloud": "c", "partners": {HOME: {"automaticUserConsentSettings": {
                "inboundAllowed": into, "outboundAllowed": wrong}}}},
        }
        directory = directory_of(tenants)
        for oid, consented in product(EVERYBODY, (True, False)):
            code, _ = compare(directory, tenants, attempt_of(oid, PRIVATE, consented=consented), "redemption")
            if STATES.get(oid) == "pending" and not consented:
                prompted[out, into] = code
    assert [pair for pair, code in prompted.items() if code == 0] == [(True, True)]


COMMERCIAL, GOVERNMENT, CHINA = "microsoftonline.com", "microsoftonline.us", "partner.microsoftonline.cn"


def test_clouds_need_both_sides_twice() -> None:
    """Each side names the other's cloud and the other tenant; one pair never works."""
    met = set()
    for clouds in product((COMMERCIAL, GOVERNMENT, CHINA), repeat=2):
        for allows, lists in product(product((True, False), repeat=2), repeat=2):
            tenants: dict[str, Body] = {}
            for index, (mine, other) in enumerate(((HOME, RESOURCE), (RESOURCE, HOME))):
                endpoints = [f" {clouds[1 - index].upper()}"] if allows[index] else [COMMERCIAL]
                partners = {other: OPEN_DIRECT} if lists[index] else {}
                tenants[mine] = {"cloud": clouds[index], "partners": partners,
                                 "policy": {"allowedCloudEndpoints": endpoints}}
            directory = directory_of(tenants)
            for body in tenants.values():
                body["policy"]["allowedCloudEndpoints"] = [
                    cloud.strip().lower() for cloud in body["policy"]["allowedCloudEndpoints"]
                ]
            for oid, path in product(EVERYBODY, ("b2bCollaboration", "b2bDirectConnect")):
                met.add(compare(directory, tenants, attempt_of(oid, PRIVATE, path=path), f"{clouds} {allows} {lists}"))
    assert {code for code, _ in met} >= {0, 90038, 1000104}


def test_the_oracle_can_disagree() -> None:
    """The comparison fails when the product and the oracle are asked about different settings."""
    blocked = {"default": {"b2bCollaborationInbound": oracle.everything("blocked")}}
    tenants = {HOME: {"cloud": COMMERCIAL}, RESOURCE: {"cloud": COMMERCIAL, **blocked}}
    with pytest.raises(AssertionError):
        compare(directory_of({}), tenants, attempt_of(GUEST, PRIVATE), "different")
