"""Every user class under every trust with every control: the evaluator agrees with the slow oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations, product
from typing import Any

import pytest

from tests.support.conditional_access_oracle import HOME, TENANT, judge, sign_in
from tests.support.conditional_access_world import Json, grant, policy, subject, summary, tenant
from tunneld.policy.conditional_access.evaluate import evaluate_access

CLASSES: dict[str, Json] = {
    "member": {"type": "member", "authenticates": "here", "path": "none"},
    "internalGuest": {"type": "guest", "authenticates": "here", "path": "none"},
    "collaboration guest": {"type": "guest", "authenticates": "home"},
    "collaboration member": {"type": "member", "authenticates": "home"},
    "direct connect": {"type": None, "path": "b2bDirectConnect"},
    "service provider": {"type": None, "path": "serviceProvider"},
    "passcode guest": {"type": "guest", "authenticates": "outside"},
    "other": {"type": None},
}
TRUST = [list(each) for size in range(4) for each in combinations(("mfa", "compliant", "hybrid"), size)]
TERMS = "99999999-0000-4000-8000-000000000001"
STRENGTHS = [f"00000000-0000-0000-0000-00000000000{n}" for n in (2, 3, 4)]
CUSTOM_STRENGTH = "99999999-0000-4000-8000-000000000002"
CONTROLS: dict[str, Json] = {
    **{
        name: {"builtInControls": [name]}
        for name in ("mfa", "compliantDevice", "domainJoinedDevice", "approvedApplication", "compliantApplication",
                     "passwordChange")
    },
    **{f"strength {each[-1]}": {"authenticationStrength": {"id": each}} for each in STRENGTHS},
    "custom strength": {"authenticationStrength": {"id": CUSTOM_STRENGTH}},
    "terms": {"termsOfUse": [TERMS]},
    "custom": {"customAuthenticationFactors": ["f"]},
}  # fmt: skip
DEVICE = {"tenant": HOME, "compliant": True, "hybrid": False}
FACTS: dict[str, Json] = {
    "password": {},
    "able at home": {"home_registered": ["softwareOath"]},
    "able here": {"resource_registered": ["softwareOath"]},
    "passkey at home": {"home_methods": {"fido2": 990}},
    "factor at home": {"home_methods": {"password": 990, "softwareOath": 995}},
    "factor here": {"resource_methods": {"softwareOath": 995}, "resource_registered": ["softwareOath"]},
    "hardware token": {"home_methods": {"password": 990, "hardwareOath": 995}},
    "compliant": {"device": DEVICE},
    "joined": {"device": DEVICE | {"compliant": False, "hybrid": True}},
    "neither": {"device": DEVICE | {"compliant": False}},
    "own device": {"device": DEVICE | {"tenant": TENANT, "hybrid": True}},
    "accepted": {"terms": [TERMS]},
    "everything": {
        "home_methods": {"password": 990, "softwareOath": 995, "fido2": 995},
        "resource_methods": {"softwareOath": 995}, "device": DEVICE | {"hybrid": True}, "terms": [TERMS],
    },
}  # fmt: skip
OTHERS = {
    "authenticationStrengthPolicy": (
        {"id": CUSTOM_STRENGTH, "displayName": "S",
         "allowedCombinations": ["password,sms", "password,softwareOath", "fido2"]},
    ),
}
CUSTOM = {CUSTOM_STRENGTH: [{"password", "sms"}, {"password", "softwareOath"}, {"fido2"}]}


def sign_ins(class_name: str) -> Iterator[Json]:
    for trust, facts in product(TRUST, FACTS.values()):
        yield sign_in(**CLASSES[class_name], trust=trust, **facts)


def merged(one: Json, other: Json) -> Json:
    """Two controls in one policy; where both name a member, lists are joined."""
    both = dict(one)
    for name, value in other.items():
        both[name] = [*both[name], *value] if isinstance(both.get(name), list) else value
    return both


def policies() -> Iterator[Json]:
    """Each control alone, and each pair with either operator."""
    number = 0
    for control in CONTROLS.values():
        number += 1
        yield policy(number, grantControls={"operator": "AND", **control})
    for (one, other), operator in product(combinations(CONTROLS.values(), 2), ("AND", "OR")):
        if "authenticationStrength" in one and "authenticationStrength" in other:
            continue
        number += 1
        yield policy(number, grantControls={"operator": operator, **merged(one, other)})


@pytest.mark.parametrize("class_name", CLASSES)
def test_class_by_trust_by_control_by_facts_by_operator(class_name: str) -> None:
    """One policy at a time, over everything that decides whether it can be met."""
    seen: Counter[int] = Counter()
    for body in policies():
        at = tenant(body, **OTHERS)
        for who in sign_ins(class_name):
            expected = judge([body], who, strengths=CUSTOM)
            assert summary(evaluate_access(subject(who, at))) == expected, (body, who)
            seen[expected["code"]] += 1
    assert seen[0]
    assert len(seen) > 5


def timed(value: int | None, unit: str | None, **members: Any) -> Json:
    return {"signInFrequency": {"isEnabled": True, "value": value, "type": unit, **members}}


FREQUENCIES: dict[str, Json] = {
    "hour": timed(1, "hours"),
    "day": timed(1, "days"),
    "every time": timed(None, None, frequencyInterval="everyTime"),
    "second factor": timed(1, "hours", authenticationType="secondaryAuthentication"),
    "off": timed(1, "hours", isEnabled=False),
}
AGES: dict[str, Json] = {
    f"{ago} {name}": {"now": 1_000_000, **{
        member: {method: 1_000_000 - (ago if method != "password" else first) for method in methods}
        for member, methods in where.items()
    }}
    for ago, first in ((10, 10), (299, 10), (300, 10), (3600, 3599), (3599, 3600), (86400, 86399), (90000, 90000))
    for name, where in {
        "password": {"home_methods": ["password"]},
        "factor at home": {"home_methods": ["password", "softwareOath"]},
        "passkey": {"home_methods": ["fido2"]},
        "factor here": {"home_methods": ["password"], "resource_methods": ["softwareOath"]},
        "nothing": {"home_methods": []},
    }.items()
}  # fmt: skip


@pytest.mark.parametrize("class_name", CLASSES)
def test_sign_in_frequency(class_name: str) -> None:
    """A session's age against hours, days, every time and the second factor alone, with and without a factor asked."""
    seen: Counter[int] = Counter()
    for session, controls in product(FREQUENCIES.values(), ({}, {"grantControls": grant("mfa")})):
        body = policy(1, sessionControls=session, **controls)
        at = tenant(body)
        for trust, facts in product(([], ["mfa"]), AGES.values()):
            who = sign_in(**CLASSES[class_name], trust=trust, **facts)
            expected = judge([body], who)
            assert summary(evaluate_access(subject(who, at))) == expected, (body, who)
            seen[expected["code"]] += 1
    assert seen[0]
    assert (seen[70043] > 0) is (class_name != "direct connect")


def test_sets_of_policies_agree() -> None:
    """Pairs of policies in every state: across policies all must be satisfied, and reports change nothing."""
    bodies = list(policies())[: len(CONTROLS)]
    states = ("enabled", "disabled", "enabledForReportingButNotEnforced")
    for (one, other), state in product(combinations(bodies, 2), states):
        pair = [one, {**other, "state": state}]
        at = tenant(*pair, **OTHERS)
        for class_name in CLASSES:
            for facts in FACTS.values():
                who = sign_in(**CLASSES[class_name], trust=["mfa", "compliant"], **facts)
                assert summary(evaluate_access(subject(who, at))) == judge(pair, who, strengths=CUSTOM), (pair, who)
