"""Roles, who has them, and which permissions ask for a step-up (Microsoft Graph reference: rbacApplication)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from starlette.responses import JSONResponse, Response

from tunneld.idp.answers import ApiError
from tunneld.idp.changes import AuditTarget
from tunneld.idp.graph.bodies import read_json, without_annotations
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.reading import listing, query_of
from tunneld.idp.graph.resource import BETA, Activities, Draft, Json, Operation, Permissions, ResourceType, Verb
from tunneld.idp.graph.rows_access import permissions
from tunneld.idp.graph.saving import entry, modified, save
from tunneld.idp.graph.writing import judge
from tunneld.policy.objects import Change, ObjectRef
from tunneld.policy.roles import GLOBAL_ADMINISTRATOR, ResourceAction, allowed, roles_of

Known = Callable[[], frozenset[str]]  # the permission strings of the whole table

_CATEGORY = "RoleManagement"
_ROOT = "/roleManagement/directory"
_ACTIONS = f"{_ROOT}/resourceNamespaces/microsoft.directory/resourceActions"
_BUILT_IN_ONLY = frozenset({"id", "isBuiltIn", "templateId"})


def _no_more_than_own(draft: Draft, document: Json) -> Json:
    """Refuse a role that holds more than its author, who could give it to themselves."""
    for index, one in enumerate(document.get("rolePermissions") or ()):
        actions = one.get("allowedResourceActions") if isinstance(one, dict) else None
        for action in actions if isinstance(actions, list) else ():
            if isinstance(action, str) and not _holds(draft, action):
                raise ApiError(
                    403, "Authorization_RequestDenied", f"You do not hold {action[:160]} yourself.",
                    target=f"rolePermissions[{index}]",
                )
    return document


def _own_to_give(draft: Draft, document: Json) -> Json:
    """Refuse to give away a role that its giver does not hold; Global Administrators give any."""
    role = document.get("roleDefinitionId")
    held = roles_of(draft.tenant, draft.author)
    if isinstance(role, str) and not {role.lower(), GLOBAL_ADMINISTRATOR} & held:
        raise ApiError(
            403, "Authorization_RequestDenied", "You do not hold that role over the whole tenant yourself.",
            target="roleDefinitionId",
        )
    return document


def _holds(draft: Draft, permission: str) -> bool:
    return bool(getattr(allowed(draft.tenant, draft.author, permission), "role", ""))


DEFINITIONS = ResourceType(
    kind="roleDefinition", collection=f"{_ROOT}/roleDefinitions", permissions=permissions("roleDefinitions"),
    audit=Activities(_CATEGORY, "Add role definition", "Update role definition", "Delete role definition", "Role"),
    read_only=_BUILT_IN_ONLY, prepare=_no_more_than_own,
)
ASSIGNMENTS = ResourceType(
    kind="roleAssignment", collection=f"{_ROOT}/roleAssignments",
    permissions=Permissions(
        "microsoft.directory/roleAssignments/standard/read", "microsoft.directory/roleAssignments/create",
        delete="microsoft.directory/roleAssignments/delete",
    ),
    verbs=frozenset({Verb.LIST, Verb.GET, Verb.CREATE, Verb.DELETE}),
    audit=Activities(_CATEGORY, "Add member to role", "", "Remove member from role", "Role"),
    read_only=frozenset({"id"}), name="principalId", prepare=_own_to_give,
)
PROTECTED = ResourceType(
    kind="protectedAction", collection=_ACTIONS, permissions=permissions("resourceNamespaces/resourceActions"),
    audit=Activities(_CATEGORY, "", "Update resource action authentication context", "", "Role"), name="name",
)

ROLE_ROWS = (DEFINITIONS, ASSIGNMENTS)


def role_operations(known: Known) -> list[Operation]:
    """Return the operations on protected actions: every permission string of the table is one."""
    read, update = PROTECTED.permissions.read, PROTECTED.permissions.update
    return [
        Operation("GET", _ACTIONS, partial(_list, known), "List the permissions and what protects them.", read, (BETA,),
                  result=ResourceAction, listing=True, row=PROTECTED),
        Operation("GET", f"{_ACTIONS}/{{id}}", partial(_get, known), "Get a permission and what protects it.", read,
                  (BETA,), result=ResourceAction, row=PROTECTED),
        Operation("PATCH", f"{_ACTIONS}/{{id}}", partial(_protect, known), "Protect a permission, or stop to.", update,
                  (BETA,), body=ResourceAction, partial=True, answer=204, row=PROTECTED),
    ]


def action_id(permission: str) -> str:
    """Return the id of a permission among the resource actions: a path segment cannot have slashes."""
    return permission.replace("/", "-").lower()


async def _list(known: Known, call: Call) -> Response:
    actions = {action_id(name): name for name in known()}
    return await listing(
        call, query_of(call, None), sorted(actions), lambda key: _action(call, actions[key]).to_json()
    )


async def _get(known: Known, call: Call) -> Response:
    return JSONResponse(_action(call, _named(known, call)).to_json())


async def _protect(known: Known, call: Call) -> Response:
    present = _action(call, _named(known, call))
    body = without_annotations(await read_json(call.request), frozenset())
    for name in sorted(body.keys() - {"authenticationContextId"}):
        shown = "".join(letter if letter.isprintable() else "?" for letter in name[:128])  # half a surrogate pair, too
        raise ApiError(400, "BadRequest", f"{shown}: only authenticationContextId can be set.", target=shown)
    value = judge(PROTECTED.kind, {**present.to_json(), **body})
    changed = modified(present.to_json(), value.to_json())
    assert isinstance(value, ResourceAction)
    target = AuditTarget(present.id, present.name, PROTECTED.audit.target, changed)
    # An unprotected permission is one that nothing is stored about.
    kept = value if value.authentication_context_id is not None else None
    change = Change(ObjectRef(call.tenant.id, PROTECTED.kind, present.id), kept)
    await save(call, [change], [entry(call, PROTECTED, PROTECTED.audit.update, [target])])
    return Response(status_code=204)


def _named(known: Known, call: Call) -> str:
    wanted = call.parameter().lower()
    for name in known():
        if action_id(name) == wanted:
            return name
    raise ApiError(404, "Request_ResourceNotFound", "There is no such permission.")


def _action(call: Call, permission: str) -> ResourceAction:
    context = call.tenant.policy.roles.protected.get(permission)
    return ResourceAction(id=action_id(permission), name=permission, authentication_context_id=context)
