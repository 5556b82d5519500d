"""Whom a profile is for."""

from __future__ import annotations

from collections.abc import Iterable

from tunneld.forwarding.document import Assignments


def assigned(assignments: Assignments, oid: str, upn: str, groups: Iterable[str], user_type: str) -> bool:
    """Whether the profile is the user's: named by id, principal name or group, and of a user type that is let in.

    With no user and no group named, all users of the named types are meant; with no type named, all types. An
    assignment that names nothing at all is nobody's. Letter case carries no meaning.
    """
    types = {each.lower() for each in assignments.user_types}
    if types and user_type.lower() not in types:
        return False
    if not assignments.users and not assignments.groups:
        return bool(types)
    users = {each.lower() for each in assignments.users}
    named = {each.lower() for each in assignments.groups}
    return oid.lower() in users or upn.lower() in users or not named.isdisjoint(each.lower() for each in groups)
