"""Synchronization jobs as objects, and what a job remembers of each account that it has pushed.

The names follow Microsoft Graph's synchronizationJob (`schedule`, `interval`); the rest of the shape is this system's
own, since Graph keeps scope and mappings in a provisioning schema. One job exists for a pair of tenants: its id is
the target's tenant id, and it belongs to the source.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from tunneld.policy.directory import Directory, Tenant
from tunneld.policy.directory_document import Guid
from tunneld.policy.objects import Conflict, GraphObject, ObjectKind

MAX_SCOPE = 10_000  # users or groups assigned to one job; more is a filter
_DURATION = re.compile(r"PT(?=\d)(?:(\d{1,3})H)?(?:(\d{1,4})M)?(?:(\d{1,5})S)?")  # ISO 8601, hours to seconds

Text = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]


def seconds_of(duration: str) -> int:
    """Return an ISO 8601 duration of hours, minutes and seconds as seconds. Raises ValueError."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError("not a duration such as PT40M")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def _interval(duration: str) -> str:
    if seconds_of(duration) < 1:
        raise ValueError("an interval is at least one second")
    return duration


class Clause(GraphObject):
    """One condition of an attribute filter; all clauses of a job have to hold. Text is compared without case."""

    attribute: Text
    operator: Literal["equals", "notEquals", "startsWith", "contains", "isPresent"] = "equals"
    value: str = ""

    def holds(self, text: str) -> bool:
        """Tell whether a user's attribute satisfies the clause."""
        have, want = text.casefold(), self.value.casefold()
        return {
            "equals": have == want, "notEquals": have != want, "startsWith": have.startswith(want),
            "contains": want in have, "isPresent": bool(have),
        }[self.operator]


class Scope(GraphObject):
    """Who is pushed: assigned users and groups (their direct members), or everybody whom the filter matches."""

    users: Annotated[tuple[Guid, ...], Field(max_length=MAX_SCOPE)] = ()
    groups: Annotated[tuple[Guid, ...], Field(max_length=MAX_SCOPE)] = ()
    filters: Annotated[tuple[Clause, ...], Field(max_length=32)] = ()


class UserTypeMapping(GraphObject):
    """What external users become, and whether those who are there already are changed too."""

    value: Literal["Member", "Guest"] = "Member"
    apply: Literal["onCreate", "always"] = "onCreate"


class Schedule(GraphObject):
    """How often an enabled job runs by itself."""

    interval: Annotated[str, AfterValidator(_interval)] = "PT40M"


class SynchronizationJob(GraphObject):
    """What one tenant pushes to another."""

    id: Guid
    display_name: str = ""
    enabled: bool = False
    scope: Scope = Scope()
    user_type: UserTypeMapping = UserTypeMapping()
    attributes: Annotated[tuple[Text, ...], Field(max_length=64)] = (
        "givenName", "surname", "jobTitle", "department", "companyName", "officeLocation", "employeeId",
    )  # fmt: skip
    schedule: Schedule = Schedule()


class EntryState(StrEnum):
    """What the job last did for an account."""

    ACTIVE = "active"
    DISABLED = "disabled"
    DELETED = "deleted"


Via = Literal["user", "group", "filter"]  # by what an account is in scope


class SynchronizationEntry(GraphObject):
    """The link between a source account and its object in the target, with a fingerprint of what was pushed last."""

    id: str
    target_id: str
    fingerprint: str
    via: Via
    state: EntryState
    deleted_at: int = 0


def check_job(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    """Refuse a job whose target or scope names nothing."""
    assert isinstance(value, SynchronizationJob)
    tenant = directory.tenants[tenant_id]
    if value.id == tenant_id:
        return Conflict("sameTenant", "a tenant does not synchronize into itself", "name another tenant", "id")
    if value.id not in directory.tenants:
        return Conflict("unknownTenant", f"there is no tenant {value.id}", "give the target's tenant id", "id", 404)
    if value.scope.filters and (value.scope.users or value.scope.groups):
        message = "a job is scoped by assignment or by a filter, not by both"
        return Conflict("mixedScope", message, "empty scope.filters, or scope.users and scope.groups", "scope")
    return _unknown(value.scope, tenant)


def _unknown(scope: Scope, tenant: Tenant) -> Conflict | None:
    for oid in scope.users:
        if oid not in tenant.users:
            return Conflict("unknownUser", f"no user {oid} in {tenant.name}", "remove it", "scope.users")
    for group in scope.groups:
        if group not in tenant.groups:
            return Conflict("unknownGroup", f"no group {group} in {tenant.name}", "remove it", "scope.groups")
    return None


def unchanged(directory: Directory, tenant_id: str, values: Mapping[str, GraphObject | None]) -> Directory:
    """Leave the directory as it is: the objects themselves are all that is read."""
    del tenant_id, values
    return directory


SYNCHRONIZATION_JOB = ObjectKind("synchronizationJob", SynchronizationJob, unchanged, check_job)
SYNCHRONIZATION_ENTRY = ObjectKind("synchronizationEntry", SynchronizationEntry, unchanged)
SYNCHRONIZATION_KINDS = (SYNCHRONIZATION_JOB, SYNCHRONIZATION_ENTRY)
