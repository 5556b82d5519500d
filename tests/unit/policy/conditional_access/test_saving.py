"""Objects as Graph writes them: what is read, what is refused, what is in use, how all of it takes effect."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.conditional_access_world import MODELS, Json, grant, policy, policy_id
from tests.unit.policy.documents import APP, GUEST, HOME, RESOURCE, STAFF, document, link
from tunneld.policy.built_in_roles import BY_NAME
from tunneld.policy.directory import Directory
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, Conflict, ObjectRef
from tunneld.policy.overlay import change_directory
from tunneld.policy.views import view, view_all

POLICY, LOCATION, CONTEXT = "conditionalAccessPolicy", "namedLocation", "authenticationContextClassReference"
STRENGTH, AGREEMENT = "authenticationStrengthPolicy", "agreement"
ID, OTHER = (f"99999999-0000-4000-8000-00000000000{n}" for n in (1, 2))
ROLE = BY_NAME["global administrator"].id
BUILT_IN = "00000000-0000-0000-0000-000000000004"


@pytest.fixture(scope="module")
def directory() -> Directory:
    return link(document())


def write(at: Directory, kind: str, body: Json | None, object_id: str = "") -> Directory | Conflict:
    value = None if body is None else MODELS[kind].model_validate(body)
    return change_directory(at, [Change(ObjectRef(RESOURCE, kind, object_id or (body or {})["id"]), value)])


def saved(at: Directory, kind: str, body: Json) -> Directory:
    after = write(at, kind, body)
    assert isinstance(after, Directory), after
    return after


FULL: Json = {
    "id": policy_id(1), "displayName": "Guests", "state": "ENABLED", "createdDateTime": "2026-11-20T08:00:00Z",
    "modifiedDateTime": None, "description": "why", "templateId": None,
    "conditions": {
        "users": {
            "includeUsers": ["ALL"], "excludeUsers": [GUEST.upper()], "includeGroups": [STAFF], "excludeGroups": [],
            "includeRoles": [ROLE], "excludeRoles": [],
            "includeGuestsOrExternalUsers": {
                "guestOrExternalUserTypes": "INTERNALGUEST,b2bCollaborationGuest",
                "externalTenants": {
                    "@odata.type": "#microsoft.graph.conditionalAccessEnumeratedExternalTenants",
                    "membershipKind": "Enumerated", "members": [HOME],
                },
            },
            "excludeGuestsOrExternalUsers": None,
        },
        "applications": {
            "includeApplications": ["all"], "excludeApplications": [APP, "OFFICE365"], "includeUserActions": [],
            "includeAuthenticationContextClassReferences": [],
        },
        "clientAppTypes": ["Browser", "MOBILEAPPSANDDESKTOPCLIENTS"],
        "platforms": {"includePlatforms": ["ALL"], "excludePlatforms": ["ios"]},
        "locations": {"includeLocations": ["all"], "excludeLocations": ["ALLTRUSTED"]},
        "devices": {"deviceFilter": {"mode": "Exclude", "rule": "device.isCompliant -eq True"}},
        "signInRiskLevels": ["High"], "userRiskLevels": [],
    },
    "grantControls": {
        "operator": "or", "builtInControls": ["MFA", "compliantdevice"], "customAuthenticationFactors": [],
        "termsOfUse": [], "authenticationStrength": None,
    },
    "sessionControls": {
        "signInFrequency": {
            "isEnabled": True, "value": 4, "type": "Hours", "frequencyInterval": "TimeBased",
            "authenticationType": "PrimaryAndSecondaryAuthentication",
        },
        "persistentBrowser": {"isEnabled": True, "mode": "Never"},
        "applicationEnforcedRestrictions": {"isEnabled": True},
        "cloudAppSecurity": {"isEnabled": True, "cloudAppSecurityType": "MonitorOnly"},
        "disableResilienceDefaults": False, "continuousAccessEvaluation": {"mode": "StrictEnforcement"},
    },
}  # fmt: skip


def test_a_policy_with_every_member(directory: Directory) -> None:
    """Words are read in any case and written in Graph's; what was written can be read again."""
    after = saved(directory, POLICY, FULL)
    value = view(after, RESOURCE, POLICY, policy_id(1))
    assert value is not None
    body = value.to_json()
    assert body["state"] == "enabled"
    conditions = body["conditions"]
    assert conditions["users"]["includeUsers"] == ["All"]
    assert conditions["users"]["excludeUsers"] == [GUEST]
    assert conditions["users"]["includeGuestsOrExternalUsers"] == {
        "guestOrExternalUserTypes": "internalGuest,b2bCollaborationGuest",
        "externalTenants": {
            "@odata.type": "#microsoft.graph.conditionalAccessEnumeratedExternalTenants",
            "membershipKind": "enumerated", "members": [HOME],
        },
    }
    assert conditions["applications"]["excludeApplications"] == [APP, "Office365"]
    assert conditions["clientAppTypes"] == ["browser", "mobileAppsAndDesktopClients"]
    assert conditions["platforms"] == {"includePlatforms": ["all"], "excludePlatforms": ["iOS"]}
    assert conditions["locations"] == {"includeLocations": ["All"], "excludeLocations": ["AllTrusted"]}
    assert body["grantControls"]["builtInControls"] == ["mfa", "compliantDevice"]
    assert body["sessionControls"]["persistentBrowser"]["mode"] == "never"
    assert MODELS[POLICY].model_validate(body) == value
    assert len(after.tenants[RESOURCE].policy.conditional_access.policies) == 1
    assert directory.tenants[RESOURCE].policy.conditional_access.policies == ()


