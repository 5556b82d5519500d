"""What a sign-in between tenants must come to, worked out slowly from Graph's JSON bodies and nothing of the product.

It is written from the published description of cross-tenant access settings: plain dictionaries in, a code out. It
looks at every setting by walking lists, keeps nothing, and knows no shortcut, so that an index or a cache of the
product that lies shows as a difference.
"""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]

SUITE = {
    "00000003-0000-0ff1-ce00-000000000000", "00000002-0000-0ff1-ce00-000000000000",
    "cc15fd57-2c6c-4117-a88c-83b1d56b4bbe", "00000004-0000-0ff1-ce00-000000000000",
    "09abbdfd-ed23-44ee-a2d9-a627aa1c90f3", "c9a559d2-7aab-4f13-a6ed-e7e9c52aec87",
    "4765445b-32c6-49b0-83e6-1d93765276ca",
}
OURS = {
    "00000012-0000-0000-c000-000000000000", "0000000c-0000-0000-c000-000000000000",
    "d52792f4-ba38-424d-8140-ada5b883f293", "00000003-0000-0000-c000-000000000000",
    "0a4c1d7e-52f3-4f0b-8a6e-3d9b7c15e284",
}
MSA = "9188040d-6c67-4c5b-b112-36a304b66dad"


def everything(word: str) -> Body:
    """Return a B2B setting that allows, or blocks, all."""
    return {
        "usersAndGroups": {"accessType": word, "targets": [{"target": "AllUsers", "targetType": "user"}]},
        "applications": {"accessType": word, "targets": [{"target": "AllApplications", "targetType": "application"}]},
    }


INITIAL: Body = {
    "b2bCollaborationInbound": everything("allowed"),
    "b2bCollaborationOutbound": everything("allowed"),
    "b2bDirectConnectInbound": everything("blocked"),
    "b2bDirectConnectOutbound": everything("blocked"),
    "tenantRestrictions": everything("blocked"),
    "inboundTrust": {
        "isMfaAccepted": False, "isCompliantDeviceAccepted": False, "isHybridAzureADJoinedDeviceAccepted": False,
    },
    "automaticUserConsentSettings": {"inboundAllowed": False, "outboundAllowed": False},
    "blockServiceProviderOutboundAccess": False,
}


def effective(tenant: Body, partner: str, name: str) -> Any:
    """Return a property as it acts toward a partner."""
    own = tenant.get("partners", {}).get(partner)
    if own is not None and own.get(name) is not None:
        return own[name]
    template = tenant.get("template")
    member = own is not None and own.get("isInMultiTenantOrganization")
    applied = template is not None and template.get("templateApplicationLevel", "none") != "none"
    if member and applied and template.get(name) is not None:
        return template[name]
    default = tenant.get("default")
    if default is not None and default.get(name) is not None:
        return default[name]
    return INITIAL[name]


def users_pass(configuration: Body, oid: str, groups: list[str]) -> bool:
    """Judge a list of people."""
    hit = False
    for each in configuration["targets"]:
        if each["target"] == "AllUsers":
            hit = True
        elif each["targetType"] == "group":
            hit = hit or each["target"] in groups
        else:
            hit = hit or each["target"] == oid
    return hit if configuration["accessType"] == "allowed" else not hit


def applications_pass(configuration: Body, app: str, client: str, *, private: bool) -> bool:
    """Judge a list of applications: either id counts, a suite is asked about what is opened."""
    hit = False
    for each in configuration["targets"]:
        name = each["target"]
        hit = hit or name in ("AllApplications", app, client)
        hit = hit or (name == "Office365" and app in SUITE)
        hit = hit or (name == "AllMicrosoftApps" and (not private or app in SUITE | OURS))
    return hit if configuration["accessType"] == "allowed" else not hit


def passes(setting: Body, attempt: Body, person: Body) -> bool:
    """Judge both lists."""
    return users_pass(setting["usersAndGroups"], person["oid"], person["groups"]) and applications_pass(
        setting["applications"], attempt["app"], attempt["client"], private=attempt["private"]
    )


def path_of(tenants: Body, attempt: Body) -> str:
    """Return the crossTenantAccessType."""
    person = attempt["person"]
    if person.get("outside"):
        return "b2bCollaboration"
    home, resource = person["tenant"], attempt["tenant"]
    if home == resource:
        return "none"
    if attempt["path"] != "b2bCollaboration":
        return str(attempt["path"])
    if attempt["object"] is not None:
        return "b2bCollaboration"
    marked = tenants[resource].get("partners", {}).get(home) or {}
    if marked.get("isServiceProvider"):
        return "serviceProvider"
    out = effective(tenants[home], resource, "b2bDirectConnectOutbound")
    into = effective(tenants[resource], home, "b2bDirectConnectInbound")
    same_cloud = tenants[home]["cloud"] == tenants[resource]["cloud"]
    mutual = passes(out, attempt, person) and passes(into, attempt, person)
    return "b2bDirectConnect" if mutual and same_cloud else "b2bCollaboration"


