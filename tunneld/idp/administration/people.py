"""What happens to whole people: signed out everywhere, offboarded at once, reviewed, or found to be unseen for long."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field
from starlette.responses import JSONResponse, Response

from tunneld.idp.administration.candidates import read_model
from tunneld.idp.administration.rows import REVIEWS, REVIEWS_PATH
from tunneld.idp.answers import ApiError
from tunneld.idp.changes import AuditEntry, AuditTarget, ModifiedProperty
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.objects import etag, shown
from tunneld.idp.graph.resource import Operation
from tunneld.idp.graph.saving import StaleError, actor, entry, save
from tunneld.idp.guests.guest_objects import removed, written
from tunneld.idp.sign_in_log import last_sign_ins
from tunneld.policy.directory import Tenant, User
from tunneld.policy.directory_places import last_of_each
from tunneld.policy.guests.governance import (
    ACCESS_PACKAGE_ASSIGNMENT,
    AccessPackageAssignment,
    AccessReview,
    Ghost,
    as_time,
    ghosts,
    open_review,
    removed_by,
)
from tunneld.policy.objects import Change, GraphObject, ObjectRef
from tunneld.policy.roles import GLOBAL_ADMINISTRATOR, held_roles, roles_of
from tunneld.policy.views import fingerprint, fingerprint_of

MAX_DAYS = 3650
_ATTEMPTS = 5
_REVOKE = "microsoft.directory/users/invalidateAllRefreshTokens"
_OFFBOARD = "microsoft.directory/users/disable"
_READ_LOGS = "microsoft.directory/signInReports/allProperties/read"
_CATEGORY = "UserManagement"
_TAG = "people"


class NewReview(GraphObject):
    """What a review is begun with."""

    display_name: Annotated[str, Field(min_length=1, max_length=256)]
    inactive_days: Annotated[int, Field(ge=1, le=MAX_DAYS)] = 30
    default_decision: str = "None"


async def revoke_sessions(call: Call) -> Response:
    """End every session and refresh token of a user (Microsoft Graph reference: user: revokeSignInSessions).

    Sign-ins that are older than this moment count no more, so nothing has to be looked for and nothing is missed.
    """
    user = _user(call)
    for _ in range(_ATTEMPTS):
        ref, seen = _ref(call, user), fingerprint_of(call.directory, _ref(call, user))
        change = Change(ref, _signed_out(call, _user(call), {}))
        try:
            await save(call, [change], [_record(call, user, "Update StsRefreshTokenValidFrom Timestamp")], {ref: seen})
        except StaleError:
            continue  # an administrator changes the account at the same time: neither write may undo the other
        break
    else:
        raise ApiError(409, "concurrentChange", "The user is being changed by others. Try again.")
    return JSONResponse({"@odata.context": f"{call.root}/$metadata#Edm.Boolean", "value": True})


async def offboard(call: Call) -> Response:
    """Disable a user, sign them out, and take back assignments and invitations: one commit, so at once. Ours."""
    user = _user(call)
    if user.oid == call.user.oid:
        raise ApiError(400, "ownAccount", "Nobody offboards themselves; ask another administrator.")
    _leave_to_global(call, [user])
    taken, invitations = held_by(call.tenant, user.oid), _invitations(call.tenant, user.oid)
    changes = [
        Change(_ref(call, user), _signed_out(call, user, {"accountEnabled": False})),
        *(Change(ref, None) for ref in (*taken, *invitations)),
    ]
    records = [
        _record(call, user, "Disable account", accountEnabled=("true" if user.enabled else "false", "false")),
        _record(call, user, "Update StsRefreshTokenValidFrom Timestamp"),
    ]
    records += [_taken(call, user, ref) for ref in taken]
    await save(call, changes, records)
    return JSONResponse({
        "id": user.oid, "accountEnabled": False, "assignmentsRemoved": len(taken),
        "invitationsWithdrawn": len(invitations),
    })


async def ghost_guests(call: Call) -> Response:
    """Answer the guests whom nobody has seen for `days`. Not in Microsoft Graph."""
    days, seen = _days(call), await _last_seen(call)
    found = ghosts(call.tenant, seen, now=call.provider.now(), days=days)
    return JSONResponse({"days": days, "value": [_ghost(ghost) for ghost in found]})


async def begin_review(call: Call) -> Response:
    """Begin a review of all guests, with what the sign-in log recommends for each."""
    wanted = await read_model(call.request, NewReview)
    now, key = call.provider.now(), str(uuid.uuid4())
    document = {**wanted.to_json(), "id": key, "createdDateTime": as_time(now)}
    draft = _judged_review(document)
    review = open_review(draft, call.tenant, await _last_seen(call), now)
    target = AuditTarget(key, review.display_name, REVIEWS.audit.target)
    await save(call, [Change(ObjectRef(call.tenant.id, REVIEWS.kind, key), review)],
               [entry(call, REVIEWS, REVIEWS.audit.create, [target])])
    headers = {"location": f"{call.root}{REVIEWS_PATH}/{key}", "etag": etag(review)}
    return JSONResponse(shown(REVIEWS, call.tenant, call.user, review), status_code=201, headers=headers)


async def apply_review(call: Call) -> Response:
    """Take out the guests whom the review denies: deleted, signed out and without assignments, all in one commit."""
    review = call.tenant.object(REVIEWS.kind, call.parameter())
    if not isinstance(review, AccessReview):
        raise ApiError(404, "Request_ResourceNotFound", "There is no such review.")
    if review.status == "Applied":
        raise ApiError(409, "reviewApplied", "The review has been applied already.")
    call.require("microsoft.directory/users/delete")
    changes, records, gone = list[Change](), [], []
    _leave_to_global(call, [user for oid in removed_by(review) if (user := call.tenant.users.get(oid)) is not None])
    for oid in removed_by(review):
        user = call.tenant.users.get(oid)
        if user is None or (user.home is None and user.external is None):
            continue  # gone, or no guest any more
        gone.append(oid)
        changes += removed(call.directory, call.tenant.id, oid, call.provider.now(), before=changes)
        changes += [Change(ref, None) for ref in (*held_by(call.tenant, oid), *_invitations(call.tenant, oid))]
        records.append(_record(call, user, "Delete external user"))
    applied = review.model_copy(update={"status": "Applied"})
    changes.append(Change(ObjectRef(call.tenant.id, REVIEWS.kind, review.id), applied))
    target = AuditTarget(review.id, review.display_name, REVIEWS.audit.target)
    records.append(entry(call, REVIEWS, "Apply access review", [target]))
    ref = ObjectRef(call.tenant.id, REVIEWS.kind, review.id)
    try:
        await save(call, last_of_each(changes), records, {ref: fingerprint(review)})
    except StaleError:
        raise ApiError(409, "concurrentChange", "The review is being changed by others. Try again.") from None
    return JSONResponse({"removed": gone, "kept": len(review.decisions) - len(gone)})


async def _last_seen(call: Call) -> dict[str, int]:
    await call.provider.records.flush()  # the latest sign-ins may wait to be stored
    return await last_sign_ins(call.provider.database, call.tenant.id)


def held_by(tenant: Tenant, oid: str) -> list[ObjectRef]:
    """Return a user's access package assignments."""
    kind = ACCESS_PACKAGE_ASSIGNMENT.name
    return [
        ObjectRef(tenant.id, kind, key) for key, value in tenant.objects.get(kind, {}).items()
        if isinstance(value, AccessPackageAssignment) and value.target_id == oid
    ]