def changed(path: str, value: Any) -> Json:
    """The full policy with one member replaced."""
    body = copy.deepcopy(FULL)
    *parents, last = path.split(".")
    at: Any = body
    for name in parents:
        at = at[name]
    at[last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("state", "on"),
        ("state", None),
        ("id", "1"),
        ("displayName", ""),
        ("displayName", "a\x00b"),
        ("description", "a\x00b"),
        ("owner", "x"),
        ("conditions", None),
        ("conditions.users", None),
        ("conditions.users.includeUsers", ["Everybody"]),
        ("conditions.users.includeUsers", [1]),
        ("conditions.users.includeUsers", "All"),
        ("conditions.users.includeGroups", ["All"]),
        ("conditions.users.includeUsers", [GUEST] * 2001),
        ("conditions.users.includeGuestsOrExternalUsers.guestOrExternalUserTypes", "friends"),
        ("conditions.users.includeGuestsOrExternalUsers.guestOrExternalUserTypes", "none"),
        ("conditions.users.includeGuestsOrExternalUsers.guestOrExternalUserTypes", ["internalGuest"]),
        ("conditions.users.includeGuestsOrExternalUsers.externalTenants.membershipKind", "all"),
        ("conditions.users.includeGuestsOrExternalUsers.externalTenants.members", []),
        ("conditions.users.includeGuestsOrExternalUsers.externalTenants.membershipKind", ["all"]),
        ("conditions.users.includeGuestsOrExternalUsers.externalTenants", "all"),
        ("conditions.applications.includeUserActions", ["urn:user:sleep"]),
        ("conditions.applications.includeAuthenticationContextClassReferences", ["c0"]),
        ("conditions.applications.includeAuthenticationContextClassReferences", ["c100"]),
        ("conditions.clientAppTypes", []),
        ("conditions.clientAppTypes", ["fax"]),
        ("conditions.platforms.includePlatforms", ["beos"]),
        ("conditions.locations.includeLocations", ["Home"]),
        ("conditions.devices.deviceFilter.rule", "device.isCompliant"),
        ("conditions.devices.deviceFilter.mode", "maybe"),
        ("conditions.signInRiskLevels", ["extreme"]),
        ("grantControls.operator", "XOR"),
        ("grantControls.builtInControls", ["magic"]),
        ("grantControls.termsOfUse", ["x"]),
        ("grantControls.authenticationStrength", {"id": "x"}),
        ("grantControls.authenticationStrength", {"id": BUILT_IN, "colour": "red"}),
        ("grantControls.authenticationStrength", BUILT_IN),
        ("sessionControls.signInFrequency.value", 0),
        ("sessionControls.signInFrequency.value", None),
        ("sessionControls.signInFrequency.type", None),
        ("sessionControls.signInFrequency.frequencyInterval", "everyTime"),
        ("sessionControls.persistentBrowser.mode", "sometimes"),
        ("sessionControls.continuousAccessEvaluation.mode", None),
    ],
)
def test_ill_formed_policies(path: str, value: Any) -> None:
    """Wrong words, wrong types, wrong ranges and unknown members are refused with a sentence, never misread."""
    with pytest.raises(ValidationError):
        MODELS[POLICY].model_validate(changed(path, value))


