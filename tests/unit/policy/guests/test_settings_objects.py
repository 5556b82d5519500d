"""The objects of external collaboration settings: what they compile to and which contradictions are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from tests.unit.policy.documents import RESOURCE, document, link
from tunneld.policy.cross_tenant.effective import CrossTenantPolicy, RedemptionOrder, Settings
from tunneld.policy.directory import Directory
from tunneld.policy.guests.collaboration import GUEST_LIMITED, GUEST_RESTRICTED, Collaboration, InvitersAllowed
from tunneld.policy.guests.settings_objects import MAX_DOMAIN_POLICY
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, Conflict, ObjectRef
from tunneld.policy.overlay import change_directory

APP = "eeeeeeee-0000-4000-8000-000000000001"
LISTS = "invitationsAllowedAndBlockedDomainsPolicy"


@pytest.fixture(scope="module")
def directory() -> Directory:
    return link(document())


def change(directory: Directory, kind: str, body: dict[str, Any] | None, object_id: str = "") -> Directory | Conflict:
    value = None if body is None else KINDS[kind].model.model_validate(body)
    return change_directory(directory, [Change(ObjectRef(RESOURCE, kind, object_id or kind.lower()), value)])


def settings(directory: Directory | Conflict) -> Collaboration:
    assert isinstance(directory, Directory), directory
    return directory.tenants[RESOURCE].policy.collaboration


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("authorizationPolicy", {}, Collaboration()),
        ("authorizationPolicy", {"allowInvitesFrom": "none"}, Collaboration(InvitersAllowed.NOBODY)),
        ("authorizationPolicy", {"guestUserRoleId": GUEST_RESTRICTED.upper()},
         Collaboration(guest_role=GUEST_RESTRICTED)),
        ("authorizationPolicy", {"externalUsersMayLeave": False}, Collaboration(guests_may_leave=False)),
        ("b2bManagementPolicy", {LISTS: {"allowedDomains": ["Contoso.COM ", "*.f.example"]}},
         Collaboration(allowed_domains=frozenset({"contoso.com", "*.f.example"}))),
        ("b2bManagementPolicy", {LISTS: {"blockedDomains": ["x.example"], "allowedDomains": []}},
         Collaboration(blocked_domains=frozenset({"x.example"}))),
        ("b2bManagementPolicy", {LISTS: {"blockedDomains": [], "allowedDomains": None}}, Collaboration()),
        ("authenticationFlowsPolicy", {"selfServiceSignUp": {"isEnabled": True}},
         Collaboration(self_service_sign_up=True)),
        ("emailAuthenticationMethod", {"allowExternalIdToUseEmailOtp": "disabled"},
         Collaboration(one_time_passcode=False)),
        ("emailAuthenticationMethod", {"allowExternalIdToUseEmailOtp": "default"}, Collaboration()),
        ("workload", {"id": APP.upper(), "respectsDirectorySettings": False},
         Collaboration(workloads_apart=frozenset({APP}))),
        ("workload", {"id": APP}, Collaboration()),
    ],
)
def test_objects_compile(directory: Directory, kind: str, body: dict[str, Any], expected: Collaboration) -> None:
    changed = change(directory, kind, body)
    assert settings(changed) == expected
    assert isinstance(changed, Directory)
    assert settings(change(changed, kind, None)) == Collaboration()  # deleting one gives the service's defaults back


def test_objects_add_up(directory: Directory) -> None:
    changed = change(directory, "authorizationPolicy", {"allowInvitesFrom": "none"})
    assert isinstance(changed, Directory)
    changed = change(changed, "authenticationFlowsPolicy", {"selfServiceSignUp": {"isEnabled": True}})
    assert settings(changed) == Collaboration(InvitersAllowed.NOBODY, self_service_sign_up=True)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("authorizationPolicy", {"allowInvitesFrom": "nobody"}),
        ("authorizationPolicy", {"guestUserRoleId": "guest"}),
        ("authorizationPolicy", {"allowedToUseSspr": True}),
        ("b2bManagementPolicy", {LISTS: {"allowedDomains": ["localhost"]}}),
        ("b2bManagementPolicy", {LISTS: {"allowedDomains": ["cöntoso.com"]}}),
        ("workload", {"respectsDirectorySettings": False}),
        ("emailAuthenticationMethod", {"allowExternalIdToUseEmailOtp": "off"}),
    ],
)
def test_what_is_not_well_formed(kind: str, body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        KINDS[kind].model.model_validate(body)


def _halves(length: int) -> tuple[int, int]:
    return length // 2, length - length // 2


def _domains(length: int) -> dict[str, Any]:
    """A policy of exactly `length` characters."""
    body: dict[str, Any] = {LISTS: {"blockedDomains": []}}
    empty = len(KINDS["b2bManagementPolicy"].model.model_validate(body).model_dump_json(by_alias=True))
    names = [f"{'a' * 40}{n:05}.example" for n in range((length - empty) // 56 - 2)]
    halves = _halves(length - empty - 56 * len(names) + 1)
    names += [f"{'b' * 20}.{'c' * (half - 32)}.example" for half in halves]
    body[LISTS]["blockedDomains"] = names
    return body


@pytest.mark.parametrize(
    ("kind", "body", "rule"),
    [
        ("authorizationPolicy", {"guestUserRoleId": APP}, "unknownGuestRole"),
        ("b2bManagementPolicy", {LISTS: {"allowedDomains": ["a.example"], "blockedDomains": ["b.example"]}},
         "bothDomainLists"),
        ("b2bManagementPolicy", _domains(MAX_DOMAIN_POLICY + 1), "domainPolicyTooLong"),
    ],
)
def test_contradictions(directory: Directory, kind: str, body: dict[str, Any], rule: str) -> None:
    conflict = change(directory, kind, body)
    assert isinstance(conflict, Conflict)
    assert conflict.rule == rule
    assert conflict.mend


def test_a_policy_of_just_the_length_is_saved(directory: Directory) -> None:
    body = _domains(MAX_DOMAIN_POLICY)
    model = KINDS["b2bManagementPolicy"].model.model_validate(body)
    assert len(model.model_dump_json(by_alias=True)) == MAX_DOMAIN_POLICY
    assert settings(change(directory, "b2bManagementPolicy", body)).blocked_domains


@pytest.mark.parametrize("where", ["default", "partner"])
def test_the_last_resort_cannot_be_switched_off(directory: Directory, where: str) -> None:
    asked = Settings(redemption_order=RedemptionOrder((), "emailOneTimePasscode"))
    policy = CrossTenantPolicy(default=asked) if where == "default" else CrossTenantPolicy(partners={"x": asked})
    tenant = directory.tenants[RESOURCE]
    tenant = replace(tenant, policy=replace(tenant.policy, cross_tenant=policy))
    needing = replace(directory, tenants={**directory.tenants, RESOURCE: tenant})
    conflict = change(needing, "emailAuthenticationMethod", {"allowExternalIdToUseEmailOtp": "disabled"})
    assert isinstance(conflict, Conflict)
    assert conflict.rule == "fallbackNeedsPasscode"
    assert settings(change(needing, "emailAuthenticationMethod", {})).one_time_passcode


def test_defaults_are_the_services() -> None:
    assert Collaboration().guest_role == GUEST_LIMITED