def _invitations(tenant: Tenant, oid: str) -> list[ObjectRef]:
    found = []
    for key, value in tenant.objects.get("invitation", {}).items():
        invited = value.to_json().get("invitedUser")
        if isinstance(invited, dict) and invited.get("id") == oid:
            found.append(ObjectRef(tenant.id, "invitation", key))
    return found


def _judged_review(document: dict[str, object]) -> AccessReview:
    from tunneld.idp.graph.writing import judge

    value = judge(REVIEWS.kind, document)
    assert isinstance(value, AccessReview)
    return value


def _signed_out(call: Call, user: User, members: dict[str, object]) -> GraphObject:
    # A sign-in in this very second may be the one that is to end, and nobody can sign in before the next one.
    since = {"sessionsValidFrom": call.provider.now() + 1}
    return written(call.directory, call.tenant.id, user.oid, {**members, **since})


def _leave_to_global(call: Call, users: Iterable[User]) -> None:
    """Leave those who hold a role to Global Administrators, as a change of the object does."""
    if any(held_roles(call.tenant, user) for user in users) and (
        GLOBAL_ADMINISTRATOR not in roles_of(call.tenant, call.user)
    ):
        raise ApiError(
            403, "Authorization_RequestDenied", "Only a Global Administrator may take out somebody who holds a role."
        )


