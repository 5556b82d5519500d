"""The directory API that the daemon asks: where may I go, and what is my forwarding profile there."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tunneld.idp.answers import ApiError
from tunneld.idp.provider import provider_of
from tunneld.idp.tokens import verify_bearer
from tunneld.policy.directory import DIRECTORY_API, Tenant, User


async def my_tenants(request: Request) -> Response:
    """Serve GET /v1.0/me/tenants: home first, then the tenants that this account may visit."""
    provider = provider_of(request)
    caller = verify_bearer(provider, request, DIRECTORY_API)
    if caller.user.home is not None:
        raise ApiError(403, "not_home_tenant", "Only the home tenant knows where an account may go.")
    value = [_entry(caller.tenant, caller.user, home=True)]
    visits = provider.directory.visits.get((caller.tenant.id, caller.user.oid), ())
    for tenant_id, oid in sorted(visits, key=lambda key: provider.directory.tenants[key[0]].name):
        tenant = provider.directory.tenants[tenant_id]
        user = tenant.users[oid]
        if user.enabled:
            value.append(_entry(tenant, user, home=False))
    return JSONResponse({"value": value})


async def my_forwarding_profile(request: Request) -> Response:
    """Serve GET /v1.0/networkAccess/me/forwardingProfile, conditionally (RFC 9110 §13.1.2)."""
    provider = provider_of(request)
    caller = verify_bearer(provider, request, DIRECTORY_API)
    if not caller.tenant.profiles:
        raise ApiError(404, "no_profile", "The tenant has no forwarding profile.")
    assigned = caller.tenant.profile_of(caller.user)
    if assigned is None:
        raise ApiError(404, "profile_not_assigned", "No forwarding profile is assigned to the user.")
    profile = provider.loaded.profiles[caller.tenant.id, assigned.id]
    headers = {"etag": profile.etag, "cache-control": "private, no-cache", "vary": "authorization"}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if profile.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(profile.body, media_type="application/json", headers=headers)


def _entry(tenant: Tenant, user: User, *, home: bool) -> dict[str, object]:
    return {
        "id": tenant.id, "name": tenant.name, "displayName": tenant.display_name,
        "userType": str(user.user_type).capitalize(), "home": home,
    }
