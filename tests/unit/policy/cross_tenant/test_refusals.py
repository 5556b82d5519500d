"""Every code that a sign-in can be refused with is reached by a sign-in, with its step and what a page could do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.access_oracle import everything
from tests.support.access_world import (
    BARE,
    DISABLED,
    GUEST,
    HOME,
    NOW,
    OTHER,
    OWNER,
    PASSCODE,
    PENDING,
    PENDING_PASSCODE,
    PRIVATE,
    RESOURCE,
    SESSION,
    STRANGER,
    attempt_of,
    change,
    directory_of,
    question_of,
)
from tunneld.policy.conditional_access.outcome import Task
from tunneld.policy.cross_tenant.effective import policy_id
from tunneld.policy.directory import Assignments, Directory
from tunneld.policy.facts import AccessPath, MethodUse, Restrictions, SessionFacts, Surroundings
from tunneld.policy.guests.collaboration import Collaboration
from tunneld.policy.overlay import put_objects
from tunneld.policy.refusals import _TABLE
from tunneld.policy.sign_in import (
    STEPS,
    ApplicationConsent,
    Deny,
    Grant,
    MethodProof,
    PasswordProof,
    SignInRequest,
    evaluate,
)

ROOT = Path(__file__).parents[4]
CLOSED = everything("blocked")
OPEN_DIRECT = {f"b2bDirectConnect{side}": everything("allowed") for side in ("Inbound", "Outbound")}


def tenants(home: Any = None, resource: Any = None, cloud: str = "microsoftonline.com") -> Directory:
    return directory_of({HOME: {"cloud": cloud, **(home or {})}, RESOURCE: resource or {}})


def demanding(directory: Directory, *controls: str) -> Directory:
    """Add a Conditional Access policy about everybody to the visited tenant."""
    body = {
        "id": "12121212-0000-4000-8000-000000000001", "displayName": "All", "state": "enabled",
        "conditions": {"users": {"includeUsers": ["All"]}, "applications": {"includeApplications": ["All"]},
                       "clientAppTypes": ["all"]},
        "grantControls": {"operator": "AND", "builtInControls": list(controls)},
    }
    return put_objects(directory, [change(RESOURCE, "conditionalAccessPolicy", body["id"], body)])


def asked(oid: str = GUEST, path: str = "b2bCollaboration", **more: Any) -> SignInRequest:
    around = more.pop("around", Surroundings(path=AccessPath(path)))
    return replace(question_of(attempt_of(oid, PRIVATE), around=around), **more)


def headed(**headers: Any) -> SignInRequest:
    return asked(around=Surroundings(restrictions=Restrictions(**headers)))


def unassigned() -> Directory:
    tenant = BARE.tenants[RESOURCE]
    application = replace(tenant.applications[PRIVATE], assignments=Assignments())
    tenant = replace(tenant, applications={PRIVATE: application})
    return replace(BARE, tenants={**BARE.tenants, RESOURCE: tenant})


def home_user(**changed: Any) -> Directory:
    tenant = BARE.tenants[HOME]
    users = {**tenant.users, GUEST: replace(tenant.users[GUEST], **changed)}
    return replace(BARE, tenants={**BARE.tenants, HOME: replace(tenant, users=users)})


def unlisted() -> Directory:
    """The visited tenant invites nobody of the domains that its pending guests have."""
    tenant = BARE.tenants[RESOURCE]
    blocked = Collaboration(blocked_domains=frozenset({"home.example", "nowhere.example"}))
    policy = replace(tenant.policy, collaboration=blocked)
    return replace(BARE, tenants={**BARE.tenants, RESOURCE: replace(tenant, policy=policy)})


RIGHT = PasswordProof(correct=True, locked=False)
TRUST = {"partners": {HOME: {"inboundTrust": {"isMfaAccepted": True}}}}
DIRECT = {"default": OPEN_DIRECT}
PROVIDER = {"partners": {HOME: {"isServiceProvider": True}}}
V2 = f"{OWNER}:{policy_id(OWNER)}"

# question, directory, code, step, what a page could do
REACHED: list[tuple[SignInRequest, Directory, int, str, Task | None]] = [
    (asked(tenant="nowhere"), BARE, 90002, "S0", None),
    (asked(client_id=OTHER), BARE, 700016, "S0", None),
    (asked(audience=OTHER), BARE, 500011, "S0", None),
    (headed(v2=("nonsense",)), BARE, 90014, "S1", None),
    (headed(v1_tenants="", v1_context=OWNER), BARE, 500021, "S1", None),
    (headed(v1_tenants=""), BARE, 500022, "S1", None),
    (headed(v2=(V2,)), BARE, 5000211, "S1", None),
    (asked(), tenants(cloud="microsoftonline.us"), 1000104, "S2", None),
    (asked(path="b2bDirectConnect"), tenants(cloud="microsoftonline.us"), 90038, "S2", None),
    (asked(proof=PasswordProof(correct=True, locked=True)), BARE, 50053, "S3", None),
    (asked(account=None), BARE, 50034, "S3", None),
    (asked(account=(HOME, "nobody")), BARE, 50034, "S3", None),
    (asked(proof=MethodProof("fido2", correct=False)), BARE, 50126, "S3", None),
    (asked(), home_user(enabled=False), 50057, "S3", None),
    (asked(proof=replace(SESSION, revoked=True)), BARE, 50173, "S3", None),
    (asked(), tenants({"default": {"b2bCollaborationOutbound": CLOSED}}), 500212, "S4", None),
    (asked(path="b2bDirectConnect"), tenants(None, DIRECT), 500212, "S4", None),
    (asked(path="serviceProvider"), tenants({"default": {"blockServiceProviderOutboundAccess": True}}, PROVIDER),
     500212, "S4", None),
    (asked(), tenants(None, {"default": {"b2bCollaborationInbound": CLOSED}}), 500213, "S5", None),
    (asked(path="b2bDirectConnect"), tenants(DIRECT), 500213, "S5", None),
    (asked(path="serviceProvider"), BARE, 500213, "S5", None),
    (asked(STRANGER), BARE, 50020, "S6", None),
    (asked(DISABLED), BARE, 50057, "S6", None),
    # a disabled object keeps its person out on every path
    (asked(DISABLED, "b2bDirectConnect"), tenants(DIRECT, DIRECT), 50057, "S6", None),
    (asked(PENDING), BARE, 50014, "S7", Task.REDEMPTION),
    (asked(PENDING_PASSCODE), BARE, 50014, "S7", Task.REDEMPTION),
    # pending, and the domain has been blocked since: accepting would not help
    (asked(PENDING, consented=True), unlisted(), 50014, "S7", None),
    (asked(PENDING_PASSCODE, consented=True), unlisted(), 50014, "S7", None),
    (asked(), unassigned(), 50105, "S8", None),
    (asked(application_consent=ApplicationConsent.MISSING), BARE, 65001, "S8", Task.CONSENT),
    (asked(application_consent=ApplicationConsent.ADMINISTRATOR), BARE, 90094, "S8", None),
    (asked(), demanding(BARE, "block"), 53003, "S9", None),
    (asked(path="b2bDirectConnect"), demanding(tenants(DIRECT, DIRECT), "mfa"), 90071, "S10", None),
    (asked(), demanding(BARE, "compliantDevice"), 53000, "S10", None),
]
CONDITIONAL_ACCESS, PROVIDER_TESTS = "tests/unit/policy/conditional_access", "tests/integration/idp"
PROTOCOL, FEDERATION = "tests/unit/policy/test_protocol_rules.py", "tests/unit/policy/federation"
# The codes that no sign-in decision of ours gives, and the tests of the part that does.
ELSEWHERE = {
    **dict.fromkeys((50076, 50079, 50078, 50074, 50155, 50097, 50142, 50158), CONDITIONAL_ACCESS),
    **dict.fromkeys((53001, 53002, 53004, 53009, 53010, 53011, 70043), CONDITIONAL_ACCESS),
    **dict.fromkeys((50011, 700054, 70011, 28000, 50147), PROTOCOL),
    **dict.fromkeys((900144, 700025, 70003, 50148, 9002313, 700005, 700009, 70008, 54005, 700030), PROVIDER_TESTS),
    **dict.fromkeys((70016, 70017, 70018, 70019, 70020, 50058, 65004, 90013, 90024, 90033, 90090), PROVIDER_TESTS),
    **dict.fromkeys((50107, 50008, 40010, 5000819), FEDERATION),
}


@pytest.mark.parametrize(("question", "directory", "code", "step", "task"), REACHED)
def test_refusals_are_reached(
    question: SignInRequest, directory: Directory, code: int, step: str, task: Task | None
) -> None:
    """Code, step, version and what could still be done; the last line of the trace is the refusal."""
    outcome = evaluate(question, directory, NOW)
    assert isinstance(outcome, Deny)
    assert (outcome.code, outcome.trace[-1].step) == (code, step)
    assert (outcome.interaction.task if outcome.interaction else None) == task
    assert outcome.trace[-1].effect == ("interrupt" if task else "block")
    names = [number for number, _, _ in STEPS]
    order = [names.index(line.step) for line in outcome.trace]
    assert order == sorted(order)
    assert order[-1] == names.index(step)


def test_every_code_has_somebody_who_reaches_it() -> None:
    """A new code is reached here, or listed with the tests of the part that gives it."""
    reached = {code for _, _, code, _, _ in REACHED}
    assert reached | ELSEWHERE.keys() == _TABLE.keys()
    assert not reached & ELSEWHERE.keys()
    missing = {place for place in ELSEWHERE.values() if not (ROOT / place).exists()}
    assert not missing


def test_trust_decides_where_the_second_factor_is_used() -> None:
    """With trust the factor of home counts; without it collaboration needs one here, and direct connect has none."""
    facts = SessionFacts(home=(MethodUse("password", NOW), MethodUse("softwareOath", NOW)))
    for resource, path, code in (
        (TRUST, "b2bCollaboration", 0), ({}, "b2bCollaboration", 50079),
        ({"partners": {HOME: {**TRUST["partners"][HOME], **OPEN_DIRECT}}}, "b2bDirectConnect", 0),
        (DIRECT, "b2bDirectConnect", 90071),
        (PROVIDER, "serviceProvider", 0),
    ):
        directory = demanding(tenants(DIRECT, resource), "mfa")
        outcome = evaluate(asked(path=path, facts=facts), directory, NOW)
        assert (outcome.code if isinstance(outcome, Deny) else 0) == code, (resource, path)


def test_a_service_provider_needs_the_second_factor_of_home_without_any_policy() -> None:
    """Always required, always trusted."""
    outcome = evaluate(asked(STRANGER), tenants(None, PROVIDER), NOW)
    assert isinstance(outcome, Deny)
    assert (outcome.path, outcome.trace[-1].step) == (AccessPath.SERVICE_PROVIDER, "S10")
    assert outcome.interaction is not None
    assert outcome.interaction.place == "home"


def test_who_comes_without_an_object_gets_a_name_that_nobody_can_choose() -> None:
    """The value that stands for them is theirs alone, a guest in no group; tokens live an hour."""
    directory = tenants(DIRECT, DIRECT)
    outcome = evaluate(asked(STRANGER), directory, NOW)
    assert isinstance(outcome, Grant)
    assert (outcome.path, outcome.token_lifetime_s) == (AccessPath.DIRECT_CONNECT, 3600)
    user, account = outcome.user, outcome.home_user
    assert user.oid not in (account.oid, *directory.tenants[RESOURCE].users)
    assert (user.upn, user.home, user.groups, user.group_keys) == (account.upn, (HOME, STRANGER), (), frozenset())
    assert (user.user_type, user.way) == ("guest", "home")
    again = evaluate(asked(STRANGER), directory, NOW + 5)
    assert isinstance(again, Grant)
    assert again.user == user
    guest = evaluate(asked(), BARE, NOW)
    assert isinstance(guest, Grant)
    assert (guest.path, guest.token_lifetime_s) == (AccessPath.COLLABORATION, None)


def test_home_cannot_hand_out_the_object_id_of_somebody_here() -> None:
    """A home account whose id is that of a user of the tenant is still somebody else."""
    victim = next(iter(BARE.tenants[RESOURCE].users.values()))
    tenant = BARE.tenants[HOME]
    users = {**tenant.users, victim.oid: replace(tenant.users[STRANGER], oid=victim.oid)}
    directory = tenants(DIRECT, DIRECT)
    changed = replace(directory.tenants[HOME], users=users)
    directory = replace(directory, tenants={**directory.tenants, HOME: changed})
    outcome = evaluate(asked(account=(HOME, victim.oid)), directory, NOW)
    assert isinstance(outcome, Grant)
    assert outcome.user.oid != victim.oid


def test_accounts_from_outside_all_tenants_skip_the_partner_gates() -> None:
    """And the trace says why."""
    everything_closed = {"default": {"b2bCollaborationInbound": CLOSED, "b2bCollaborationOutbound": CLOSED}}
    outcome = evaluate(asked(PASSCODE), tenants(everything_closed, everything_closed), NOW)
    assert isinstance(outcome, Grant)
    assert outcome.path is AccessPath.COLLABORATION
    gates = [line.rule for line in outcome.trace if line.step in ("S4", "S5")]
    assert gates == ["mail: no home tenant, so no partner settings apply"] * 2
    elsewhere = evaluate(asked(PASSCODE, tenant=HOME, audience="00000003-0000-0000-c000-000000000000"), BARE, NOW)
    assert isinstance(elsewhere, Deny)
    assert (elsewhere.code, elsewhere.trace[-1].step) == (50020, "S6")


def test_an_accepted_domain_and_an_own_user() -> None:
    """The domain list is asked about pending guests only."""
    assert isinstance(evaluate(asked(), unlisted(), NOW), Grant)
    assert isinstance(evaluate(asked(PENDING, consented=True), BARE, NOW), Grant)
    assert isinstance(evaluate(asked(proof=RIGHT), BARE, NOW), Grant)
    assert isinstance(evaluate(asked(proof=MethodProof("fido2", correct=True)), BARE, NOW), Grant)