def _user(call: Call) -> User:
    wanted = call.parameter().lower()
    found = call.tenant.users.get(wanted) or next(
        (user for user in call.tenant.users.values() if user.upn.lower() == wanted), None
    )
    if found is None:
        raise ApiError(404, "Request_ResourceNotFound", "There is no such user.")
    return found


def _ref(call: Call, user: User) -> ObjectRef:
    return ObjectRef(call.tenant.id, "user", user.oid)


def _record(call: Call, user: User, activity: str, **members: tuple[str, str]) -> AuditEntry:
    modified = tuple(ModifiedProperty(name, old, new) for name, (old, new) in members.items())
    target = AuditTarget(user.oid, user.upn, "User", modified)
    return AuditEntry(activity, _CATEGORY, call.tenant.id, actor(call), (target,))


def _taken(call: Call, user: User, ref: ObjectRef) -> AuditEntry:
    targets = (AuditTarget(ref.id, ref.id, "AccessPackageAssignment"), AuditTarget(user.oid, user.upn, "User"))
    return AuditEntry(
        "Remove access package assignment", "EntitlementManagement", call.tenant.id, actor(call), targets,
        service="Entitlement Management",
    )


def _days(call: Call) -> int:
    text = call.request.query_params.get("days", "30")
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:5]) <= MAX_DAYS):
        raise ApiError(400, "BadRequest", f"days: a whole number from 1 to {MAX_DAYS}.", target="days")
    return int(text)


def _ghost(ghost: Ghost) -> dict[str, object]:
    user = ghost.user
    return {
        "id": user.oid, "userPrincipalName": user.upn, "displayName": user.display_name, "mail": user.mail or None,
        "userType": str(user.user_type).capitalize(), "accountEnabled": user.enabled,
        "externalUserState": str(user.external_state) if user.external_state else None,
        "lastSignInDateTime": as_time(ghost.last_seen) if ghost.last_seen is not None else None,
        "daysSinceLastSignIn": ghost.days,
    }


OPERATIONS = (
    Operation("POST", "/users/{id}/revokeSignInSessions", revoke_sessions, "End a user's sessions.", _REVOKE, tag=_TAG),
    Operation("POST", "/users/{id}/offboard", offboard, "Offboard a user at once. Not in Microsoft Graph.", _OFFBOARD,
              tag=_TAG),
    Operation("GET", "/reports/ghostGuests", ghost_guests, "List guests unseen for long. Not in Microsoft Graph.",
              _READ_LOGS, tag=_TAG),
    Operation("POST", REVIEWS_PATH, begin_review, "Begin an access review of all guests.", REVIEWS.permissions.create,
              body=NewReview, answer=201, tag=_TAG),
    Operation("POST", f"{REVIEWS_PATH}/{{id}}/applyDecisions", apply_review, "Apply an access review.",
              REVIEWS.permissions.update, tag=_TAG),
)
