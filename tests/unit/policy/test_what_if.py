"""Hypothetical sign-ins, and recorded ones asked again of another policy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.policy.documents import ALEX, APP, BOB, GUEST, HOME, LOCKED_APP, RESOURCE, document, link
from tunneld.policy.cross_tenant.effective import CLOSED, CrossTenantPolicy, Settings
from tunneld.policy.directory import DIRECTORY_API, Directory
from tunneld.policy.objects import Conflict
from tunneld.policy.overlay import with_tenant
from tunneld.policy.replay import GAINS, LOSES, OTHERWISE, Comparison, RecordedSignIn, replay
from tunneld.policy.sign_in import Grant, MethodProof, SessionProof, SignInRequest, evaluate
from tunneld.policy.what_if import Hypothesis, SupposedDevice, answer_json, decided_by, find_account, suppose

NOW = 2_000_000_000


@pytest.fixture(scope="module")
def directory() -> Directory:
    return link(document())


def asked(directory: Directory, tenant: str = RESOURCE, **members: Any) -> SignInRequest | Conflict:
    return suppose(Hypothesis(**members), directory.tenants[tenant], directory, NOW)


def blocking(directory: Directory, partner: str = HOME) -> Directory:
    """The same world after the resource tenant has blocked a partner."""
    tenant = directory.tenants[RESOURCE]
    settings = CrossTenantPolicy(partners={partner: Settings(collaboration_inbound=CLOSED)})
    return with_tenant(directory, replace(tenant, policy=replace(tenant.policy, cross_tenant=settings)))


@pytest.mark.parametrize(
    ("text", "account"),
    [
        ("alex@home.example", (HOME, ALEX)), (" ALEX@home.example ", (HOME, ALEX)), (GUEST, (HOME, ALEX)),
        ("alex_home.example#EXT#@resource.example", (HOME, ALEX)), (ALEX, (HOME, ALEX)), ("nobody", None), ("", None),
    ],
)
def test_people_are_found_by_name_or_id(directory: Directory, text: str, account: tuple[str, str] | None) -> None:
    """A guest's object stands for the account at home."""
    assert find_account(text, directory.tenants[RESOURCE], directory) == account


def test_a_supposed_sign_in_is_decided_as_a_real_one(directory: Directory) -> None:
    """And its answer says what a log record says."""
    request = asked(directory, user="alex@home.example", application="App")
    assert isinstance(request, SignInRequest)
    assert request.audience == APP
    real = SignInRequest(RESOURCE, request.client_id, APP, (HOME, ALEX), MethodProof("password", True), True)
    outcome = evaluate(request, directory, NOW)
    assert [step.to_json() for step in outcome.trace] == [
        step.to_json() for step in evaluate(real, directory, NOW).trace
    ]
    answer = answer_json(outcome)
    assert (answer["decision"], answer["errorCode"], answer["decidedBy"]) == ("grant", 0, "granted")


def test_a_refusal_names_its_step(directory: Directory) -> None:
    """The line is the same for the same settings, so that people can be grouped by it."""
    request = asked(directory, user="alex@home.example", application=LOCKED_APP)
    assert isinstance(request, SignInRequest)
    answer = answer_json(evaluate(request, directory, NOW))
    assert (answer["decision"], answer["errorCode"]) == ("deny", 50105)
    assert answer["decidedBy"] == "AADSTS50105 at S8 assignment in resource"
    assert answer["decisionTrace"][-1]["step"] == "S8"


def test_an_unknown_person_is_a_conflict_and_an_unknown_application_a_refusal(directory: Directory) -> None:
    """A name that may be a typing mistake is not answered with a decision about nobody."""
    nobody = asked(directory, user="nobody@home.example")
    assert isinstance(nobody, Conflict)
    assert nobody.status == 404
    request = asked(directory, user="alex@home.example", application="no-such-thing")
    assert isinstance(request, SignInRequest)
    assert answer_json(evaluate(request, directory, NOW))["errorCode"] == 500011