def users(**members: Any) -> Json:
    return {"users": members}


def applications(**members: Any) -> Json:
    return {"applications": members}


CAE_OFF = {"sessionControls": {"continuousAccessEvaluation": {"mode": "disabled"}}}
MFA = {"grantControls": grant("mfa")}
CONTRADICTIONS: list[tuple[Json, str, str]] = [
    ({**users(includeUsers=["All", GUEST]), **MFA}, "keywordMixed", "conditions.users.includeUsers"),
    ({**users(includeUsers=["All"], excludeUsers=["All"]), **MFA}, "keywordMixed", "conditions.users.excludeUsers"),
    ({**applications(includeApplications=["None", APP]), **MFA}, "keywordMixed",
     "conditions.applications.includeApplications"),
    ({**users(), **MFA}, "nobodyIncluded", "conditions.users"),
    ({**users(includeGuestsOrExternalUsers={"guestOrExternalUserTypes": "none"}), **MFA}, "nobodyIncluded",
     "conditions.users"),
    ({**applications(), **MFA}, "oneSortOfTarget", "conditions.applications"),
    ({**applications(includeApplications=["All"], includeUserActions=["urn:user:registerdevice"]), **MFA},
     "oneSortOfTarget", "conditions.applications"),
    ({**applications(includeUserActions=["urn:user:registerdevice"], excludeApplications=[APP]), **MFA},
     "nothingToExcludeFrom", "conditions.applications.excludeApplications"),
    ({}, "noControls", "grantControls"),
    ({"sessionControls": {}}, "noControls", "grantControls"),
    ({"grantControls": {"operator": "AND"}}, "noControls", "grantControls"),
    ({"grantControls": grant("block", "mfa")}, "blockAlone", "grantControls"),
    ({"grantControls": grant("mfa", authenticationStrength={"id": BUILT_IN})}, "mfaBesideStrength", "grantControls"),
    ({**CAE_OFF, **applications(includeApplications=[APP])}, "continuousAccessDisabledInPart",
     "sessionControls.continuousAccessEvaluation"),
    ({**CAE_OFF, "platforms": {"includePlatforms": ["iOS"]}}, "continuousAccessDisabledInPart",
     "sessionControls.continuousAccessEvaluation"),
    ({**users(includeUsers=[OTHER]), **MFA}, "unknownReference", "conditions.users.includeUsers"),
    ({**users(includeUsers=["All"], excludeUsers=[OTHER]), **MFA}, "unknownReference", "conditions.users.excludeUsers"),
    ({**users(includeGroups=[OTHER]), **MFA}, "unknownReference", "conditions.users.includeGroups"),
    ({**users(includeUsers=["All"], excludeGroups=[OTHER]), **MFA}, "unknownReference",
     "conditions.users.excludeGroups"),
    ({**users(includeRoles=[OTHER]), **MFA}, "unknownReference", "conditions.users.includeRoles"),
    ({**applications(includeApplications=[OTHER]), **MFA}, "unknownReference",
     "conditions.applications.includeApplications"),
    ({**applications(includeApplications=["All"], excludeApplications=[OTHER]), **MFA}, "unknownReference",
     "conditions.applications.excludeApplications"),
    ({**applications(includeAuthenticationContextClassReferences=["c7"]), **MFA}, "unknownReference",
     "conditions.applications.includeAuthenticationContextClassReferences"),
    ({"locations": {"includeLocations": [OTHER]}, **MFA}, "unknownReference", "conditions.locations.includeLocations"),
    ({"locations": {"excludeLocations": [OTHER]}, **MFA}, "unknownReference", "conditions.locations.excludeLocations"),
    ({"grantControls": grant(termsOfUse=[OTHER])}, "unknownReference", "grantControls.termsOfUse"),
    ({"grantControls": grant(authenticationStrength={"id": OTHER})}, "unknownReference",
     "grantControls.authenticationStrength"),
]  # fmt: skip


