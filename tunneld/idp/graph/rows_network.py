"""Network access and the organization: what the directory's files say, shown to administrators."""

from __future__ import annotations

import json

from starlette.responses import JSONResponse, Response

from tunneld.idp.answers import ApiError
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.logs import LogRecord
from tunneld.idp.graph.reading import listing, query_of
from tunneld.idp.graph.resource import Json, Operation
from tunneld.policy.directory import AssignedProfile, Tenant
from tunneld.policy.odata import selected
from tunneld.policy.roles import ORGANIZATION

_PROFILES = "/networkAccess/forwardingProfiles"
_READ = "microsoft.networkAccess/forwardingProfiles/standard/read"


def network_operations() -> list[Operation]:
    """Return the operations on forwarding profiles and on the organization; both are read alone."""
    return [
        Operation("GET", _PROFILES, _list_profiles, "List the forwarding profiles.", _READ, result=LogRecord,
                  listing=True, tag="networkAccess"),
        Operation("GET", f"{_PROFILES}/{{id}}", _get_profile, "Get a forwarding profile.", _READ, result=LogRecord,
                  tag="networkAccess"),
        Operation("GET", "/organization", _list_organizations, "List the one organization that the token is for.",
                  ORGANIZATION, result=LogRecord, listing=True, tag="organization"),
        Operation("GET", "/organization/{id}", _get_organization, "Get the organization.", ORGANIZATION,
                  result=LogRecord, tag="organization"),
    ]


async def _list_profiles(call: Call) -> Response:
    profiles = {profile.id: profile for profile in call.tenant.profiles}
    return await listing(call, query_of(call, None), sorted(profiles), lambda key: _profile(call, profiles[key]))


async def _get_profile(call: Call) -> Response:
    query = query_of(call, None)
    for profile in call.tenant.profiles:
        if profile.id == call.parameter():
            return JSONResponse(selected(query, _profile(call, profile)))
    raise ApiError(404, "Request_ResourceNotFound", "There is no such forwarding profile.")


def _profile(call: Call, profile: AssignedProfile) -> Json:
    """Return a profile with Graph's names in front, and with what its users do not see: whom it is assigned to."""
    document = json.loads(call.provider.loaded.profiles[call.tenant.id, profile.id].body)
    whom = profile.assignments
    return {
        "id": profile.id, "name": profile.id, "state": "enabled", "version": document.get("version"),
        "trafficForwardingTypes": sorted(profile.channels),
        "assignments": {"users": sorted(whom.users), "groups": sorted(whom.groups),
                        "userTypes": sorted(whom.user_types)},
        "channels": document.get("channels", {}), "applications": document.get("applications", []),
        "rules": document.get("rules", []),
    }


async def _list_organizations(call: Call) -> Response:
    tenant = call.tenant
    return await listing(call, query_of(call, None), [tenant.id], lambda _: _organization(tenant))


async def _get_organization(call: Call) -> Response:
    query = query_of(call, None)
    if call.parameter().lower() != call.tenant.id:
        raise ApiError(404, "Request_ResourceNotFound", "The token is for another organization.")
    return JSONResponse(selected(query, _organization(call.tenant)))


def _organization(tenant: Tenant) -> Json:
    domains = [{"name": name, "isDefault": index == 0, "isInitial": False} for index, name in enumerate(tenant.domains)]
    return {"id": tenant.id, "displayName": tenant.display_name, "tenantType": "AAD", "verifiedDomains": domains}
