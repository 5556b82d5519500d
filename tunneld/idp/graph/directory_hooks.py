"""What users, groups and applications need beyond the table: passwords, references, and what goes with a deletion."""

from __future__ import annotations

import asyncio
import secrets

from tunneld.idp.answers import ApiError
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.relations import id_of
from tunneld.idp.graph.resource import Draft, Json
from tunneld.policy.directory import Tenant, User
from tunneld.policy.directory_objects import ApplicationObject
from tunneld.policy.directory_places import leaving
from tunneld.policy.guests.collaboration import GUEST_AS_MEMBER
from tunneld.policy.objects import Change, GraphObject
from tunneld.policy.passwords import hash_password
from tunneld.policy.roles import GLOBAL_ADMINISTRATOR, held_roles, roles_of

_SHORTEST, _LONGEST = 8, 256  # Microsoft Entra password policy: 8 to 256 characters
_PUBLIC_TO_GUESTS = ("id", "displayName", "mail", "userPrincipalName", "userType")
_PROFILE = {"password", "forceChangePasswordNextSignIn", "forceChangePasswordNextSignInWithMfa"}


def user_id(tenant: Tenant, key: str) -> str:
    """Return the object id of a user who is named by id or by user principal name."""
    wanted = key.lower()
    if wanted in tenant.users or "@" not in wanted:
        return wanted
    return next((user.oid for user in tenant.users.values() if user.upn.lower() == wanted), wanted)


def application_scope(tenant: Tenant, key: str) -> str:
    """Return the audience of an application object: owners and scoped roles are about that."""
    value = tenant.object("application", key)
    return value.audience if isinstance(value, ApplicationObject) else key


async def password_of(call: Call, body: Json) -> Json:
    """Keep the hash of a new password and end the sessions that the old one opened. `mailNickname` is not kept."""
    body = {name: value for name, value in body.items() if name != "mailNickname"}
    if "passwordProfile" not in body:
        return body
    profile = body.pop("passwordProfile")
    password = profile.get("password") if isinstance(profile, dict) else None
    target = "passwordProfile.password"
    if not isinstance(password, str) or not isinstance(profile, dict) or profile.keys() - _PROFILE:
        raise ApiError(400, "BadRequest", "passwordProfile: an object with a password is needed.", target=target)
    if not _SHORTEST <= len(password) <= _LONGEST or not password.isprintable():
        message = f"{target}: {_SHORTEST} to {_LONGEST} printable characters are needed."
        raise ApiError(400, "BadRequest", message, target=target)
    # The executor's threads, a few more than cores, bound how many of these run at once.
    encoded = await asyncio.to_thread(hash_password, password, salt=secrets.token_bytes(16))
    return {**body, "passwordHash": encoded, "sessionsValidFrom": call.provider.now()}


async def bound_members(call: Call, body: Json) -> Json:
    """Take `members@odata.bind` and `owners@odata.bind` for the ids that they refer to."""
    del call
    for name in ("members", "owners"):
        bind = f"{name}@odata.bind"
        if bind in body:
            if name in body or not isinstance(body[bind], list):
                raise ApiError(400, "BadRequest", f"{bind}: a list of URLs is needed.", target=bind)
            body = {**body, name: [id_of(reference, bind) for reference in body[bind]]}
    return body


def not_above_oneself(draft: Draft, document: Json) -> Json:
    """Let those who hold a role be changed by Global Administrators and themselves alone.

    Microsoft's table of who may reset whose password has more steps; this is its strictest reading.
    """
    _protect(draft)
    return document


def _protect(draft: Draft) -> None:
    target = draft.tenant.users.get(draft.key)
    if target is None or target.oid == draft.author.oid or not held_roles(draft.tenant, target):
        return
    if GLOBAL_ADMINISTRATOR not in roles_of(draft.tenant, draft.author):
        raise ApiError(
            403, "Authorization_RequestDenied", "Only a Global Administrator may change somebody who holds a role."
        )


def leave_everything(draft: Draft, value: GraphObject | None) -> list[Change]:
    """Take a deleted user or group out of groups, applications and roles: nothing may name what is not there."""
    if value is not None:
        return []
    _protect(draft)
    return leaving(draft.directory, draft.tenant.id, draft.key)


def as_guests_see(tenant: Tenant, reader: User, document: Json) -> Json:
    """Show a guest of other users what a card shows; of oneself, and to a member, everything."""
    limited = reader.user_type == "guest" and tenant.policy.collaboration.guest_role != GUEST_AS_MEMBER
    if not limited or document["id"] == reader.oid or held_roles(tenant, reader):
        return document
    return {name: document[name] for name in _PUBLIC_TO_GUESTS}


def without_members(tenant: Tenant, reader: User, document: Json) -> Json:
    """Leave out members and owners: they have paths, pages and permissions of their own."""
    del tenant, reader
    return {name: value for name, value in document.items() if name not in ("members", "owners")}
