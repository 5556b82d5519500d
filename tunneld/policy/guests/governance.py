"""Entitlement: access packages, assignments that end by themselves, reviews of guests, and guests nobody has seen.

Names and words follow Microsoft Graph's accessPackage, accessPackageAssignment and accessReview; where Graph spreads
one thing over several resources, the members stand in one object here. An assignment is judged when a token is
minted, against the clock: it ends at its second, whether or not anything has swept it away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from tunneld.policy.directory import Directory, Tenant, User
from tunneld.policy.directory_document import Guid
from tunneld.policy.group_object import groups_of
from tunneld.policy.guests.entitlements import Entitlement, Entitlements
from tunneld.policy.objects import Conflict, GraphObject, ObjectKind

MAX_RESOURCES = 500  # applications or groups of one package
MAX_DECISIONS = 100_000
DAY_S = 86400

Text = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
Paragraph = Annotated[str, StringConstraints(max_length=4096, pattern=r"^[^\x00]*$")]


def moment(text: str) -> int:
    """Return an RFC 3339 time as seconds since the epoch. Raises ValueError."""
    try:
        parsed = datetime.fromisoformat(text)
        if parsed.tzinfo is None:
            raise ValueError
        return int(parsed.timestamp())
    except (ValueError, OverflowError):
        raise ValueError("not a time such as 2026-11-20T12:00:00Z") from None


def as_time(seconds: int) -> str:
    """Return seconds since the epoch as Graph writes a time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: str) -> str:
    return as_time(moment(text))


Time = Annotated[str, Field(max_length=64), AfterValidator(_time)]


class AccessPackage(GraphObject):
    """A bundle of applications and groups that is given for a time."""

    id: Guid
    display_name: Text
    description: Paragraph = ""
    applications: Annotated[tuple[Guid, ...], Field(max_length=MAX_RESOURCES)] = ()
    groups: Annotated[tuple[Guid, ...], Field(max_length=MAX_RESOURCES)] = ()


class AccessPackageAssignment(GraphObject):
    """One user's hold on a package. Without an end it lasts until it is removed."""

    id: Guid
    access_package_id: Guid
    target_id: Guid
    start_date_time: Time
    expiration_date_time: Time | None = None


class ReviewDecision(GraphObject):
    """What a reviewer said of one guest, beside what the sign-in log says."""

    principal_id: Guid
    user_principal_name: str
    last_sign_in_date_time: str | None = None
    recommendation: Literal["Approve", "Deny"]
    decision: Literal["NotReviewed", "Approve", "Deny"] = "NotReviewed"
    justification: Paragraph = ""


class AccessReview(GraphObject):
    """A review of a tenant's guests. `default_decision` is taken for those whom nobody judged."""

    id: Guid
    display_name: Text
    inactive_days: Annotated[int, Field(ge=1, le=3650)] = 30
    default_decision: Literal["None", "Approve", "Deny", "Recommendation"] = "None"
    status: Literal["InProgress", "Applied"] = "InProgress"
    created_date_time: Time
    decisions: Annotated[tuple[ReviewDecision, ...], Field(max_length=MAX_DECISIONS)] = ()


@dataclass(frozen=True, slots=True)
class Ghost:
    """A guest whom nobody has seen for long, or ever."""

    user: User
    last_seen: int | None
    days: int | None  # None: never seen


