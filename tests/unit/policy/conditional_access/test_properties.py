"""What holds for any set of policies and any sign-in."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.conditional_access_oracle import APP, HOME, TENANT, USER, judge, sign_in
from tests.support.conditional_access_world import Json, decide, policy, subject, summary, tenant
from tunneld.policy.conditional_access.evaluate import evaluate_access
from tunneld.policy.conditional_access.lint import lint_tenant
from tunneld.policy.conditional_access.outcome import AccessVerdict

OTHER, TERMS, OFFICE, LAB = (f"99999999-0000-4000-8000-00000000000{n}" for n in range(1, 5))
LOCATIONS: dict[str, Json] = {
    OFFICE: {"isTrusted": True, "ipRanges": [{"cidrAddress": "198.51.100.0/24"}]},
    LAB: {"countriesAndRegions": ["DE"], "includeUnknownCountriesAndRegions": True},
}
DOCUMENTS = tuple({"id": name, "displayName": "L", **each} for name, each in LOCATIONS.items())
TYPES = ["internalGuest", "b2bCollaborationGuest", "b2bCollaborationMember", "b2bDirectConnectUser",
         "otherExternalUser", "serviceProvider"]  # fmt: skip
STRENGTHS = [f"00000000-0000-0000-0000-00000000000{n}" for n in (2, 3, 4)]
REPORT_ONLY = "enabledForReportingButNotEnforced"


def some(*values: Any, most: int = 2) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), unique=True, max_size=most)


EXTERNAL = st.builds(
    lambda types, members: {
        "guestOrExternalUserTypes": ",".join(types),
        "externalTenants": {"membershipKind": "enumerated", "members": members} if members
        else {"membershipKind": "all"},
    },
    st.lists(st.sampled_from(TYPES), min_size=1, unique=True), some(HOME, OTHER),
)  # fmt: skip
USERS = st.fixed_dictionaries(
    {"includeUsers": st.sampled_from([["All"], ["GuestsOrExternalUsers"], [USER], [OTHER], ["None"], []])},
    optional={
        "excludeUsers": some(USER, OTHER, "GuestsOrExternalUsers"), "includeGroups": some(OTHER),
        "excludeGroups": some(OTHER), "includeGuestsOrExternalUsers": EXTERNAL,
        "excludeGuestsOrExternalUsers": EXTERNAL,
    },
)
GRANTS = st.fixed_dictionaries(
    {"operator": st.sampled_from(["AND", "OR"]),
     "builtInControls": st.one_of(st.just(["block"]), some(
         "mfa", "compliantDevice", "domainJoinedDevice", "approvedApplication", "compliantApplication",
         "passwordChange", most=3))},
    optional={"termsOfUse": st.just([TERMS]),
              "authenticationStrength": st.sampled_from(STRENGTHS).map(lambda each: {"id": each})},
)  # fmt: skip
FREQUENCY = st.sampled_from([
    {"value": 1, "type": "hours"}, {"value": 2, "type": "days"}, {"frequencyInterval": "everyTime"},
    {"value": 1, "type": "hours", "authenticationType": "secondaryAuthentication"},
])  # fmt: skip
BODY = st.fixed_dictionaries(
    {
        "state": st.sampled_from(["enabled", "enabled", "disabled", REPORT_ONLY]), "users": USERS,
        "applications": st.sampled_from([
            {"includeApplications": ["All"]}, {"includeApplications": [APP]},
            {"includeApplications": ["All"], "excludeApplications": [APP]},
            {"includeUserActions": ["urn:user:registersecurityinfo"]},
        ]),
    },
    optional={
        "grantControls": GRANTS, "sessionControls": FREQUENCY.map(lambda each: {"signInFrequency": each}),
        "clientAppTypes": st.sampled_from([["all"], ["browser"], ["other"]]),
        "platforms": st.fixed_dictionaries({"includePlatforms": some("all", "iOS")},
                                           optional={"excludePlatforms": some("iOS", "linux")}),
        "locations": st.fixed_dictionaries({"includeLocations": some("All", OFFICE, LAB)},
                                           optional={"excludeLocations": some("AllTrusted", LAB)}),
        "userRiskLevels": some("high", "low"), "signInRiskLevels": some("high", "low"),
    },
)  # fmt: skip
POLICIES = st.lists(BODY, max_size=5).map(
    lambda bodies: [policy(number, **body) for number, body in enumerate(bodies)]
)
METHODS = st.dictionaries(
    st.sampled_from(["password", "softwareOath", "fido2", "sms", "hardwareOath"]), st.sampled_from([1, 96_500, 99_990]),
    max_size=3,
)
DEVICE = st.fixed_dictionaries(
    {"tenant": st.sampled_from([HOME, TENANT]), "compliant": st.booleans(), "hybrid": st.booleans()}
)
WHO = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["guest", "member", None]),
        "authenticates": st.sampled_from(["here", "home", "outside"]),
        "path": st.sampled_from(["b2bCollaboration", "b2bDirectConnect", "serviceProvider"]),
        "trust": some("mfa", "compliant", "hybrid", most=3), "home_methods": METHODS, "resource_methods": METHODS,
        "home_registered": some("softwareOath", "fido2"), "resource_registered": some("softwareOath"),
        "device": st.none() | DEVICE, "terms": some(TERMS), "groups": some(OTHER),
        "user_risk": st.sampled_from(["none", "high"]), "sign_in_risk": st.sampled_from(["none", "high"]),
        "action": st.sampled_from(["", "", "urn:user:registersecurityinfo"]),
        "client_app": st.sampled_from(["browser", "other"]), "platform": st.sampled_from(["", "iOS"]),
        "address": st.sampled_from(["", "198.51.100.7"]), "country": st.sampled_from(["", "DE", "SE"]),
        "now": st.just(100_000),
    }
).map(lambda members: sign_in(**({**members, "authenticates": "home"} if members["type"] is None else members)))

MANY = settings(max_examples=250, deadline=None)


def run(who: Json, policies: list[Json]) -> AccessVerdict:
    return decide(who, *policies, namedLocation=DOCUMENTS)


def outcome(verdict: AccessVerdict) -> tuple[object, ...]:
    return verdict.refusal, verdict.interaction, verdict.session, verdict.contexts


@MANY
@given(WHO, POLICIES)
def test_the_oracle_agrees(who: Json, policies: list[Json]) -> None:
    """Any set of policies, any sign-in: the same code, task and place, and the same result of every policy."""
    assert summary(run(who, policies)) == judge(policies, who, LOCATIONS)


@MANY
@given(WHO, POLICIES, BODY)
def test_reports_never_change_the_outcome(who: Json, policies: list[Json], body: Json) -> None:
    """A policy that is only reported shows in the log and nowhere else."""
    reported = policy(9, **{**body, "state": REPORT_ONLY})
    assert outcome(run(who, [*policies, reported])) == outcome(run(who, policies))


@MANY
@given(WHO, POLICIES, BODY)
def test_one_more_policy_never_opens_a_door(who: Json, policies: list[Json], body: Json) -> None:
    """What was refused stays refused."""
    if run(who, policies).refusal is not None:
        assert run(who, [*policies, policy(9, **body)]).refusal is not None


@MANY
@given(WHO, POLICIES, st.randoms())
def test_the_order_of_policies_is_irrelevant(who: Json, policies: list[Json], random: Any) -> None:
    """The same set in another order gives the same bytes; so does asking again."""
    shuffled = list(policies)
    random.shuffle(shuffled)
    one, other = run(who, policies), run(who, shuffled)
    assert written(one) == written(other)


def written(verdict: AccessVerdict) -> bytes:
    body = asdict(verdict)
    body["trace"] = [step.to_json() for step in verdict.trace]
    return json.dumps(body, default=lambda each: sorted(each)).encode()


@MANY
@given(WHO, BODY)
def test_exclusion_beats_inclusion(who: Json, body: Json) -> None:
    """Excluding exactly those who were included leaves nobody."""
    included = {name: each for name, each in body["users"].items() if name.startswith("include")}
    excluded = {name.replace("include", "exclude"): each for name, each in included.items()}
    (line,) = run(who, [policy(1, **{**body, "users": {**included, **excluded}})]).applied
    assert line.result in ("notApplied", "notEnabled", "reportOnlyNotApplied")


@settings(max_examples=60, deadline=None)
@given(WHO, POLICIES)
def test_asking_changes_nothing(who: Json, policies: list[Json]) -> None:
    """Evaluation and lint are pure: the second answer equals the first."""
    at = tenant(*policies, namedLocation=DOCUMENTS)
    before = evaluate_access(subject(who, at))
    findings = lint_tenant(at)
    assert (evaluate_access(subject(who, at)), lint_tenant(at)) == (before, findings)
