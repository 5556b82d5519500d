"""The link in an invitation: unguessable, for one invitation, and worthless once a later one has taken its place."""

from __future__ import annotations

from tunneld.idp.provider import Provider
from tunneld.policy.directory import Tenant
from tunneld.policy.guests.invitation_object import Invitation

_PURPOSE = "invitation"


def redeem_url(provider: Provider, tenant: Tenant, invitation: Invitation) -> str:
    """Return the URL that redeems an invitation: the id with a MAC, so that nothing has to be kept for it."""
    ticket = provider.seal.seal(_PURPOSE, f"{tenant.id}.{invitation.id}")
    return f"{provider.base_url}/{tenant.id}/redeem?ticket={ticket}"


def invitation_of(provider: Provider, tenant: Tenant, ticket: str) -> Invitation | None:
    """Return the invitation that a ticket is for, None for anything else."""
    text = provider.seal.open(_PURPOSE, ticket)
    tenant_id, _, invitation_id = (text or "").partition(".")
    found = tenant.object("invitation", invitation_id) if tenant_id == tenant.id else None
    return found if isinstance(found, Invitation) else None
