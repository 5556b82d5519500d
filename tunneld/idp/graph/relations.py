"""Relations between directory objects: `…/members`, `…/owners` and their `$ref` (OData 4.01 Protocol §11.4.6)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import Response

from tunneld.idp.answers import ApiError
from tunneld.idp.changes import AuditTarget, ModifiedProperty
from tunneld.idp.graph.bodies import read_json
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.logs import LogRecord
from tunneld.idp.graph.objects import found, shown
from tunneld.idp.graph.reading import listing, query_of
from tunneld.idp.graph.resource import Json, Operation, ResourceType
from tunneld.idp.graph.saving import StaleError, entry, save
from tunneld.policy.objects import Change, GraphObject, ObjectRef
from tunneld.policy.views import fingerprint_of, view

_REFERENCE = re.compile(
    r"(?:https://[^\s/]+)?/?(?:v1\.0|beta)?/?(?:directoryObjects|users|groups|devices)/([0-9A-Fa-f-]{36})"
)
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Relation:
    """A member that lists ids of other objects. `kinds` is what they may be, most likely first."""

    row: ResourceType
    member: str
    kinds: tuple[tuple[str, ResourceType], ...]  # (Graph's type, the row that shows it)
    read: str
    write: str
    added: str  # what the audit log calls it
    removed: str
    readable: Callable[[Call, GraphObject], None]


def relation_operations(relation: Relation) -> list[Operation]:
    """Return list, list of references, add and remove."""
    path = f"{relation.row.item_path}/{relation.member}"
    noun = f"{relation.member} of a {relation.row.kind}"

    async def list_objects(call: Call) -> Response:
        ids = _related(call, relation)
        return await listing(call, query_of(call, None), ids, lambda key: render(call, relation.kinds, key))

    async def list_references(call: Call) -> Response:
        ids = _related(call, relation)
        return await listing(
            call, query_of(call, None), ids, lambda key: {"@odata.id": f"{call.root}/directoryObjects/{key}"}
        )

    async def add(call: Call) -> Response:
        _require_write(call, relation)
        new = reference_of(await read_json(call.request))
        await _change(call, relation, new, add=True)
        return Response(status_code=204)

    async def remove(call: Call) -> Response:
        _require_write(call, relation)
        await _change(call, relation, call.parameter("other").lower(), add=False)
        return Response(status_code=204)

    row = relation.row
    return [
        Operation("GET", path, list_objects, f"List the {noun}.", result=LogRecord, listing=True, row=row),
        Operation("GET", f"{path}/$ref", list_references, f"List references to the {noun}.", result=LogRecord,
                  listing=True, row=row),
        Operation("POST", f"{path}/$ref", add, f"Add to the {noun}.", answer=204, row=row),
        Operation("DELETE", f"{path}/{{other}}/$ref", remove, f"Remove from the {noun}.", answer=204, row=row),
    ]


def reference_of(body: Json) -> str:
    """Return the id that `{"@odata.id": URL}` names. Raises ApiError(400)."""
    return id_of(body.get("@odata.id"), "@odata.id")


def id_of(reference: object, member: str) -> str:
    """Return the id at the end of a reference. Raises ApiError(400)."""
    match = _REFERENCE.fullmatch(reference) if isinstance(reference, str) and len(reference) < 512 else None
    if match is None:
        message = f"{member}: a URL that ends in directoryObjects/<id> is needed."
        raise ApiError(400, "BadRequest", message, target=member)
    return match[1].lower()


def render(call: Call, kinds: tuple[tuple[str, ResourceType], ...], key: str) -> Json:
    """Return a related object with its type, or its id alone when it is gone."""
    for name, row in kinds:
        value = view(call.directory, call.tenant.id, row.kind, key)
        if value is not None:
            return {"@odata.type": f"#microsoft.graph.{name}", **shown(row, call.tenant, call.user, value)}
    return {"@odata.type": "#microsoft.graph.directoryObject", "id": key}


def _related(call: Call, relation: Relation) -> list[str]:
    row = relation.row
    call.require(relation.read, row.scope(call.tenant, row.find(call.tenant, call.parameter())))
    value = found(call.directory, call.tenant, row, call.parameter())
    relation.readable(call, value)
    return sorted(value.to_json()[relation.member])


def _require_write(call: Call, relation: Relation) -> None:
    row = relation.row
    call.require(relation.write, row.scope(call.tenant, row.find(call.tenant, call.parameter())))


async def _change(call: Call, relation: Relation, other: str, *, add: bool) -> None:
    row = relation.row
    for _ in range(_ATTEMPTS):
        directory = call.directory
        value = found(directory, call.tenant, row, call.parameter())
        document = value.stored()
        present = document[relation.member]
        if add and other in present:
            raise ApiError(400, "referenceExists", "One or more added object references already exist.")
        if not add and other not in present:
            raise ApiError(404, "Request_ResourceNotFound", "There is no such reference.")
        after = [*present, other] if add else [one for one in present if one != other]
        ref = ObjectRef(call.tenant.id, row.kind, row.find(call.tenant, call.parameter()))
        change = Change(ref, type(value).model_validate({**document, relation.member: after}))
        name = str(document.get(row.name) or ref.id)
        moved = ModifiedProperty(relation.member, None if add else other, other if add else None)
        targets = [AuditTarget(ref.id, name, row.audit.target, (moved,)), AuditTarget(other, "", "Other")]
        audit = entry(call, row, relation.added if add else relation.removed, targets)
        try:
            await save(call, [change], [audit], {ref: fingerprint_of(directory, ref)})
        except StaleError:
            continue
        return
    raise ApiError(409, "concurrentChange", "The object is being changed by others. Try again.")
