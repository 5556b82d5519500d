"""What a verdict says beyond yes and no: the task, its methods, the session, the contexts, the trace."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.conditional_access_oracle import HOME, sign_in
from tests.support.conditional_access_world import Json, decide, grant, policy, policy_id
from tunneld.policy.conditional_access.outcome import Interaction, SessionControls, Task
from tunneld.policy.facts import Place

TERMS, OTHER_TERMS, STRENGTH, WEAK, UNUSABLE = (f"99999999-0000-4000-8000-00000000000{n}" for n in range(1, 6))
MEMBER: Json = {"type": "member", "authenticates": "here", "path": "none"}
PASSCODE: Json = {"authenticates": "outside"}
DIRECT: Json = {"type": None, "path": "b2bDirectConnect"}
PROVIDER: Json = {"type": None, "path": "serviceProvider"}
TRUSTING: Json = {"trust": ["mfa", "compliant", "hybrid"]}
TOTP: Json = {"home_registered": ["softwareOath"], "resource_registered": ["softwareOath"]}
STRENGTHS = tuple(
    {"id": identifier, "displayName": "S", "allowedCombinations": combinations}
    for identifier, combinations in (
        (STRENGTH, ["softwareOath, password", "password,sms", "fido2"]), (WEAK, ["password"]),
        (UNUSABLE, ["password,hardwareOath", "windowsHelloForBusiness"]),
    )
)


def strength(identifier: str) -> Json:
    return grant(authenticationStrength={"id": identifier, "displayName": "as Graph shows it"})


def methods(*combinations: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(each.split(",")) for each in combinations)


SINGLES = methods("microsoftAuthenticatorPush", "sms", "softwareOath", "voice")
ONE = (policy_id(1),)
TASKS: list[tuple[str, Json, Json, int, Interaction | None]] = [
    ("factor at home", grant("mfa"), {**TRUSTING, **TOTP}, 50076, Interaction(Task.MFA, Place.HOME, (), ONE)),
    ("factor here", grant("mfa"), TOTP, 50076, Interaction(Task.MFA, Place.RESOURCE, methods("softwareOath"), ONE)),
    ("nothing registered at home", grant("mfa"), TRUSTING, 50079, Interaction(Task.REGISTER_MFA, Place.HOME, (), ONE)),
    ("nothing registered here", grant("mfa"), {"home_registered": ["fido2"]}, 50079,
     Interaction(Task.REGISTER_MFA, Place.RESOURCE, SINGLES, ONE)),
    ("an own user", grant("mfa"), {**MEMBER, **TOTP}, 50076, Interaction(Task.MFA, Place.HOME, (), ONE)),
    ("a passcode guest whom trust does not concern", grant("mfa"), {**PASSCODE, **TRUSTING, **TOTP}, 50076,
     Interaction(Task.MFA, Place.RESOURCE, methods("softwareOath"), ONE)),
    ("strength at home", strength(STRENGTH), {**TRUSTING, **TOTP}, 50076,
     Interaction(Task.MFA, Place.HOME, methods("password,softwareOath"), ONE)),
    ("strength at home, nothing registered", strength(STRENGTH), TRUSTING, 50079,
     Interaction(Task.REGISTER_MFA, Place.HOME, methods("fido2", "password,sms", "password,softwareOath"), ONE)),
    ("strength here", strength(STRENGTH), TOTP, 50076,
     Interaction(Task.MFA, Place.RESOURCE, methods("softwareOath"), ONE)),
    ("strength here, nothing registered", strength(STRENGTH), {}, 50079,
     Interaction(Task.REGISTER_MFA, Place.RESOURCE, methods("sms", "softwareOath"), ONE)),
    ("strength of nothing usable here", strength(UNUSABLE), TOTP, 53003, None),
    ("strength of a password alone", strength(WEAK), {**TRUSTING}, 0, None),
    ("strength of a password alone, here", strength(WEAK), {}, 53003, None),
    ("strength that is gone", strength(HOME), MEMBER, 53003, None),
    ("device at home", grant("compliantDevice"), TRUSTING, 50097, Interaction(Task.DEVICE, Place.HOME, (), ONE)),
    ("joined device at home", grant("domainJoinedDevice"), TRUSTING, 53001,
     Interaction(Task.DEVICE, Place.HOME, (), ONE)),
    ("device over direct connect", grant("compliantDevice"), {**DIRECT, **TRUSTING}, 53000, None),
    ("device without trust", grant("compliantDevice"), {"trust": ["hybrid"]}, 53000, None),
    ("terms", grant(termsOfUse=[OTHER_TERMS, TERMS]), {}, 50158,
     Interaction(Task.TERMS_OF_USE, Place.RESOURCE, (), ONE, TERMS)),
    ("second terms", grant(termsOfUse=[OTHER_TERMS, TERMS]), {"terms": [TERMS]}, 50158,
     Interaction(Task.TERMS_OF_USE, Place.RESOURCE, (), ONE, OTHER_TERMS)),
    ("terms over direct connect", grant(termsOfUse=[TERMS]), DIRECT, 53003, None),
    ("factor over direct connect", grant("mfa"), DIRECT, 90071, None),
    ("factor over direct connect, trusted", grant("mfa"), {**DIRECT, **TRUSTING, **TOTP}, 50076,
     Interaction(Task.MFA, Place.HOME, (), ONE)),
    ("either of two", grant("compliantDevice", "mfa", operator="OR"), TOTP, 50076,
     Interaction(Task.MFA, Place.RESOURCE, methods("softwareOath"), ONE)),
    ("either of two that cannot be met", grant("approvedApplication", "compliantApplication", operator="OR"), {}, 53002,
     None),
    ("what comes first in the order", grant("domainJoinedDevice", "mfa"), TOTP, 50076,
     Interaction(Task.MFA, Place.RESOURCE, methods("softwareOath"), ONE)),
    ("own user's approved client", grant("approvedApplication"), MEMBER, 0, None),
    ("own user's other client", grant("approvedApplication"), {**MEMBER, "approved_client": False}, 53002, None),
    ("a new password", grant("passwordChange"), MEMBER, 50142, None),
    ("a guest's new password", grant("passwordChange"), {}, 53003, None),
    ("service provider", strength(STRENGTH), {**PROVIDER, **TOTP}, 50076,
     Interaction(Task.MFA, Place.HOME, methods("password,softwareOath"), ONE)),
]  # fmt: skip


@pytest.mark.parametrize(("controls", "facts", "code", "interaction"), [row[1:] for row in TASKS],
                         ids=[row[0] for row in TASKS])  # fmt: skip
def test_tasks(controls: Json, facts: Json, code: int, interaction: Interaction | None) -> None:
    """Exactly what page would help, or none."""
    verdict = decide(sign_in(**facts), policy(grantControls=controls), authenticationStrengthPolicy=STRENGTHS)
    assert (verdict.refusal.code if verdict.refusal else 0) == code
    assert verdict.interaction == interaction


def test_risk_stands_before_registration() -> None:
    """In a risky sign-in nothing may be registered; a factor that is registered already will do."""
    body = policy(signInRiskLevels=["high"], grantControls=grant("mfa"))
    blocked = decide(sign_in(sign_in_risk="high"), body)
    assert blocked.refusal is not None
    assert (blocked.refusal.code, blocked.interaction) == (53004, None)
    asked = decide(sign_in(sign_in_risk="high", **TOTP), body)
    assert asked.interaction is not None
    assert asked.interaction.task is Task.MFA


def test_a_guests_risk_cannot_be_mended_here() -> None:
    """User risk is home's: a guest cannot change a password in the tenant that asks."""
    body = policy(userRiskLevels=["high"], grantControls=grant("passwordChange"))
    verdict = decide(sign_in(user_risk="high"), body)
    assert verdict.refusal is not None
    assert verdict.refusal.code == 53011


