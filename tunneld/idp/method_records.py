"""What the audit log says of people's authentication methods, terms of use and devices."""

from __future__ import annotations

from starlette.requests import Request

from tunneld.idp.answers import correlation_of
from tunneld.idp.changes import Actor, AuditEntry, AuditTarget
from tunneld.idp.provider import Provider
from tunneld.policy.directory import ObjectKey

REGISTERED, DELETED = "User registered security info", "User deleted security info"
ACCEPTED, DECLINED = "Accept Terms Of Use", "Decline Terms Of Use"


async def method_changed(
    provider: Provider, request: Request, owner: ObjectKey, activity: str, **details: str
) -> None:
    """Write that somebody registered or deleted a method of their own."""
    actor = acting(provider, owner)
    entry = AuditEntry(
        activity, "UserManagement", owner[0], actor, (AuditTarget(owner[1], actor.name, "User"),),
        details=details, service="Authentication Methods",
    )
    await provider.records.store_audits([entry], correlation_of(request))


async def terms_answered(
    provider: Provider, request: Request, owner: ObjectKey, activity: str, **details: str
) -> None:
    """Write that terms of use were accepted or declined."""
    actor = acting(provider, owner)
    entry = AuditEntry(
        activity, "Policy", owner[0], actor, (AuditTarget(details["agreement"], details["name"], "Policy"),),
        details=details, service="Terms Of Use",
    )
    await provider.records.store_audits([entry], correlation_of(request))


def acting(provider: Provider, owner: ObjectKey) -> Actor:
    """Return a user object as the one who did something in its tenant."""
    user = provider.directory.user(owner)
    return Actor("user", owner[0], owner[1], user.upn if user else owner[1])