def clouds_code(tenants: Body, home: str, resource: str, path: str) -> int:
    """Return what two clouds make of it, 0 for nothing."""
    clouds = [tenants[home]["cloud"], tenants[resource]["cloud"]]
    if clouds[0] == clouds[1]:
        return 0
    if "microsoftonline.com" not in clouds or path == "b2bDirectConnect":
        return 90038
    for own, other, code in ((home, resource, 1000104), (resource, home, 90038)):
        enabled = tenants[other]["cloud"] in (tenants[own].get("policy") or {}).get("allowedCloudEndpoints", [])
        if not enabled or other not in tenants[own].get("partners", {}):
            return code
    return 0


def boundary_code(tenants: Body, attempt: Body, path: str) -> int:
    """Return what the two tenants' settings make of it: home first."""
    person, resource = attempt["person"], attempt["tenant"]
    if person.get("outside"):
        listed = tenants[resource].get("partners", {}).get(MSA) or {}
        setting = listed.get("b2bCollaborationInbound")
        if person["outside"] == "personal" and setting is not None and not passes(setting, attempt, person):
            return 500213
        return 0
    home = person["tenant"]
    if path == "none":
        return 0
    if path == "serviceProvider":
        if effective(tenants[home], resource, "blockServiceProviderOutboundAccess"):
            return 500212
        marked = tenants[resource].get("partners", {}).get(home) or {}
        return 0 if marked.get("isServiceProvider") else 500213
    kind = "b2bDirectConnect" if path == "b2bDirectConnect" else "b2bCollaboration"
    if not passes(effective(tenants[home], resource, f"{kind}Outbound"), attempt, person):
        return 500212
    if not passes(effective(tenants[resource], home, f"{kind}Inbound"), attempt, person):
        return 500213
    return 0


def object_code(tenants: Body, attempt: Body, path: str) -> int:
    """Return what the guest object and its invitation make of it."""
    state, person, resource = attempt["object"], attempt["person"], attempt["tenant"]
    if state == "disabled":
        return 50057
    if path in ("b2bDirectConnect", "serviceProvider"):
        return 0
    if state is None:
        return 0 if path == "none" else 50020
    if state != "pending" or attempt["consented"]:
        return 0
    if person.get("outside"):
        return 50014
    home = person["tenant"]
    out = effective(tenants[home], resource, "automaticUserConsentSettings").get("outboundAllowed")
    into = effective(tenants[resource], home, "automaticUserConsentSettings").get("inboundAllowed")
    return 0 if out and into else 50014


def expected(tenants: Body, attempt: Body) -> tuple[int, str]:
    """Return the code (0 for a grant) and the path, for an account whose credential is right."""
    path = path_of(tenants, attempt)
    person, resource = attempt["person"], attempt["tenant"]
    if not person.get("outside") and path != "none":
        code = clouds_code(tenants, person["tenant"], resource, path)
        if code:
            return code, path
    return boundary_code(tenants, attempt, path) or object_code(tenants, attempt, path), path


def trusted(tenants: Body, attempt: Body) -> set[str]:
    """Return what counts of home's claims."""
    path, person = path_of(tenants, attempt), attempt["person"]
    if path == "none" or person.get("outside"):
        return set()
    if path == "serviceProvider":
        return {"mfa"}
    trust = effective(tenants[attempt["tenant"]], person["tenant"], "inboundTrust")
    names = {
        "isMfaAccepted": "mfa", "isCompliantDeviceAccepted": "compliantDevice",
        "isHybridAzureADJoinedDeviceAccepted": "domainJoinedDevice",
    }
    return {word for name, word in names.items() if trust.get(name)}


def restriction_code(owner: Body, attempt: Body) -> int:
    """Return what version 2 of tenant restrictions makes of it on `owner`'s network (its `id` is in it)."""
    person, resource = attempt["person"], attempt["tenant"]
    home = resource if person.get("outside") else person["tenant"]
    if owner["id"] in (home, resource):
        return 0
    looked_at = [(resource, attempt["own"])] if home == resource else [(home, person), (resource, attempt["own"])]
    for tenant, somebody in looked_at:
        if home == MSA and tenant == home and home != resource:
            continue
        setting = effective(owner, tenant, "tenantRestrictions")
        if not applications_pass(
            setting["applications"], attempt["app"], attempt["client"], private=attempt["private"]
        ):
            return 5000211
        if tenant != MSA and not users_pass(setting["usersAndGroups"], somebody["oid"], somebody["groups"]):
            return 5000211
    return 0