def test_a_block_on_registration_has_its_own_code() -> None:
    """53010 says that this is not the place to register; other actions are blocked as anything is."""
    for action, code in (("urn:user:registersecurityinfo", 53010), ("urn:user:registerdevice", 53003)):
        body = policy(applications={"includeUserActions": [action]}, grantControls=grant("block"))
        verdict = decide(sign_in(action=action), body)
        assert verdict.refusal is not None
        assert (verdict.refusal.code, verdict.interaction) == (code, None)


def test_several_policies_ask_together() -> None:
    """One page for all that ask alike: combinations that satisfy each of them, and every policy's id."""
    bodies = [policy(1, grantControls=grant("mfa")), policy(2, grantControls=strength(STRENGTH)),
              policy(3, grantControls=grant("compliantDevice"))]  # fmt: skip
    verdict = decide(sign_in(**TRUSTING, **TOTP), *bodies, authenticationStrengthPolicy=STRENGTHS)
    assert verdict.interaction == Interaction(
        Task.MFA, Place.HOME, methods("password,softwareOath"), (policy_id(1), policy_id(2))
    )


def test_strengths_that_share_no_combination_are_asked_one_by_one() -> None:
    """Nothing satisfies both at once, so that the first policy's turn comes first."""
    both = ({"id": STRENGTH, "displayName": "A", "allowedCombinations": ["fido2"]},
            {"id": WEAK, "displayName": "B", "allowedCombinations": ["windowsHelloForBusiness"]})  # fmt: skip
    bodies = [policy(1, grantControls=strength(STRENGTH)), policy(2, grantControls=strength(WEAK))]
    who = sign_in(**TRUSTING, home_registered=["fido2", "windowsHelloForBusiness"])
    verdict = decide(who, *bodies, authenticationStrengthPolicy=both)
    assert verdict.interaction is not None
    assert verdict.interaction.methods == methods("fido2")