@pytest.mark.parametrize(("members", "rule", "target"), CONTRADICTIONS)
def test_contradictions(directory: Directory, members: Json, rule: str, target: str) -> None:
    """Well formed, and still not to be saved: the rule's name, the member and a mend."""
    conflict = write(directory, POLICY, policy(**members))
    assert isinstance(conflict, Conflict)
    assert (conflict.rule, conflict.target, conflict.status) == (rule, target, 400)
    assert conflict.message.endswith(".")
    assert conflict.mend.endswith(".")


@pytest.mark.parametrize(
    "members",
    [
        CAE_OFF,
        {"sessionControls": {"continuousAccessEvaluation": {"mode": "strictLocation"}},
         **applications(includeApplications=[APP])},
        {"grantControls": grant(authenticationStrength={"id": BUILT_IN, "displayName": "shown"})},
        {**users(includeGroups=[STAFF]), **MFA},
        {**users(includeUsers=["None"]), **MFA},
        {**users(includeGuestsOrExternalUsers={"guestOrExternalUserTypes": "serviceProvider"}), **MFA},
        {**applications(includeApplications=["d52792f4-ba38-424d-8140-ada5b883f293"]), **MFA},
    ],
)  # fmt: skip
def test_neighbours_of_contradictions(directory: Directory, members: Json) -> None:
    """What looks similar and is fine."""
    assert isinstance(write(directory, POLICY, policy(**members)), Directory)


IP = {"id": ID, "displayName": "Office", "isTrusted": True, "ipRanges": [{"cidrAddress": "203.0.113.9/24"}]}
IPV6_RANGE = "#microsoft.graph.iPv6CidrRange"
COUNTRIES = {"id": ID, "displayName": "Union", "countriesAndRegions": ["de", "FR"]}