def ghosts(tenant: Tenant, last_seen: Mapping[str, int], *, now: int, days: int) -> tuple[Ghost, ...]:
    """Return the tenant's external users without a sign-in for `days`, the longest unseen first."""
    found = []
    for user in tenant.users.values():
        if user.home is None and user.external is None:
            continue
        seen = last_seen.get(user.oid)
        if seen is None or now - seen >= days * DAY_S:
            found.append(Ghost(user, seen, None if seen is None else (now - seen) // DAY_S))
    return tuple(sorted(found, key=lambda ghost: (ghost.last_seen or 0, ghost.user.upn)))


def open_review(review: AccessReview, tenant: Tenant, last_seen: Mapping[str, int], now: int) -> AccessReview:
    """Return the review with one undecided line for every external user, and a recommendation from the log."""
    unseen = {ghost.user.oid for ghost in ghosts(tenant, last_seen, now=now, days=review.inactive_days)}
    decisions = tuple(
        ReviewDecision(
            principal_id=user.oid, user_principal_name=user.upn,
            last_sign_in_date_time=as_time(last_seen[user.oid]) if user.oid in last_seen else None,
            recommendation="Deny" if user.oid in unseen else "Approve",
        )
        for user in sorted(tenant.users.values(), key=lambda user: user.upn)
        if user.home is not None or user.external is not None
    )
    return review.model_copy(update={"decisions": decisions})


def removed_by(review: AccessReview) -> tuple[str, ...]:
    """Return the object ids of the guests whom the review, as it stands, takes out."""
    return tuple(line.principal_id for line in review.decisions if _verdict(review, line) == "Deny")


def expired(tenant: Tenant, now: int) -> tuple[AccessPackageAssignment, ...]:
    """Return the assignments whose end has come."""
    found = []
    for value in tenant.objects.get(ACCESS_PACKAGE_ASSIGNMENT.name, {}).values():
        assert isinstance(value, AccessPackageAssignment)
        if value.expiration_date_time is not None and moment(value.expiration_date_time) <= now:
            found.append(value)
    return tuple(found)


def entitle(tenant: Tenant, user: User, now: int) -> User:
    """Return the user with the groups that packages give at this moment."""
    held = tenant.policy.entitlements.held(user.oid, now)
    given = {group for entitlement in held for group in entitlement.groups}
    given |= {around for group in given for around in groups_of(group, tenant.groups)}
    groups = sorted(given - set(user.groups))
    if not groups:
        return user
    names = frozenset(tenant.groups[group].name.lower() for group in groups if group in tenant.groups)
    return replace(
        user, groups=tuple(sorted((*user.groups, *groups))), group_keys=user.group_keys | frozenset(groups) | names
    )


def may_use(tenant: Tenant, user: User, application: str, now: int) -> bool:
    """Tell whether a user may use an application: by the application's own assignments, or by a package now."""
    if tenant.applications[application].assignments.closeness(user) is not None:
        return True
    return any(application in held.applications for held in tenant.policy.entitlements.held(user.oid, now))


def check_package(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    """Refuse a package that is empty or names an application which the tenant does not have."""
    assert isinstance(value, AccessPackage)
    if not value.applications and not value.groups:
        return Conflict("emptyPackage", "the package gives nothing", "name an application or a group", "applications")
    for application in value.applications:
        if application not in directory.tenants[tenant_id].applications:
            message = f"no application {application} in the tenant"
            return Conflict("unknownApplication", message, "remove it from the package", "applications")
    return None


def check_assignment(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    """Refuse an assignment of an unknown package, to an unknown user, or that ends before it begins."""
    assert isinstance(value, AccessPackageAssignment)
    tenant = directory.tenants[tenant_id]
    if tenant.object(ACCESS_PACKAGE.name, value.access_package_id) is None:
        message = f"no access package {value.access_package_id}"
        return Conflict("unknownPackage", message, "create the package first", "accessPackageId")
    if value.target_id not in tenant.users:
        return Conflict("unknownUser", f"no user {value.target_id} in the tenant", "invite them first", "targetId")
    end = value.expiration_date_time
    if end is not None and moment(end) <= moment(value.start_date_time):
        return Conflict("emptyPeriod", "the assignment ends before it begins", "move its end", "expirationDateTime")
    return None


def check_package_delete(directory: Directory, tenant_id: str, object_id: str) -> Conflict | None:
    """Keep a package that somebody still holds."""
    for value in directory.tenants[tenant_id].objects.get(ACCESS_PACKAGE_ASSIGNMENT.name, {}).values():
        if isinstance(value, AccessPackageAssignment) and value.access_package_id == object_id:
            return Conflict("packageInUse", f"the assignment {value.id} is of it", "remove its assignments first")
    return None


def put_entitlements(directory: Directory, tenant_id: str, values: Mapping[str, GraphObject | None]) -> Directory:
    """Compile the tenant's assignments anew; there are as many as people with a package, not as people."""
    del values
    tenant = directory.tenants[tenant_id]
    packages = tenant.objects.get(ACCESS_PACKAGE.name, {})
    held: dict[str, list[Entitlement]] = {}
    for value in tenant.objects.get(ACCESS_PACKAGE_ASSIGNMENT.name, {}).values():
        assert isinstance(value, AccessPackageAssignment)
        package = packages.get(value.access_package_id)
        if isinstance(package, AccessPackage):
            held.setdefault(value.target_id, []).append(_entitlement(package, value))
    entitlements = Entitlements({oid: tuple(entries) for oid, entries in held.items()})
    changed = replace(tenant, policy=replace(tenant.policy, entitlements=entitlements))
    return replace(directory, tenants={**directory.tenants, tenant_id: changed})


def as_stored(directory: Directory, tenant_id: str, values: Mapping[str, GraphObject | None]) -> Directory:
    """Leave everything compiled as it is: a review decides nothing until it is applied."""
    del tenant_id, values
    return directory


def _entitlement(package: AccessPackage, assignment: AccessPackageAssignment) -> Entitlement:
    end = assignment.expiration_date_time
    return Entitlement(
        package.id, frozenset(package.applications), frozenset(package.groups), moment(assignment.start_date_time),
        moment(end) if end is not None else None,
    )


def _verdict(review: AccessReview, line: ReviewDecision) -> str:
    if line.decision != "NotReviewed":
        return line.decision
    return line.recommendation if review.default_decision == "Recommendation" else review.default_decision


ACCESS_PACKAGE = ObjectKind("accessPackage", AccessPackage, put_entitlements, check_package, check_package_delete)
ACCESS_PACKAGE_ASSIGNMENT = ObjectKind(
    "accessPackageAssignment", AccessPackageAssignment, put_entitlements, check_assignment
)
ACCESS_REVIEW = ObjectKind("accessReview", AccessReview, as_stored)
GOVERNANCE_KINDS = (ACCESS_PACKAGE, ACCESS_PACKAGE_ASSIGNMENT, ACCESS_REVIEW)
