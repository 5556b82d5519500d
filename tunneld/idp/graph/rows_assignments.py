"""Who has an application (Microsoft Graph reference: servicePrincipal: appRoleAssignedTo, here at the application)."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from tunneld.idp.answers import ApiError
from tunneld.idp.changes import AuditTarget
from tunneld.idp.graph.bodies import read_json, without_annotations
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.logs import LogRecord
from tunneld.idp.graph.objects import found
from tunneld.idp.graph.reading import listing, query_of
from tunneld.idp.graph.resource import Json, Operation
from tunneld.idp.graph.rows_directory import APPLICATIONS_ROW
from tunneld.idp.graph.saving import StaleError, entry, save
from tunneld.idp.graph.writing import judge
from tunneld.policy.application_object import ApplicationObject, RoleHolder
from tunneld.policy.objects import Change, ObjectRef
from tunneld.policy.views import fingerprint

_BASE = "microsoft.directory/servicePrincipals/appRoleAssignedTo/"
_PATH = "/applications/{id}/appRoleAssignedTo"


def assignment_operations() -> list[Operation]:
    """Return list, assign and take away."""
    return [
        Operation("GET", _PATH, _list, "List who is assigned to the application.", result=LogRecord, listing=True,
                  row=APPLICATIONS_ROW),
        Operation("POST", _PATH, _assign, "Assign a user or a group.", body=RoleHolder, result=LogRecord, answer=201,
                  tag="application"),
        Operation("DELETE", f"{_PATH}/{{other}}", _take, "Take an assignment away.", answer=204, row=APPLICATIONS_ROW),
    ]


async def _list(call: Call) -> Response:
    value = _application(call, "read")
    shown = {_id(holder): _shown(call, value, holder) for holder in value.app_role_assignments}
    return await listing(call, query_of(call, None), sorted(shown), shown.__getitem__)


async def _assign(call: Call) -> Response:
    value = _application(call, "update")
    body = without_annotations(await read_json(call.request), frozenset())
    if body.pop("resourceId", value.id) not in (value.id, value.audience):
        raise ApiError(400, "BadRequest", "resourceId: the application of the path is meant.", target="resourceId")
    stored = value.stored()
    judged = judge(APPLICATIONS_ROW.kind, {**stored, "appRoleAssignments": [*stored["appRoleAssignments"], body]})
    assert isinstance(judged, ApplicationObject)
    holder = judged.app_role_assignments[-1]
    if holder in value.app_role_assignments:
        raise ApiError(409, "objectExists", "There is such an assignment already.", target="principalId")
    await _save(call, value, judged, holder, "Add app role assignment grant to user")
    place = f"{call.root}/applications/{value.id}/appRoleAssignedTo/{_id(holder)}"
    return JSONResponse(_shown(call, judged, holder), status_code=201, headers={"location": place})


async def _take(call: Call) -> Response:
    value = _application(call, "update")
    wanted = call.parameter("other").lower()
    for holder in value.app_role_assignments:
        if _id(holder) == wanted:
            rest = tuple(one for one in value.app_role_assignments if one != holder)
            less = value.model_copy(update={"app_role_assignments": rest})
            await _save(call, value, less, holder, "Remove app role assignment from user")
            return Response(status_code=204)
    raise ApiError(404, "Request_ResourceNotFound", "There is no such assignment.")


def _application(call: Call, what: str) -> ApplicationObject:
    row = APPLICATIONS_ROW
    call.require(_BASE + what, row.scope(call.tenant, row.find(call.tenant, call.parameter())))
    value = found(call.directory, call.tenant, row, call.parameter())
    assert isinstance(value, ApplicationObject)
    return value


def _id(holder: RoleHolder) -> str:
    return f"{holder.principal_id}.{holder.app_role_id}"


def _shown(call: Call, value: ApplicationObject, holder: RoleHolder) -> Json:
    tenant, principal = call.tenant, holder.principal_id
    user, group = tenant.users.get(principal), tenant.groups.get(principal)
    name = user.display_name if user is not None else group.name if group is not None else None
    return {
        "id": _id(holder), "appRoleId": holder.app_role_id, "principalId": principal, "principalDisplayName": name,
        "principalType": "User" if user is not None else "Group", "resourceId": value.id,
        "resourceDisplayName": value.display_name,
    }


async def _save(
    call: Call, before: ApplicationObject, after: ApplicationObject, holder: RoleHolder, activity: str
) -> None:
    row = APPLICATIONS_ROW
    ref = ObjectRef(call.tenant.id, row.kind, before.id)
    targets = [AuditTarget(before.id, before.display_name, row.audit.target),
               AuditTarget(holder.principal_id, "", "User" if holder.principal_id in call.tenant.users else "Group")]
    try:
        await save(call, [Change(ref, after)], [entry(call, row, activity, targets)], {ref: fingerprint(before)})
    except StaleError:
        raise ApiError(409, "concurrentChange", "The application is being changed by others. Try again.") from None
