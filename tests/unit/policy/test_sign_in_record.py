"""What each tenant may read about one sign-in: a table of secrets, and in whose record each must not be."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.integration.idp.world import ALEX, ALEX_F, CONTOSO, FABRIKAM, TAILSPIN, WIKI, WIKI_F, directory
from tunneld.policy.conditional_access.outcome import AccessVerdict, AppliedPolicy
from tunneld.policy.directory import DAEMON_CLIENT, Directory
from tunneld.policy.directory_document import read_directory
from tunneld.policy.directory_links import link_directory
from tunneld.policy.facts import AccessPath, DeviceFacts, MethodUse, Restrictions, SessionFacts, Surroundings
from tunneld.policy.refusals import refusal
from tunneld.policy.sign_in_record import NOBODY, Moment, Record, masked, records_of
from tunneld.policy.sign_in_values import Deny, PasswordProof, SignInRequest
from tunneld.policy.trace import TraceStep

MOMENT = Moment("2026-03-01T09:30:00Z", "0" * 32, "password", "", ("id-1", "id-2", "id-3"))
TRUST = {"isMfaAccepted": True, "isCompliantDeviceAccepted": True, "isHybridAzureADJoinedDeviceAccepted": True}
FACTS = SessionFacts(
    home=(MethodUse("password", 1), MethodUse("softwareOath", 2)), resource=(MethodUse("email", 3),),
    device=DeviceFacts("device-id", CONTOSO, "LAPTOP-7", "Linux", compliant=True, hybrid_joined=True),
    user_risk="medium", sign_in_risk="low",
)
ACCESS = AccessVerdict(applied=(AppliedPolicy("policy-id", "Guests need MFA", "failure", ("mfa",)),), contexts=("c7",))
TRACE = (
    TraceStep("S0", "request", "fabrikam", "pass", "application"),
    TraceStep("S3", "home authentication", "contoso", "pass", "password"),
    TraceStep("S4", "home outbound", "contoso", "pass", "users of the home", "b2bCollaborationOutbound", "partner"),
    TraceStep("S5", "resource inbound", "fabrikam", "pass", "users here", "b2bCollaborationInbound", "default"),
)


def world(**fabrikam: Any) -> Directory:
    document = directory()
    document["tenants"][1]["objects"] = fabrikam
    return link_directory(read_directory(json.dumps(document), where="d"), {}, where="d")


TRUSTING = world(crossTenantAccessPartner=[{"tenantId": CONTOSO, "inboundTrust": TRUST}])


def split(
    code: int = 53003, *, last: TraceStep | None = None, there: Directory = TRUSTING, sentence: str | None = None,
    facts: SessionFacts = FACTS, around: Surroundings = Surroundings(), tenant: str = FABRIKAM, audience: str = WIKI_F,
) -> dict[str, dict[str, Any]]:
    """Return the records of a refused visit of Alex, by tenant."""
    step = last or TraceStep("S9", "policies", "fabrikam", "block", f"AADSTS{code}")
    trace = (*(each for each in TRACE if each.step < step.step), step)
    proof = PasswordProof(True, False)
    request = SignInRequest(tenant, DAEMON_CLIENT, audience, (CONTOSO, ALEX), proof, False, facts, around)
    path = AccessPath.COLLABORATION if tenant == FABRIKAM else AccessPath.NONE
    outcome = Deny(refusal(code, sentence), trace, None, path, ACCESS)
    records: tuple[Record, ...] = records_of(request, outcome, there, MOMENT)
    assert len({record.body["id"] for record in records}) == len(records)
    return {record.tenant_id: dict(record.body) for record in records}


def test_both_tenants_agree_on_what_happened() -> None:
    found = split()
    home, resource = found[CONTOSO], found[FABRIKAM]
    for member in ("correlationId", "createdDateTime", "homeTenantId", "resourceTenantId", "crossTenantAccessType",
                   "appId", "resourceId"):
        assert home[member] == resource[member]
    assert home["status"]["errorCode"] == resource["status"]["errorCode"] == 53003
    assert (home["userId"], home["userType"], home["homeTenantName"]) == (ALEX, "member", "contoso")
    assert (resource["userId"], resource["userType"]) == (ALEX_F, "guest")
    assert resource["userPrincipalName"] == "alex@contoso.example"
    assert resource["conditionalAccessStatus"] == "failure"
    assert home["authenticationMethodsUsed"] == ["password", "softwareOath"]
    assert [step["step"] for step in home["decisionTrace"]] == ["S3", "S4"]
    assert [step["step"] for step in resource["decisionTrace"]] == ["S0", "S5", "S9"]


@pytest.mark.parametrize(
    "secret",
    ["Guests need MFA", "policy-id", "c7", ALEX_F, "users here", "b2bCollaborationInbound", "Wiki", "email",
     "Alex (guest)", "Room 7"],
)
def test_the_home_tenant_learns_nothing_of_the_other(secret: str) -> None:
    """A refusal's own sentence may name what is there; the home reads the published one."""
    text = json.dumps(split(sentence="Room 7 is closed.")[CONTOSO])
    assert secret not in text
    assert secret in json.dumps(split(sentence="Room 7 is closed.")[FABRIKAM])