def test_supposed_facts_reach_the_decision(directory: Directory) -> None:
    """Each member of the question ends in the fact that it names."""
    request = asked(
        directory, user="alex@home.example", ip_address="192.0.2.1", country="de", device_platform="linux",
        client_app_type="other", access_type="b2bDirectConnect", methods_at_home=("fido2",),
        methods_at_resource=("softwareOath",), device=SupposedDevice(is_compliant=True), terms_accepted=("t",),
        user_risk_level="high", sign_in_risk_level="low", authentication_contexts=("c1",), redeemed=False,
        methods_age_seconds=60, interactive=False,
    )
    assert isinstance(request, SignInRequest)
    around, facts = request.around, request.facts
    assert (around.address, around.country, around.platform, around.client_app, around.contexts) == (
        "192.0.2.1", "DE", "linux", "other", ("c1",)
    )
    assert (str(around.path), around.interactive, request.consented) == ("b2bDirectConnect", False, False)
    assert [use.method for use in facts.home] == ["fido2"]
    assert [use.at for use in facts.resource] == [NOW - 60]
    assert facts.device is not None
    assert (facts.device.compliant, facts.device.hybrid_joined, facts.device.tenant_id) == (True, False, HOME)
    assert (facts.user_risk, facts.sign_in_risk, facts.terms_accepted) == ("high", "low", frozenset({"t"}))
    assert request.proof == SessionProof(NOW - 60, False, 60 + 3600)


RECORDS = tuple(
    RecordedSignIn(f"r{number}", NOW, SignInRequest(tenant, "7d2f3c9e-6b1a-4e5d-9a40-1f6c8e2b5a10", audience, account,
                                                    MethodProof("password", True), consented))
    for number, (tenant, audience, account, consented) in enumerate([
        (HOME, DIRECTORY_API, (HOME, ALEX), False), (RESOURCE, APP, (HOME, ALEX), False),
        (RESOURCE, APP, (HOME, ALEX), False), (RESOURCE, LOCKED_APP, (HOME, ALEX), False),
        (RESOURCE, APP, (HOME, BOB), True), (RESOURCE, APP, (HOME, BOB), False), (RESOURCE, APP, None, False),
        ("gone", APP, ("gone", BOB), False),
    ])
)


def test_the_policy_in_force_changes_nothing_for_anybody(directory: Directory) -> None:
    """Whatever was recorded, even for a tenant that is gone."""
    found = replay(RECORDS, directory, directory)
    assert (found.replayed, found.unchanged, found.differences) == (len(RECORDS), len(RECORDS), ())


def test_blocking_a_partner_shows_exactly_whom_it_hits(directory: Directory) -> None:
    """Grouped by person, application and deciding step; home's own sign-ins stay as they are."""
    found = replay(RECORDS, directory, blocking(directory))
    rows = [(row.change, row.user, row.application, row.sign_ins) for row in found.differences]
    assert rows == [
        (LOSES, "alex@home.example", "App", ("r1", "r2")), (OTHERWISE, "alex@home.example", "Locked", ("r3",)),
        (OTHERWISE, "bob@home.example", "App", ("r5",)), (OTHERWISE, "bob@home.example", "App", ("r4",)),
    ]
    assert all("S5" in row.after and "AADSTS500213" in row.after for row in found.differences)
    assert found.differences[0].before == "granted"
    assert found.summary() == {
        "signInsReplayed": 8, "signInsUnchanged": 3, "usersGaining": 0, "usersLosing": 1, "usersRefusedOtherwise": 2,
    }


def test_lifting_the_block_gives_back_what_it_took(directory: Directory) -> None:
    """Gains are losses read backwards."""
    there, back = (
        replay(RECORDS, *pair) for pair in ((directory, blocking(directory)), (blocking(directory), directory))
    )

    def people(found: Comparison, change: str) -> set[tuple[str, str]]:
        return {(row.user, row.application) for row in found.differences if row.change == change}

    assert people(there, LOSES) == people(back, GAINS) != set()


def test_a_grant_is_decided_by_nothing(directory: Directory) -> None:
    """Two grants never differ."""
    outcome = evaluate(RECORDS[1].request, directory, NOW)
    assert isinstance(outcome, Grant)
    assert decided_by(outcome) == "granted"
