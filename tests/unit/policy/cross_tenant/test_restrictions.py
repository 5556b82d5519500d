"""Tenant restrictions at a sign-in: headers, and whose rule is read."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from tests.support import access_oracle as oracle
from tests.support.access_world import (
    BARE,
    GUEST,
    HOME,
    HOME_PEOPLE,
    NOW,
    OUTSIDE,
    OWN,
    OWNER,
    PERSONAL,
    PRIVATE,
    RESOURCE,
    STAFF,
    STRANGER,
    SUITE,
    UNKNOWN,
    attempt_of,
    directory_of,
    guest_of,
    question_of,
)
from tunneld.policy.cross_tenant.effective import PERSONAL_TENANT, policy_id
from tunneld.policy.directory import DAEMON_CLIENT, Directory, Tenant
from tunneld.policy.facts import Restrictions, Surroundings
from tunneld.policy.refusals import Refusal
from tunneld.policy.sign_in import Deny, SignInRequest, evaluate

Body = dict[str, Any]
HEADER = f"{OWNER}:{policy_id(OWNER)}"


def asked(restrictions: Restrictions, directory: Directory = BARE, oid: str = GUEST, **more: Any) -> Refusal | None:
    """Return the refusal of step S1, None when that passes."""
    around = Surroundings(restrictions=restrictions)
    outcome = evaluate(question_of(attempt_of(oid, PRIVATE), around=around, **more), directory, NOW)
    refused = isinstance(outcome, Deny) and outcome.trace[-1].step == "S1"
    return outcome.refusal if isinstance(outcome, Deny) and refused else None


HEADERS: list[tuple[Restrictions, int]] = [
    (Restrictions(), 0),
    (Restrictions(v1_context=OWNER), 0),  # it only says who would be told
    # Version 1: the visited tenant by id or verified domain
    (Restrictions(v1_tenants=RESOURCE), 0),
    (Restrictions(v1_tenants=f" other.example , {RESOURCE.upper()} ", v1_context=OWNER), 0),
    (Restrictions(v1_tenants="Resource.Example"), 0),
    (Restrictions(v1_tenants="resource"), 500022),  # a short name is no domain
    (Restrictions(v1_tenants=HOME), 500022),
    (Restrictions(v1_tenants=""), 500022),
    (Restrictions(v1_tenants="home.example", v1_context=OWNER), 500021),
    (Restrictions(v1_tenants="resource.example", v1_context="owner.example"), 90014),
    (Restrictions(v1_tenants="resource.example", v2=("restrict-msa",)), 0),
    (Restrictions(v1_tenants="home.example", v2=(" Restrict-MSA",)), 500022),
    (Restrictions(v2=("restrict-msa",)), 0),
    # Version 2: whatever cannot be understood refuses
    (Restrictions(v2=(HEADER,)), 5000211),
    (Restrictions(v2=(HEADER.upper(),)), 5000211),
    (Restrictions(v2=(f"{OWNER}:{policy_id(HOME)}",)), 5000211),
    (Restrictions(v2=(f"{UNKNOWN}:{policy_id(UNKNOWN)}",)), 5000211),
    (Restrictions(v2=(f"{HOME}:{policy_id(HOME)}",)), 0),  # the owner's own account
    (Restrictions(v2=(f"{RESOURCE}:{policy_id(RESOURCE)}",)), 0),  # the owner's own tenant: its inbound settings decide
    (Restrictions(v2=(OWNER,)), 90014),
    (Restrictions(v2=("",)), 90014),
    (Restrictions(v2=(f"{HEADER},{HEADER}",)), 90014),
    (Restrictions(v2=(HEADER, HEADER)), 90014),
    (Restrictions(v2=(HEADER, "restrict-msa")), 90014),
    (Restrictions(v1_tenants=RESOURCE, v2=(HEADER,)), 90014),
    (Restrictions(v1_context=OWNER, v2=(HEADER,)), 90014),
]


@pytest.mark.parametrize(("restrictions", "code"), HEADERS)
def test_headers(restrictions: Restrictions, code: int) -> None:
    """One table of headers, for a guest of another tenant on the owner's network."""
    refused = asked(restrictions)
    assert (refused.code if refused else 0) == code


def test_a_name_without_an_account_is_refused_as_one_with_an_account() -> None:
    """The realm of the typed name stands in, so that nobody finds out who exists."""
    allowed_home = {OWNER: {"partners": {RESOURCE: {"tenantRestrictions": oracle.everything("allowed")}}}}
    directory = directory_of(allowed_home)
    around = Surroundings(restrictions=Restrictions(v2=(HEADER,)))
    question = question_of(attempt_of(STRANGER, PRIVATE), around=around)
    nobody = SignInRequest(
        RESOURCE, DAEMON_CLIENT, PRIVATE, None, question.proof, around=around, realm=HOME
    )
    codes = {evaluate(each, directory, NOW).code for each in (question, nobody)}  # type: ignore[union-attr]
    assert codes == {5000211}
    unknown = SignInRequest(RESOURCE, DAEMON_CLIENT, PRIVATE, None, question.proof, around=around)
    outcome = evaluate(unknown, directory, NOW)
    assert isinstance(outcome, Deny)
    assert outcome.code == 50034