@pytest.mark.parametrize(
    "secret", [ALEX, "softwareOath", "LAPTOP-7", "device-id", "users of the home", "b2bCollaborationOutbound", "medium",
               '"homeTenantName": "contoso"', "Alex Berg"],
)
def test_the_visited_tenant_learns_nothing_of_the_home(secret: str) -> None:
    found = split()
    assert secret not in json.dumps(found[FABRIKAM])
    assert secret in json.dumps(found[CONTOSO])


def test_claims_of_the_home_are_shown_as_far_as_they_are_trusted() -> None:
    trusted, untrusted = split()[FABRIKAM], split(there=world())[FABRIKAM]
    assert trusted["status"]["additionalDetails"] == "MFA satisfied by claim in home tenant"
    assert trusted["deviceDetail"]["isCompliant"] is True
    assert untrusted["status"]["additionalDetails"] is None
    assert (untrusted["deviceDetail"]["isCompliant"], untrusted["deviceDetail"]["trustType"]) == (None, None)
    single = split(facts=replace(FACTS, home=FACTS.home[:1]))[FABRIKAM]
    assert single["status"]["additionalDetails"] is None


def test_kept_back_by_the_home_is_masked() -> None:
    """500212: the visited tenant learns that somebody was kept back, and not who."""
    last = TraceStep("S4", "home outbound", "contoso", "block", "AADSTS500212", "b2bCollaborationOutbound", "partner")
    found = split(500212, last=last)
    resource = found[FABRIKAM]
    assert (resource["userPrincipalName"], resource["userId"]) == ("{PII Removed}@contoso.example", NOBODY)
    text = json.dumps(resource)
    secrets = ("alex", ALEX, ALEX_F, "Alex", "Outbound", "Guests need", "LAPTOP")
    assert not [secret for secret in secrets if secret in text]
    assert found[CONTOSO]["decisionTrace"][-1]["setting"] == "b2bCollaborationOutbound"


def test_refused_by_the_visited_tenant_says_nothing_of_it_at_home() -> None:
    last = TraceStep("S5", "resource inbound", "fabrikam", "block", "users here", "b2bCollaborationInbound", "partner")
    found = split(500213, last=last)
    assert "Inbound" not in json.dumps(found[CONTOSO])
    assert found[CONTOSO]["resourceDisplayName"] is None
    assert found[FABRIKAM]["decisionTrace"][-1]["setting"] == "b2bCollaborationInbound"


def test_who_proved_nothing_is_unknown_to_the_tenant_beyond() -> None:
    last = TraceStep("S3", "home authentication", "contoso", "block", "AADSTS50126")
    assert split(50126, last=last).keys() == {CONTOSO}


@pytest.mark.parametrize(
    ("code", "headers", "tenants"),
    [
        (5000211, Restrictions(v2=(f"{TAILSPIN}:{WIKI}",)), {TAILSPIN, CONTOSO}),
        (500021, Restrictions(v1_tenants="tailspin.example", v1_context=TAILSPIN), {TAILSPIN}),
        (5000211, Restrictions(v2=("nonsense",)), {CONTOSO}),
    ],
)
def test_the_owner_of_a_network_learns_no_name(code: int, headers: Restrictions, tenants: set[str]) -> None:
    last = TraceStep("S1", "tenant restrictions", "tailspin", "block", f"AADSTS{code}")
    found = split(code, last=last, around=Surroundings(restrictions=headers))
    assert found.keys() == tenants
    assert all(body["isTenantRestricted"] and body["status"]["errorCode"] == code for body in found.values())
    if TAILSPIN in found:
        owner = found[TAILSPIN]
        assert (owner["userPrincipalName"], owner["userId"]) == ("{PII Removed}@contoso.example", NOBODY)
        secrets = ("alex", "Alex", ALEX, ALEX_F, "softwareOath", "LAPTOP")
        assert not [secret for secret in secrets if secret in json.dumps(owner)]
    if CONTOSO in found:
        assert found[CONTOSO]["userId"] == ALEX


def test_at_home_there_is_one_whole_record() -> None:
    found = split(tenant=CONTOSO, audience=WIKI)
    assert found.keys() == {CONTOSO}
    body = found[CONTOSO]
    assert (body["crossTenantAccessType"], body["resourceDisplayName"], body["userId"]) == ("none", "Wiki", ALEX)
    assert body["authenticationMethodsUsed"] == ["email", "password", "softwareOath"]
    assert body["appliedConditionalAccessPolicies"][0]["displayName"] == "Guests need MFA"


def test_masking_never_keeps_the_user() -> None:
    assert (masked("a@b@c.example"), masked("alex")) == ("{PII Removed}@c.example", "{PII Removed}")