def test_named_locations_are_told_by_type_or_by_members() -> None:
    """Each sort shows its own members only, with the type that Graph tells them by."""
    plain = MODELS[LOCATION].model_validate(IP)
    typed = MODELS[LOCATION].model_validate({
        "@odata.type": "#microsoft.graph.ipNamedLocation", **IP,
        "ipRanges": [{"@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "203.0.113.0/24"}],
    })  # fmt: skip
    assert plain.to_json() == typed.to_json() == {
        "@odata.type": "#microsoft.graph.ipNamedLocation", "id": ID, "displayName": "Office", "createdDateTime": None,
        "modifiedDateTime": None, "isTrusted": True,
        "ipRanges": [{"@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "203.0.113.0/24"}],
    }  # fmt: skip
    country = MODELS[LOCATION].model_validate(COUNTRIES).to_json()
    assert country["@odata.type"] == "#microsoft.graph.countryNamedLocation"
    assert country["countriesAndRegions"] == ["DE", "FR"]
    assert "isTrusted" not in country
    for body in (plain.to_json(), country):
        assert MODELS[LOCATION].model_validate(body).to_json() == body


@pytest.mark.parametrize(
    ("written", "kept"),
    [("203.0.113.9/24", "203.0.113.0/24"), ("2001:DB8::1/32", "2001:db8::/32"), ("::/0", "::/0"),
     ("::ffff:203.0.113.9/120", "203.0.113.0/24"), ("::ffff:0:0/96", "0.0.0.0/0"), ("::ffff:0:0/95", "::fffe:0:0/95")],
)  # fmt: skip
def test_ranges_are_kept_as_networks(written: str, kept: str) -> None:
    """Host bits are dropped, and IPv4 inside IPv6 is IPv4."""
    body = MODELS[LOCATION].model_validate({**IP, "ipRanges": [{"cidrAddress": written}]}).to_json()
    assert body["ipRanges"][0]["cidrAddress"] == kept


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (LOCATION, {**IP, "ipRanges": []}),
        (LOCATION, {**IP, "ipRanges": [{"cidrAddress": "203.0.113.0"}]}),
        (LOCATION, {**IP, "ipRanges": [{"cidrAddress": "203.0.113.0/33"}]}),
        (LOCATION, {**IP, "ipRanges": [{"cidrAddress": "0" * 70 + "/8"}]}),
        (LOCATION, {**IP, "ipRanges": [{"@odata.type": IPV6_RANGE, "cidrAddress": "10.0.0.0/8"}]}),
        (LOCATION, {**IP, "countriesAndRegions": ["DE"]}),
        (LOCATION, {**COUNTRIES, "isTrusted": True}),
        (LOCATION, {**COUNTRIES, "countriesAndRegions": []}),
        (LOCATION, {**COUNTRIES, "countriesAndRegions": ["Germany"]}),
        (LOCATION, {**COUNTRIES, "countryLookupMethod": "authenticatorAppGps"}),
        (LOCATION, {"id": ID, "displayName": "Nothing"}),
        (LOCATION, "203.0.113.0/24"),
        (STRENGTH, {"id": ID, "displayName": "S", "allowedCombinations": []}),
        (STRENGTH, {"id": ID, "displayName": "S", "allowedCombinations": ["smoke"]}),
        (STRENGTH, {"id": ID, "displayName": "S", "allowedCombinations": ["sms" * 100]}),
        (CONTEXT, {"id": "c0", "displayName": "C"}),
        (CONTEXT, {"id": "c100", "displayName": "C"}),
        (AGREEMENT, {"id": ID, "displayName": "T", "version": 0}),
        (AGREEMENT, {"id": ID, "displayName": "T", "isPerDeviceAcceptanceRequired": True}),
        (AGREEMENT, {"id": ID, "displayName": "T", "text": "a\x00b"}),
    ],
)  # fmt: skip
def test_ill_formed_references(kind: str, body: Any) -> None:
    """What a policy may refer to is checked as strictly as the policy."""
    with pytest.raises(ValidationError):
        MODELS[kind].model_validate(body)


def test_a_country_location_for_unknown_addresses_alone(directory: Directory) -> None:
    """No country at all is a location of its own."""
    body = {"id": ID, "displayName": "Nowhere", "includeUnknownCountriesAndRegions": True}
    assert isinstance(write(directory, LOCATION, body), Directory)


STRENGTH_BODY = {"id": ID, "displayName": "S", "allowedCombinations": ["softwareOath , password"]}
CONTEXT_BODY = {"id": "c1", "displayName": "C", "isAvailable": True}
AGREEMENT_BODY = {"id": ID, "displayName": "T", "text": "Be kind.", "isPerDeviceAcceptanceRequired": False}


@pytest.mark.parametrize(
    ("kind", "body", "members"),
    [
        (LOCATION, IP, {"locations": {"includeLocations": [ID]}, **MFA}),
        (LOCATION, COUNTRIES, {"locations": {"includeLocations": ["All"], "excludeLocations": [ID]}, **MFA}),
        (STRENGTH, STRENGTH_BODY, {"grantControls": grant(authenticationStrength={"id": ID})}),
        (CONTEXT, CONTEXT_BODY, {**applications(includeAuthenticationContextClassReferences=["c1"]), **MFA}),
        (AGREEMENT, AGREEMENT_BODY, {"grantControls": grant(termsOfUse=[ID])}),
    ],
)
def test_what_is_in_use_stays(directory: Directory, kind: str, body: Json, members: Json) -> None:
    """Named, it cannot be deleted; the policy gone, or gone with it, it can."""
    at = saved(saved(directory, kind, body), POLICY, policy(**members))
    at = saved(at, POLICY, policy(2, **MFA))
    conflict = write(at, kind, None, body["id"])
    assert isinstance(conflict, Conflict)
    assert (conflict.rule, conflict.status) == ("inUse", 409)
    assert policy_id(1) in conflict.message
    both = [Change(ObjectRef(RESOURCE, *ref), None) for ref in ((kind, body["id"]), (POLICY, policy_id(1)))]
    after = change_directory(at, both)
    assert isinstance(after, Directory)
    assert len(after.tenants[RESOURCE].policy.conditional_access.policies) == 1


def test_built_in_strengths(directory: Directory) -> None:
    """Every tenant has the three, nobody changes or deletes them, and custom ones stand beside them."""
    at = saved(directory, STRENGTH, STRENGTH_BODY)
    shown = {each.to_json()["displayName"]: each.to_json() for each in view_all(at, RESOURCE, STRENGTH)}
    assert list(shown) == ["Multifactor authentication", "Passwordless MFA", "Phishing-resistant MFA", "S"]
    assert shown["S"]["allowedCombinations"] == ["password,softwareOath"]
    assert shown["Phishing-resistant MFA"]["id"] == BUILT_IN
    assert shown["Phishing-resistant MFA"]["policyType"] == "builtIn"
    assert shown["Passwordless MFA"]["allowedCombinations"] == [
        "windowsHelloForBusiness", "fido2", "x509CertificateMultiFactor", "deviceBasedPush",
    ]
    assert len(shown["Multifactor authentication"]["allowedCombinations"]) == 17
    for body in ({**STRENGTH_BODY, "id": BUILT_IN}, {**STRENGTH_BODY, "policyType": "builtIn"}):
        conflict = write(at, STRENGTH, body)
        assert isinstance(conflict, Conflict)
        assert (conflict.rule, conflict.status) == ("builtInStrength", 403)
    conflict = write(at, STRENGTH, None, BUILT_IN)
    assert isinstance(conflict, Conflict)
    assert conflict.rule == "builtInStrength"
    assert isinstance(write(at, STRENGTH, None, ID), Directory)


def test_a_changed_strength_takes_effect_in_the_policies_that_name_it(directory: Directory) -> None:
    """Whatever changes, the tenant's policies are compiled anew."""
    at = saved(directory, STRENGTH, STRENGTH_BODY)
    at = saved(at, POLICY, policy(grantControls=grant(authenticationStrength={"id": ID})))
    at = saved(at, STRENGTH, {**STRENGTH_BODY, "allowedCombinations": ["fido2"]})
    (compiled,) = at.tenants[RESOURCE].policy.conditional_access.policies
    assert compiled.controls[0].combinations == (frozenset({"fido2"}),)


def test_all_kinds_are_in_the_table() -> None:
    """The admin API finds them by name."""
    assert {POLICY, LOCATION, STRENGTH, CONTEXT, AGREEMENT} <= KINDS.keys()


JUNK: tuple[Any, ...] = (
    None, 1, 1.5, True, [], {}, "", "x" * 5000, "\x00", [None], [1], {"a": 1}, "\ud800", [[[[]]]], float("inf"), 10**40,
)  # fmt: skip


def places(body: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every member and item of a body, however deep."""
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    return [place for key, value in items for place in ((*at, key), *places(value, (*at, key)))]


@pytest.mark.parametrize(
    ("kind", "body"),
    [(POLICY, FULL), (LOCATION, IP), (LOCATION, COUNTRIES), (STRENGTH, STRENGTH_BODY), (CONTEXT, CONTEXT_BODY),
     (AGREEMENT, AGREEMENT_BODY)],
)  # fmt: skip
def test_junk_in_any_place(directory: Directory, kind: str, body: Json) -> None:
    """Any value anywhere is refused with a sentence, or saved and shown again as it was taken."""
    for *parents, last in places(body):
        for junk in JUNK:
            changed_body = copy.deepcopy(body)
            at: Any = changed_body
            for name in parents:
                at = at[name]
            at[last] = junk
            try:
                value = MODELS[kind].model_validate(changed_body)
            except ValidationError:
                continue
            assert MODELS[kind].model_validate(value.to_json()).to_json() == value.to_json()
            after = change_directory(directory, [Change(ObjectRef(RESOURCE, kind, body["id"]), value)])
            assert isinstance(after, Directory | Conflict)
