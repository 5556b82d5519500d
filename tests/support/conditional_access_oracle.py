"""A second opinion on Conditional Access: slow, from the published tables, over Graph's JSON and plain dictionaries.

It shares no code with the evaluator. A sign-in is a dictionary; see `sign_in` for its members and their meaning.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

Json = dict[str, Any]

USER, HOME, TENANT, APP = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "abcd")

ANY_HOME_MFA = [
    {"windowsHelloForBusiness"}, {"fido2"}, {"x509CertificateMultiFactor"}, {"deviceBasedPush"},
    {"temporaryAccessPassOneTime"}, {"temporaryAccessPassMultiUse"}, {"federatedMultiFactor"},
    *({first, second} for first in ("password", "federatedSingleFactor")
      for second in ("microsoftAuthenticatorPush", "softwareOath", "hardwareOath", "sms", "voice")),
]  # fmt: skip
STRENGTHS = {
    "00000000-0000-0000-0000-000000000002": ANY_HOME_MFA,
    "00000000-0000-0000-0000-000000000003": ANY_HOME_MFA[:4],
    "00000000-0000-0000-0000-000000000004": ANY_HOME_MFA[:3],
}
AT_RESOURCE = {"sms", "voice", "microsoftAuthenticatorPush", "softwareOath"}
ORDER = [
    "mfa", "compliantDevice", "domainJoinedDevice", "approvedApplication", "compliantApplication", "passwordChange",
    "termsOfUse", "custom", "frequency", "factor age",
]  # fmt: skip


def sign_in(**changes: Any) -> Json:
    """A guest of another tenant with a password session, trusted in nothing, at an ordinary application."""
    plain: Json = {
        "type": "guest",  # of the user object; None when there is none
        "authenticates": "home",  # here | home | outside
        "path": "b2bCollaboration",
        "oid": USER, "groups": [], "roles": [], "home": HOME, "tenant": TENANT,
        "trust": [],  # mfa, compliant, hybrid
        "home_methods": {"password": 1000}, "resource_methods": {},  # method → when
        "home_registered": [], "resource_registered": [],
        "device": None,  # {"tenant", "compliant", "hybrid", "attributes"}
        "terms": [], "user_risk": "none", "sign_in_risk": "none",
        "app": APP, "action": "", "contexts": [], "client_app": "browser", "platform": "", "address": "", "country": "",
        "approved_client": True, "now": 1000,
    }  # fmt: skip
    return {**plain, **changes}


def user_class(who: Json) -> str:
    if who["path"] == "serviceProvider":
        return "serviceProvider"
    if who["type"] is None:
        return "b2bDirectConnectUser" if who["path"] == "b2bDirectConnect" else "otherExternalUser"
    return {
        ("guest", True): "internalGuest", ("member", True): "member",
        ("guest", False): "b2bCollaborationGuest", ("member", False): "b2bCollaborationMember",
    }[who["type"], who["authenticates"] == "here"]  # fmt: skip


def about_external(part: Json | None, who: Json) -> bool:
    if not part or user_class(who) not in part["guestOrExternalUserTypes"].split(","):
        return False
    tenants = part.get("externalTenants") or {"membershipKind": "all"}
    if tenants["membershipKind"] == "all":
        return True
    home = who["tenant"] if who["authenticates"] == "here" and who["type"] is not None else who["home"]
    return who["authenticates"] != "outside" and home in tenants["members"]


def about_user(users: Json, who: Json, side: str) -> bool:
    has_object = who["type"] is not None
    listed = users.get(f"{side}Users") or []
    if "All" in listed or (has_object and who["oid"] in listed):
        return True
    if "GuestsOrExternalUsers" in listed and user_class(who) != "member":
        return True
    if has_object and set(users.get(f"{side}Groups") or []) & set(who["groups"]):
        return True
    if has_object and set(users.get(f"{side}Roles") or []) & set(who["roles"]):
        return True
    return about_external(users.get(f"{side}GuestsOrExternalUsers"), who)


def about_application(part: Json, who: Json) -> bool:
    if who["action"]:
        return who["action"] in (part.get("includeUserActions") or [])
    if set(part.get("includeAuthenticationContextClassReferences") or []) & set(who["contexts"]):
        return True
    if who["app"] in (part.get("excludeApplications") or []):
        return False
    included = part.get("includeApplications") or []
    return "All" in included or who["app"] in included


def in_location(location: Json, who: Json) -> bool:
    if "ipRanges" in location:
        if not who["address"]:
            return False
        address = ip_address(who["address"])
        networks = [ip_network(each["cidrAddress"]) for each in location["ipRanges"]]
        return any(address in network for network in networks if network.version == address.version)
    if not who["country"]:
        return bool(location.get("includeUnknownCountriesAndRegions"))
    return who["country"] in location["countriesAndRegions"]


def located(words: list[str], who: Json, locations: dict[str, Json]) -> bool:
    inside = {name for name, each in locations.items() if in_location(each, who)}
    trusted = {name for name in inside if locations[name].get("isTrusted")}
    return "All" in words or ("AllTrusted" in words and bool(trusted)) or bool(inside & set(words))


def applies(policy: Json, who: Json, locations: dict[str, Json]) -> bool:
    """All conditions match, and no exclusion does."""
    conditions = policy["conditions"]
    users = conditions["users"]
    if not about_user(users, who, "include") or about_user(users, who, "exclude"):
        return False
    if not about_application(conditions["applications"], who):
        return False
    clients = conditions.get("clientAppTypes") or ["all"]
    if "all" not in clients and who["client_app"] not in clients:
        return False
    platforms = conditions.get("platforms")
    if platforms:
        included, excluded = platforms.get("includePlatforms") or ["all"], platforms.get("excludePlatforms") or []
        if ("all" not in included and who["platform"] not in included) or who["platform"] in excluded:
            return False
    place = conditions.get("locations")
    if place:
        if not located(place.get("includeLocations") or ["All"], who, locations):
            return False
        if located(place.get("excludeLocations") or [], who, locations):
            return False
    for member in ("user", "signIn"):
        levels = conditions.get(f"{member}RiskLevels")
        if levels and who["user_risk" if member == "user" else "sign_in_risk"] not in levels:
            return False
    return True


# Outcomes of one control: None, or (code, task, place).
Missing = tuple[int, str | None, str | None]


def where_mfa_counts(who: Json) -> str | None:
    sort = user_class(who)
    if sort in ("member", "internalGuest", "serviceProvider"):
        return "home"
    if who["authenticates"] == "outside":
        return "resource"
    if "mfa" in who["trust"]:
        return "home"
    return None if sort == "b2bDirectConnectUser" else "resource"


def seen(who: Json, place: str, what: str) -> set[str]:
    same_tenant = user_class(who) != "serviceProvider" and who["type"] and who["authenticates"] in ("here", "outside")
    if same_tenant:
        return set(who[f"home_{what}"]) | set(who[f"resource_{what}"])
    return set(who[f"{place}_{what}"])


def factor(who: Json, combinations: list[set[str]], place: str, risky: bool) -> Missing | None:
    if place == "resource":
        trimmed = [each - {"password", "federatedSingleFactor"} for each in combinations]
        combinations = [each for each in trimmed if each and not each - AT_RESOURCE]
    if not combinations:
        return 53003, None, None
    used = seen(who, place, "methods")
    if [each for each in combinations if not each - used]:
        return None
    available = used | seen(who, place, "registered") | {"password", "federatedSingleFactor"}
    if [each for each in combinations if not each - available]:
        return 50076, "mfa", place
    return (53004, None, None) if risky else (50079, "register_mfa", place)


def mfa(who: Json, risky: bool) -> Missing | None:
    place = where_mfa_counts(who)
    if place is None:
        return 90071, None, None
    return factor(who, ANY_HOME_MFA if place == "home" else [{each} for each in AT_RESOURCE], place, risky)


def strength(who: Json, name: str, risky: bool, strengths: dict[str, list[set[str]]]) -> Missing | None:
    place = where_mfa_counts(who)
    if who["authenticates"] == "outside" and user_class(who) != "serviceProvider":
        return 53003, None, None
    if place is None:
        return 90071, None, None
    return factor(who, strengths.get(name, []), place, risky)


def device(who: Json, flag: str, hard: int, ask: int) -> Missing | None:
    sort, have = user_class(who), who["device"]
    if sort in ("member", "internalGuest"):
        believed, owner = True, who["tenant"]
    else:
        foreign = sort == "serviceProvider" or who["authenticates"] == "outside"
        believed, owner = flag in who["trust"] and not foreign, who["home"]
    known = have is not None and have["tenant"] == owner
    if believed and known and have[flag]:
        return None
    if believed and not known and sort != "b2bDirectConnectUser":
        return ask, "device", "home"
    return hard, None, None


def control(name: str, who: Json, policy: Json, strengths: dict[str, list[set[str]]]) -> Missing | None:
    internal = user_class(who) in ("member", "internalGuest")
    conditions = policy["conditions"]
    risky = bool(conditions.get("signInRiskLevels"))
    kind, _, argument = name.partition(":")
    if kind == "mfa":
        return strength(who, argument, risky, strengths) if argument else mfa(who, risky)
    if kind == "compliantDevice":
        return device(who, "compliant", 53000, 50097)
    if kind == "domainJoinedDevice":
        return device(who, "hybrid", 53001, 53001)
    if kind == "approvedApplication":
        return None if internal and who["approved_client"] else (53002, None, None)
    if kind == "compliantApplication":
        return 53009, None, None
    if kind == "passwordChange":
        if internal:
            return 50142, None, None
        return (53011 if conditions.get("userRiskLevels") else 53003), None, None
    if kind == "termsOfUse":
        if who["type"] is None:
            return 53003, None, None
        return None if argument in who["terms"] else (50158, "terms_of_use", argument)
    return 50158, None, None  # custom controls


def listed_controls(policy: Json) -> list[str]:
    """The controls of a policy in the documented order; an authentication strength stands where mfa does."""
    grant = policy.get("grantControls") or {}
    names = list(grant.get("builtInControls") or [])
    if grant.get("authenticationStrength"):
        names.append("mfa:" + grant["authenticationStrength"]["id"])
    names += sorted(f"termsOfUse:{each}" for each in grant.get("termsOfUse") or [])
    names += sorted(f"custom:{each}" for each in grant.get("customAuthenticationFactors") or [])
    return sorted((each for each in names if each != "block"), key=lambda each: ORDER.index(each.partition(":")[0]))


def frequency(policy: Json, who: Json) -> tuple[str, Missing] | None:
    rule = (policy.get("sessionControls") or {}).get("signInFrequency")
    if not rule or not rule.get("isEnabled", True) or user_class(who) == "b2bDirectConnectUser":
        return None
    every_time = rule.get("frequencyInterval") == "everyTime"
    seconds = 300 if every_time else rule["value"] * {"hours": 3600, "days": 86400}[rule["type"]]
    secondary_only = rule.get("authenticationType") == "secondaryAuthentication"
    begun = [at for method, at in who["home_methods"].items() if method not in AT_RESOURCE | {"hardwareOath"}]
    if not secondary_only and (not begun or who["now"] - max(begun) >= seconds):
        return "frequency", (70043, "sign_in", "home")
    asks_factor = any(each.startswith("mfa") for each in listed_controls(policy))
    if not secondary_only and not asks_factor:
        return None
    place = where_mfa_counts(who) or "home"
    whole = user_class(who) != "serviceProvider" and who["type"] and who["authenticates"] in ("here", "outside")
    sides = ("home", "resource") if whole else (place,)
    seconds_used = [
        at for side in sides for method, at in who[f"{side}_methods"].items()
        if method not in ("password", "federatedSingleFactor")
    ]  # fmt: skip
    if not seconds_used:
        missing = mfa(who, bool(policy["conditions"].get("signInRiskLevels"))) if secondary_only else None
        return ("mfa", missing) if missing else None
    if who["now"] - max(seconds_used) >= seconds:
        return "factor age", (50078, "mfa", place)
    return None


def needs(policy: Json, who: Json, strengths: dict[str, list[set[str]]]) -> list[tuple[str, Missing]]:
    """What one policy still needs, as (kind of control, what is missing)."""
    names = listed_controls(policy)
    found = [(name, control(name, who, policy, strengths)) for name in names]
    missing = [(name, each) for name, each in found if each is not None]
    if names and policy["grantControls"]["operator"] == "OR" and missing:
        if len(missing) < len(names):
            missing = []
        else:
            helpful = [each for each in missing if each[1][1]]
            missing = [(helpful or missing)[0]]
    old = frequency(policy, who)
    return [(name.partition(":")[0], each) for name, each in missing] + ([old] if old else [])


def judge(
    policies: list[Json], who: Json, locations: dict[str, Json] | None = None,
    strengths: dict[str, list[set[str]]] | None = None,
) -> Json:
    """The whole decision: code, task and place, and the result of each policy as a sign-in record has it."""
    known = {**STRENGTHS, **(strengths or {})}
    results: dict[str, str] = {}
    wanted: list[tuple[str, Missing]] = []
    blocked = False
    for policy in sorted(policies, key=lambda each: str(each["id"])):
        reporting = policy["state"] == "enabledForReportingButNotEnforced"
        prefix = "reportOnly" if reporting else ""
        if policy["state"] == "disabled":
            results[policy["id"]] = "notEnabled"
        elif not applies(policy, who, locations or {}):
            results[policy["id"]] = "reportOnlyNotApplied" if reporting else "notApplied"
        else:
            block = "block" in ((policy.get("grantControls") or {}).get("builtInControls") or [])
            missing = [] if block else needs(policy, who, known)
            if not block and not missing:
                results[policy["id"]] = "reportOnlySuccess" if reporting else "success"
            elif reporting and not block and all(each[1] for _, each in missing):
                results[policy["id"]] = "reportOnlyInterrupted"
            else:
                results[policy["id"]] = f"{prefix}Failure" if reporting else "failure"
            if not reporting:
                blocked = blocked or block
                wanted += missing
    if user_class(who) == "serviceProvider":
        at_home = mfa(who, False)
        wanted += [("mfa", at_home)] if at_home else []
    if blocked:
        outcome: Missing = (53010 if who["action"] == "urn:user:registersecurityinfo" else 53003, None, None)
    elif wanted:
        outcome = min(
            ((ORDER.index(name), each[1] is not None, each[0], each) for name, each in wanted), key=lambda row: row[:3]
        )[3]
    else:
        outcome = (0, None, None)
    return {"code": outcome[0], "task": outcome[1], "place": outcome[2], "results": results}
