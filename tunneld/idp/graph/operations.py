"""From the table's rows to operations: one method of one path each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from starlette.responses import Response

from tunneld.idp.graph.call import Call
from tunneld.idp.graph.reading import get_object, list_objects
from tunneld.idp.graph.resource import Operation, ResourceType, Verb
from tunneld.idp.graph.writing import create_object, delete_object, replace_object, update_object
from tunneld.policy.kinds import KINDS

Endpoint = Callable[[Call, ResourceType], Awaitable[Response]]

_ENDPOINTS: dict[Verb, tuple[str, Endpoint, str]] = {
    Verb.LIST: ("GET", list_objects, "List objects of kind"),
    Verb.CREATE: ("POST", create_object, "Create an object of kind"),
    Verb.GET: ("GET", get_object, "Get an object of kind"),
    Verb.UPDATE: ("PATCH", update_object, "Change an object of kind"),
    Verb.REPLACE: ("PUT", replace_object, "Put an object of kind"),
    Verb.DELETE: ("DELETE", delete_object, "Delete an object of kind"),
}


def operations_of(row: ResourceType) -> list[Operation]:
    """Return a row's operations. They ask for permissions themselves, since those depend on the object and the body."""
    model = KINDS[row.kind].model
    found = []
    for verb in sorted(row.verbs, key=list(_ENDPOINTS).index):
        method, endpoint, summary = _ENDPOINTS[verb]
        writes = verb in (Verb.CREATE, Verb.UPDATE, Verb.REPLACE)
        found.append(Operation(
            method, row.collection if verb in (Verb.LIST, Verb.CREATE) else row.item_path, partial(_run, endpoint, row),
            f"{summary} {row.kind}.", versions=row.versions, body=model if writes else None,
            partial=verb is Verb.UPDATE, result=model if verb is not Verb.DELETE else None, listing=verb is Verb.LIST,
            answer=_ANSWERS[verb] if not (verb is Verb.UPDATE and row.answers_update) else 200, row=row,
            needs_match=verb in (Verb.UPDATE, Verb.REPLACE, Verb.DELETE),
        ))
    return found


_ANSWERS = {
    Verb.LIST: 200, Verb.GET: 200, Verb.CREATE: 201, Verb.UPDATE: 204, Verb.REPLACE: 204, Verb.DELETE: 204,
}


async def _run(endpoint: Endpoint, row: ResourceType, call: Call) -> Response:
    return await endpoint(call, row)
