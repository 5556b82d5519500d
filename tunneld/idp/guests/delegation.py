"""Guests of one application: its owners assign and unassign them without a directory role, and nobody but guests.

`/applications/{id}/guests/{user}` is ours: in Graph the same is an `appRoleAssignedTo` of the service principal.
"""

from __future__ import annotations

from starlette.responses import Response

from tunneld.idp.answers import ApiError
from tunneld.idp.changes import AuditEntry, AuditTarget
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.saving import actor, save
from tunneld.policy.application_object import ApplicationObject
from tunneld.policy.directory import SignInWay, User
from tunneld.policy.objects import Change, ObjectRef
from tunneld.policy.views import view

PERMISSION = "microsoft.directory/servicePrincipals/appRoleAssignedTo/update"


async def assign_guest(call: Call) -> Response:
    """Serve PUT /applications/{id}/guests/{user}: assign, which may have been done before."""
    application, guest = _judge(call)
    if guest.oid not in application.assignments.users:
        users = (*application.assignments.users, guest.oid)
        await _save(call, application, guest, users, "Add app role assignment grant to user")
    return Response(status_code=204)


async def unassign_guest(call: Call) -> Response:
    """Serve DELETE of the same."""
    application, guest = _judge(call)
    users = tuple(one for one in application.assignments.users if one != guest.oid)
    if len(users) == len(application.assignments.users):
        raise ApiError(404, "Request_ResourceNotFound", "The guest is not assigned to the application by name.")
    await _save(call, application, guest, users, "Remove app role assignment from user")
    return Response(status_code=204)


def _judge(call: Call) -> tuple[ApplicationObject, User]:
    """Find both, for an owner or somebody with the permission. Raises ApiError(403, 404)."""
    application = view(call.directory, call.tenant.id, "application", call.parameter())
    owner = isinstance(application, ApplicationObject) and call.user.oid in application.owners
    if not owner:
        call.require(PERMISSION, call.parameter().lower())
    if not isinstance(application, ApplicationObject):
        raise ApiError(404, "Request_ResourceNotFound", "There is no such application.")
    guest = call.tenant.users.get(call.parameter("user").lower())
    if guest is None:
        raise ApiError(404, "Request_ResourceNotFound", "There is no such user.")
    if guest.way is SignInWay.HERE and guest.external_state is None:
        raise ApiError(403, "notAGuest", "Owners assign guests only; this user signs in here.")
    return application, guest


async def _save(
    call: Call, application: ApplicationObject, guest: User, users: tuple[str, ...], activity: str
) -> None:
    assignments = application.assignments.model_copy(update={"users": users})
    value = application.model_copy(update={"assignments": assignments})
    targets = (
        AuditTarget(application.id, application.display_name, "Application"), AuditTarget(guest.oid, guest.upn, "User"),
    )
    record = AuditEntry(activity, "ApplicationManagement", call.tenant.id, actor(call), targets)
    await save(call, [Change(ObjectRef(call.tenant.id, "application", application.id), value)], [record])