def test_what_cannot_be_met_comes_before_what_can() -> None:
    """Nobody is sent to a second factor when a strength beside it is out of reach."""
    bodies = [policy(1, grantControls=grant("mfa")), policy(2, grantControls=strength(UNUSABLE))]
    verdict = decide(sign_in(**TOTP), *bodies, authenticationStrengthPolicy=STRENGTHS)
    assert verdict.refusal is not None
    assert (verdict.refusal.code, verdict.interaction) == (53003, None)
    assert "No method" in verdict.refusal.sentence


def session(**members: Any) -> Json:
    return {"sessionControls": members}


def frequency(**members: Any) -> Json:
    return session(signInFrequency={"isEnabled": True, **members})


def browser(mode: str, **members: Any) -> Json:
    return session(persistentBrowser={"mode": mode, **members})


@pytest.mark.parametrize(
    ("bodies", "expected"),
    [
        ([], SessionControls()),
        ([frequency(value=2, type="hours")], SessionControls(7200)),
        ([frequency(value=2, type="Days"), frequency(value=3, type="hours")], SessionControls(10800)),
        ([frequency(frequencyInterval="everyTime"), frequency(value=3, type="hours")], SessionControls(0)),
        ([browser("always")], SessionControls(None, True)),
        ([browser("always"), browser("Never"), browser("always")], SessionControls(None, False)),
        ([browser("always", isEnabled=False)], SessionControls()),
        ([session(continuousAccessEvaluation={"mode": "strictlocation"}),
          session(continuousAccessEvaluation={"mode": "disabled"})], SessionControls(None, None, "strictLocation")),
        ([session(continuousAccessEvaluation={"mode": "disabled"})], SessionControls(None, None, "disabled")),
        ([{**browser("always"), "state": "enabledForReportingButNotEnforced"}], SessionControls()),
        ([{**browser("always"), "users": {"includeUsers": ["None"]}}], SessionControls()),
    ],
)  # fmt: skip
def test_sessions(bodies: list[Json], expected: SessionControls) -> None:
    """The strictest of each control, of the policies that apply and are enforced."""
    policies = [policy(number, **body) for number, body in enumerate(bodies)]
    assert decide(sign_in(), *policies).session == expected
    assert decide(sign_in(**DIRECT), *policies).session == SessionControls()


