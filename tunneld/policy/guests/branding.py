"""Organizational branding: a few words and a colour of its own on an organization's sign-in page.

Microsoft Graph reference: organizationalBranding, of which the members without files are offered: an image or a style
sheet from elsewhere would bring somebody else's bytes onto the page where passwords are typed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from tunneld.policy.directory import Directory, Tenant
from tunneld.policy.guests.invitation_object import one_line, printable
from tunneld.policy.objects import GraphObject, ObjectKind

KIND = "organizationalBranding"
ID = "branding"


class OrganizationalBranding(GraphObject):
    """`/organization/{id}/branding`; the limits of length are Graph's."""

    background_color: Annotated[str, StringConstraints(pattern=r"^#[0-9A-Fa-f]{6}$")] | None = None
    sign_in_page_text: Annotated[str, StringConstraints(max_length=1024), AfterValidator(printable)] | None = None
    username_hint_text: Annotated[str, StringConstraints(max_length=64), AfterValidator(one_line)] | None = None


def branding_of(tenant: Tenant | None) -> OrganizationalBranding:
    """Return a tenant's branding, an empty one where it has none."""
    found = tenant.object(KIND, ID) if tenant is not None else None
    return found if isinstance(found, OrganizationalBranding) else OrganizationalBranding()


def _put(directory: Directory, tenant_id: str, values: Mapping[str, GraphObject | None]) -> Directory:
    """Branding decides nothing."""
    del tenant_id, values
    return directory


ORGANIZATIONAL_BRANDING = ObjectKind(KIND, OrganizationalBranding, _put)
