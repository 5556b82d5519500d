"""An organization's colour, as a style sheet of our own making: pages have no inline style, and no bytes of others."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from tunneld.idp.answers import ApiError
from tunneld.idp.provider import provider_of
from tunneld.policy.directory import Tenant
from tunneld.policy.guests.branding import branding_of


def style_url(tenant: Tenant | None) -> str:
    """Return where a tenant's style sheet is, "" when it has none."""
    return f"/{tenant.id}/branding.css" if tenant is not None and branding_of(tenant).background_color else ""


def branding_style(request: Request) -> Response:
    """Serve GET /{tenant}/branding.css."""
    tenant = provider_of(request).directory.tenant(request.path_params["tenant"])
    color = branding_of(tenant).background_color
    if color is None:
        raise ApiError(404, "not_found", "The organization has no colour of its own.")
    # Six hexadecimal digits, which the object's model saw to: nothing else can stand here.
    return Response(f":root {{ --ground: {color}; }}\n", media_type="text/css", headers={"cache-control": "no-cache"})