def test_names_of_session_controls_in_the_log() -> None:
    """Those that another service would enforce are shown too."""
    body = policy(sessionControls={
        "signInFrequency": {"value": 1, "type": "days"}, "persistentBrowser": {"mode": "never"},
        "applicationEnforcedRestrictions": {"isEnabled": True},
        "cloudAppSecurity": {"isEnabled": False, "cloudAppSecurityType": "monitorOnly"},
        "continuousAccessEvaluation": {"mode": "strictEnforcement"}, "disableResilienceDefaults": True,
    })  # fmt: skip
    (line,) = decide(sign_in(), body).applied
    assert line.session_controls == (
        "signInFrequency", "persistentBrowser", "applicationEnforcedRestrictions", "continuousAccessEvaluation",
        "disableResilienceDefaults",
    )


CONTEXTS = ({"id": "c1", "displayName": "Strong", "isAvailable": True}, {"id": "c2", "displayName": "Draft"},
            {"id": "c25", "displayName": "Unused", "isAvailable": True})  # fmt: skip


def contexts_of(asked: list[str], **facts: Any) -> tuple[tuple[str, ...], int]:
    applications = {"includeAuthenticationContextClassReferences": ["c1", "c2"]}
    body = policy(applications=applications, grantControls=grant("mfa"))
    verdict = decide(
        sign_in(contexts=asked, **facts), body, authenticationContextClassReference=CONTEXTS
    )
    return verdict.contexts, verdict.refusal.code if verdict.refusal else 0


def test_authentication_contexts() -> None:
    """A context is granted when it is asked for, published, and its policies are satisfied."""
    factor = {"resource_methods": {"softwareOath": 1000}}
    assert contexts_of([]) == ((), 0)
    assert contexts_of(["c1"]) == ((), 50079)
    assert contexts_of(["c1"], **factor) == (("c1",), 0)
    assert contexts_of(["c25", "c1", "c1"], **factor) == (("c1", "c25"), 0)
    assert contexts_of(["c25"]) == (("c25",), 0)  # no policy asks anything for it
    assert contexts_of(["c2"]) == ((), 0)  # not published: neither granted nor enforced
    assert contexts_of(["c99"]) == ((), 0)


def test_service_providers_use_a_factor_at_home_whatever_policies_say() -> None:
    """Even without any policy, and whatever the trust settings are."""
    verdict = decide(sign_in(**PROVIDER, **TOTP))
    assert verdict.refusal is not None
    assert verdict.refusal.code == 50076
    assert verdict.interaction == Interaction(Task.MFA, Place.HOME)
    assert [(step.step, step.effect) for step in verdict.trace] == [("S10", "interrupt")]
    assert decide(sign_in(**PROVIDER, home_methods={"fido2": 1})).refusal is None


def test_trace() -> None:
    """Which policies apply, then what is missing: grant controls before session controls."""
    bodies = [
        policy(1, grantControls=grant("mfa"), **frequency(value=1, type="hours")),
        policy(2, grantControls=grant("compliantDevice")),
        policy(3, state="enabledForReportingButNotEnforced", grantControls=grant("block")),
        policy(4, grantControls=grant(termsOfUse=[TERMS])),
        policy(5, users={"includeUsers": ["None"]}),
    ]
    verdict = decide(sign_in(now=90000, terms=[TERMS]), *bodies)
    one, two, three, four = (policy_id(number) for number in range(1, 5))
    assert [(step.step, step.effect, step.rule) for step in verdict.trace] == [
        ("S9", "pass", f"policy {one} asks for mfa, signInFrequency"),
        ("S9", "pass", f"policy {two} asks for compliantDevice"),
        ("S9", "report", f"policy {three} asks for block"),
        ("S9", "pass", f"policy {four} asks for termsOfUse:{TERMS}"),
        ("S10", "interrupt", f"policy {one} AADSTS50079 mfa at resource"),
        ("S10", "block", f"policy {two} AADSTS53000 compliantDevice"),
        ("S11", "interrupt", f"policy {one} AADSTS70043 signInFrequency at home"),
    ]
    assert {step.tenant for step in verdict.trace} == {"resource"}
    assert {step.setting for step in verdict.trace} == {"conditionalAccessPolicy"}
    (blocked,) = decide(sign_in(), policy(1, grantControls=grant("block"))).trace
    assert (blocked.step, blocked.effect) == ("S9", "block")
