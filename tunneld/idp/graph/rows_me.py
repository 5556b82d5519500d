"""The caller's own object, memberships (Microsoft Graph reference: user)."""

from __future__ import annotations

from functools import partial

from pydantic import ValidationError
from starlette.responses import JSONResponse, Response

from tunneld.idp.answers import ApiError
from tunneld.idp.graph.bodies import invalid, read_json
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.logs import LogRecord
from tunneld.idp.graph.objects import found, shown
from tunneld.idp.graph.reading import listing, members_of, query_of
from tunneld.idp.graph.relations import render
from tunneld.idp.graph.resource import Operation
from tunneld.idp.graph.rows_directory import GROUPS_ROW, USERS_ROW
from tunneld.policy.directory import User
from tunneld.policy.objects import GraphObject
from tunneld.policy.odata import selected
from tunneld.policy.roles import MEMBERS, OWN_GROUPS, OWN_OBJECT

_KINDS = (("group", GROUPS_ROW),)


class MemberQuestion(GraphObject):
    """The body of getMemberObjects and getMemberGroups."""

    security_enabled_only: bool = False


def me_operations() -> list[Operation]:
    """Return the operations on oneself and on memberships."""
    operations = [
        Operation("GET", "/me", _me, "Get the caller's own user object.", OWN_OBJECT, result=LogRecord, row=USERS_ROW),
    ]
    for base in ("/me", "/users/{id}"):
        operations += [
            Operation("GET", f"{base}/memberOf", partial(_member_of, False), "List groups, direct ones alone.",
                      result=LogRecord, listing=True, tag="user"),
            Operation("GET", f"{base}/transitiveMemberOf", partial(_member_of, True), "List groups, nested ones too.",
                      result=LogRecord, listing=True, tag="user"),
            Operation("POST", f"{base}/getMemberObjects", _member_objects, "Get the ids of all groups.",
                      body=MemberQuestion, result=LogRecord, tag="user"),
            Operation("POST", f"{base}/getMemberGroups", _member_objects, "Get the ids of all groups.",
                      body=MemberQuestion, result=LogRecord, tag="user"),
        ]
    return operations


async def _me(call: Call) -> Response:
    query = query_of(call, members_of(USERS_ROW))
    value = found(call.directory, call.tenant, USERS_ROW, call.user.oid)
    return JSONResponse(selected(query, shown(USERS_ROW, call.tenant, call.user, value)))


def _subject(call: Call, own: str, other: str) -> User:
    """Return the user whom the path names. Raises ApiError(403) before it says whether there is one."""
    key = USERS_ROW.find(call.tenant, call.parameter()) if call.parameter() else call.user.oid
    if key != call.user.oid:
        call.require(other)
    else:
        call.require(own)
    user = call.tenant.users.get(key)
    if user is None:
        raise ApiError(404, "Request_ResourceNotFound", "The user does not exist, or has been deleted.")
    return user


def _visible_groups(call: Call, user: User, *, nested: bool) -> list[str]:
    """Return group ids; groups with hidden members are named to themselves and to readers of those alone."""
    groups = call.tenant.groups
    may_see = user.oid == call.user.oid or call.may("microsoft.directory/groups/hiddenMembers/read")
    return [
        key for key in user.groups
        if key in groups and (nested or user.oid in groups[key].members) and (may_see or not groups[key].members_hidden)
    ]


async def _member_of(nested: bool, call: Call) -> Response:
    user = _subject(call, OWN_GROUPS, MEMBERS)
    ids = _visible_groups(call, user, nested=nested)
    return await listing(call, query_of(call, None), ids, lambda key: render(call, _KINDS, key))


async def _member_objects(call: Call) -> Response:
    user = _subject(call, OWN_GROUPS, MEMBERS)
    body = await read_json(call.request)
    try:
        MemberQuestion.model_validate(body)
    except ValidationError as error:
        raise invalid(error) from None
    if not isinstance(body.get("securityEnabledOnly", False), bool):
        raise ApiError(400, "BadRequest", "securityEnabledOnly: true or false.", target="securityEnabledOnly")
    return JSONResponse({"value": _visible_groups(call, user, nested=True)})