def test_the_rule_of_both_external_tenants() -> None:
    """Targeting by access type for the account's tenant and for the visited one, against the oracle."""
    targets = {
        "all": [("AllUsers", "user")], "home": [(GUEST, "user"), (STAFF, "group")],
        "guests": [(guest_of(oid), "user") for oid in HOME_PEOPLE] + [(OWN, "user")], "nobody": [(UNKNOWN, "user")],
    }
    apps = {"all": "AllApplications", "private": PRIVATE, "client": DAEMON_CLIENT, "suite": "Office365"}
    met = set()
    rules = [
        {
            "usersAndGroups": {"accessType": u, "targets": [{"target": t, "targetType": k} for t, k in targets[users]]},
            "applications": {"accessType": a, "targets": [{"target": apps[app], "targetType": "application"}]},
        }
        for users, app, u, a in product(targets, apps, ("allowed", "blocked"), ("allowed", "blocked"))
    ]
    opened, closed = oracle.everything("allowed"), oracle.everything("blocked")
    for rule, other, swapped in product(rules, (opened, closed, None), (False, True)):
        at_home, visited = (other, rule) if swapped else (rule, other)
        owner: Body = {"partners": {
            HOME: {"tenantRestrictions": at_home}, RESOURCE: {"tenantRestrictions": visited},
        }, "default": {"tenantRestrictions": opened}}
        directory = directory_of({OWNER: owner})
        for oid, app in product((GUEST, STRANGER, OWN, *OUTSIDE), (PRIVATE, SUITE)):
            attempt = attempt_of(oid, app)
            wanted = oracle.restriction_code({**owner, "id": OWNER}, attempt)
            around = Surroundings(restrictions=Restrictions(v2=(HEADER,)))
            outcome = evaluate(question_of(attempt, around=around), directory, NOW)
            found = outcome.code if isinstance(outcome, Deny) and outcome.trace[-1].step == "S1" else 0
            assert found == wanted, (attempt, owner)
            met.add(found)
            lines = [line for line in outcome.trace if line.setting == "tenantRestrictions"]
            assert lines
            assert {(line.tenant, line.step) for line in lines} == {("owner", "S1")}
    assert met == {0, 5000211}


def personal_world(owner: Body) -> Directory:
    """A directory in which the tenant of personal accounts is a tenant like others."""
    directory = directory_of({OWNER: owner})
    user = directory.tenants[RESOURCE].users[OWN]
    tenant = Tenant(PERSONAL_TENANT, "personal", "Personal", (), {OWN: user}, {}, (), {})
    tenants = {**directory.tenants, PERSONAL_TENANT: tenant}
    clients, visits = directory.clients, {**directory.visits, (PERSONAL_TENANT, OWN): ((RESOURCE, guest_of(GUEST)),)}
    return Directory(tenants, {}, clients, visits, {})


@pytest.mark.parametrize("users", ["AllUsers", UNKNOWN])
@pytest.mark.parametrize("app_type", ["allowed", "blocked"])
def test_personal_accounts_are_told_apart_by_application_only(users: str, app_type: str) -> None:
    """User targets mean nothing for them, and their use as guests of an organization is not their tenant's matter."""
    api = "00000003-0000-0000-c000-000000000000"
    rule = {
        "usersAndGroups": {"accessType": "allowed", "targets": [{"target": users, "targetType": "user"}]},
        "applications": {"accessType": app_type, "targets": [{"target": api, "targetType": "application"}]},
    }
    directory = personal_world({"partners": {
        PERSONAL_TENANT: {"tenantRestrictions": rule}, RESOURCE: {"tenantRestrictions": oracle.everything("allowed")},
    }})
    around = Surroundings(restrictions=Restrictions(v2=(HEADER,)))
    question = question_of(attempt_of(OWN, api), around=around)
    for tenant, restricted in ((PERSONAL_TENANT, app_type == "blocked"), (RESOURCE, False)):
        asked_there = SignInRequest(
            tenant, DAEMON_CLIENT, api, (PERSONAL_TENANT, OWN), question.proof, around=around
        )
        outcome = evaluate(asked_there, directory, NOW)
        assert (isinstance(outcome, Deny) and outcome.code == 5000211) == restricted
    blocked = Surroundings(restrictions=Restrictions(v2=("restrict-msa",), v1_tenants="nowhere.example"))
    for tenant, restricted in ((PERSONAL_TENANT, True), (RESOURCE, False)):
        asked_there = SignInRequest(tenant, DAEMON_CLIENT, api, (PERSONAL_TENANT, OWN), question.proof, around=blocked)
        outcome = evaluate(asked_there, directory, NOW)
        assert (isinstance(outcome, Deny) and (outcome.code, outcome.trace[-1].step) == (500021, "S1")) == restricted


def test_a_guest_with_a_personal_account_meets_the_visited_tenants_rule() -> None:
    """Somebody from outside all tenants is judged where their object is."""
    header = Restrictions(v2=(HEADER,))
    assert asked(header, oid=PERSONAL) is not None
    opened = {OWNER: {"partners": {RESOURCE: {"tenantRestrictions": oracle.everything("allowed")}}}}
    assert asked(header, directory_of(opened), PERSONAL) is None
