"""POST, PATCH, PUT and DELETE for every row of the table: one commit and one audit record each.

PATCH merges as OData does (OData 4.01 Protocol §11.4.3): a member that is left out stays, an object is merged into
the object that is there, an explicit null and a list replace.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from starlette.responses import JSONResponse, Response

from tunneld.idp.answers import ApiError
from tunneld.idp.graph.bodies import annotations_of, invalid, read_json, reinterpreted, without_annotations
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.history import tombstone
from tunneld.idp.graph.objects import HIDDEN, etag, found, hidden, one, shown
from tunneld.idp.graph.resource import Draft, Json, ResourceType, Verb
from tunneld.idp.graph.saving import StaleError, save, written
from tunneld.journal.timestamps import rfc3339
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, GraphObject, ObjectRef
from tunneld.policy.views import fingerprint_of

_ATTEMPTS = 5  # others write at the same time; each loser merges again into what is there then
_MAX_WARNINGS = 4096  # bytes of a header that every client reads


async def create_object(call: Call, row: ResourceType) -> Response:
    """Save a new object: 201 and its place (RFC 9110 §9.3.3)."""
    call.require(row.permissions.create)
    body = await read_body(call, row)
    key = _new_key(row, body)
    draft = draft_of(call, row, key)
    if draft.current is not None:
        raise ApiError(409, "objectExists", f"There is an object {key} already; PATCH changes it.", target=row.key)
    value = _judge(row, draft, {**_without(body, row.read_only), row.key: key, **_stamps(row, draft)})
    try:
        await _commit(call, row, draft, value, Verb.CREATE)
    except StaleError:
        message = "Somebody else created it, or what goes with it changed, at the same moment."
        raise ApiError(409, "concurrentChange", message, target=row.key) from None
    headers = {"location": f"{call.root}{row.item_path.replace('{id}', key)}", "etag": etag(value)}
    return _object_answer(call, row, value, 201, headers)


async def update_object(call: Call, row: ResourceType) -> Response:
    """Merge a body into an object: 204, or 200 with the object where Graph or the client wants it so."""
    body = await _permitted_body(call, row)
    for _ in range(_ATTEMPTS):
        if not row.upsert:
            found(call.directory, call.tenant, row, call.parameter())
        draft = draft_of(call, row, _path_key(call, row))
        if draft.current is None:
            call.require(row.permissions.create)
        _same_key_only(row, body, draft.key)
        require_match(call, draft.current)
        present = draft.current.stored() if draft.current is not None else {row.key: draft.key}
        value = _judge(row, draft, merged(present, _without(body, row.read_only)) | _stamps(row, draft))
        try:
            await _commit(call, row, draft, value, Verb.UPDATE)
        except StaleError:
            continue
        if row.answers_update or "return=representation" in call.request.headers.get("prefer", ""):
            return _object_answer(call, row, value, 200, {"etag": etag(value)})
        return Response(status_code=204, headers={"etag": etag(value), **_warnings(call, row, value)})
    raise ApiError(409, "concurrentChange", "The object is being changed by others. Try again.")


async def replace_object(call: Call, row: ResourceType) -> Response:
    """Put an object in a place: 201 where there was none, else 204."""
    body = await _permitted_body(call, row)
    for _ in range(_ATTEMPTS):
        draft = draft_of(call, row, _path_key(call, row))
        if draft.current is None:
            call.require(row.permissions.create)
        _same_key_only(row, body, draft.key)
        require_match(call, draft.current)
        value = _judge(row, draft, {**_without(body, row.read_only), row.key: draft.key, **_stamps(row, draft)})
        try:
            await _commit(call, row, draft, value, Verb.REPLACE)
        except StaleError:
            continue
        if draft.current is None:
            return _object_answer(call, row, value, 201, {"etag": etag(value)})
        return Response(status_code=204, headers={"etag": etag(value), **_warnings(call, row, value)})
    raise ApiError(409, "concurrentChange", "The object is being changed by others. Try again.")


async def delete_object(call: Call, row: ResourceType) -> Response:
    """Delete an object, what hangs on it, and keep it among the deleted ones where its kind has such."""
    call.require(row.permissions.delete, _scope(call, row))
    for _ in range(_ATTEMPTS):
        value = found(call.directory, call.tenant, row, call.parameter())
        draft = draft_of(call, row, _path_key(call, row))
        require_match(call, value)
        try:
            await _commit(call, row, draft, None, Verb.DELETE)
        except StaleError:
            continue
        return Response(status_code=204)
    raise ApiError(409, "concurrentChange", "The object is being changed by others. Try again.")


async def read_body(call: Call, row: ResourceType) -> Json:
    """Return the body as a row's model will judge it."""
    body = await read_json(call.request)
    for name in sorted(hidden(row.kind) & body.keys()):
        raise ApiError(400, "BadRequest", f"{name}: there is no such member.", target=name)
    received: Json = without_annotations(await row.receive(call, body), annotations_of(KINDS[row.kind].model))
    return received


async def _permitted_body(call: Call, row: ResourceType) -> Json:
    """Return the body of a change, when the caller may change every member that it names."""
    rules, scope = row.permissions, _scope(call, row)
    strings = {rules.update, *rules.members.values()} - {""}
    if not any(call.may(permission, scope) for permission in strings):
        call.require(rules.update or min(strings), scope)  # refused before the body is looked at
    sent = await read_json(call.request)
    needed = {rules.members.get(name, rules.update) for name in sent.keys() - row.read_only - {row.key}}
    for permission in sorted(needed - {""}) or [rules.update or min(strings)]:
        call.require(permission, scope)
    return await read_body(call, row)


def _scope(call: Call, row: ResourceType) -> str:
    return row.scope(call.tenant, _path_key(call, row))


def draft_of(call: Call, row: ResourceType, key: str) -> Draft:
    """Return what is there now under a key."""
    directory = call.directory
    tenant = directory.tenants[call.tenant.id]
    return Draft(directory, tenant, call.user, key, call.provider.now(), one(directory, tenant, row, key))


def judge(kind: str, document: Json) -> GraphObject:
    """Return the object that a document is. Raises ApiError(400)."""
    try:
        value = KINDS[kind].model.model_validate_json(json.dumps(document), by_alias=True, by_name=False)
    except ValidationError as error:
        raise invalid(error) from None
    place = reinterpreted(document, value.to_json())
    if place is not None:
        raise ApiError(400, "BadRequest", f"{place}: the value has the wrong type.", target=place)
    return value


def merged(present: Mapping[str, Any], patch: Mapping[str, Any]) -> Json:
    """Return `present` with `patch` merged into it."""
    result = dict(present)
    for name, value in patch.items():
        before = result.get(name)
        result[name] = merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return result


def require_match(call: Call, value: GraphObject | None) -> None:
    """Raise ApiError(412) unless the request's preconditions hold (RFC 9110 §13.1.1, §13.1.2)."""
    wanted = call.request.headers.get("if-match")
    if wanted is not None:
        tags = {tag.strip() for tag in wanted.split(",")}
        if value is None or not (etag(value) in tags or "*" in tags):
            raise ApiError(412, "preconditionFailed", "The object has changed since it was read.")
    if call.request.headers.get("if-none-match", "").strip() == "*" and value is not None:
        raise ApiError(412, "preconditionFailed", "There is such an object already.")


async def _commit(call: Call, row: ResourceType, draft: Draft, value: GraphObject | None, verb: Verb) -> None:
    ref = ObjectRef(draft.tenant.id, row.kind, draft.key)
    changes = [Change(ref, value)]
    if value is None:
        objects = draft.tenant.objects
        changes += [
            Change(ObjectRef(draft.tenant.id, kind, draft.key), None)
            for kind in row.cascade if draft.key in objects.get(kind, {})
        ]
        if row.deleted and draft.current is not None:
            changes.append(tombstone(draft, row))
    changes += row.along(draft, value)
    activity = row.audit.of(verb, existed=draft.current is not None)
    # All of them were made up from what is there, the groups that somebody leaves included.
    expected = {change.ref: fingerprint_of(draft.directory, change.ref) for change in changes}
    await save(call, changes, [written(call, row, draft, value, activity)], expected)


def _judge(row: ResourceType, draft: Draft, document: Json) -> GraphObject:
    for name in row.secrets:
        if document.get(name) == HIDDEN and draft.current is not None:
            document[name] = draft.current.stored().get(name)
    return judge(row.kind, row.prepare(draft, document))


def _new_key(row: ResourceType, body: Json) -> str:
    if not row.chosen:
        return str(uuid.uuid4())
    key = body.get(row.key)
    if not isinstance(key, str) or not key or len(key) > 256:
        raise ApiError(400, "BadRequest", f"{row.key}: a string is needed; it is the key.", target=row.key)
    return key.lower()


def _path_key(call: Call, row: ResourceType) -> str:
    return row.singleton or row.find(call.tenant, call.parameter())


def _same_key_only(row: ResourceType, body: Json, key: str) -> None:
    given = body.get(row.key, key)
    if not isinstance(given, str) or given.lower() != key:
        raise ApiError(400, "BadRequest", f"{row.key}: the key of an object never changes.", target=row.key)


def _without(body: Json, names: frozenset[str]) -> Json:
    return {name: value for name, value in body.items() if name not in names}


def _stamps(row: ResourceType, draft: Draft) -> Json:
    """Return the server's times, where the model has members for them."""
    members = {field.alias or name for name, field in KINDS[row.kind].model.model_fields.items()}
    stamps = {}
    if draft.current is None and row.created_at in members:
        stamps[row.created_at] = rfc3339(draft.now)
    if draft.current is not None and row.modified_at in members:
        stamps[row.modified_at] = rfc3339(draft.now)
    return stamps


def _object_answer(call: Call, row: ResourceType, value: GraphObject, status: int, headers: dict[str, str]) -> Response:
    document = shown(row, call.tenant, call.user, value)
    return JSONResponse(document, status_code=status, headers={**headers, **_warnings(call, row, value)})


def _warnings(call: Call, row: ResourceType, value: GraphObject) -> dict[str, str]:
    """Return a linter's remarks as a header: a JSON list in ASCII, the first ones when they are too many."""
    remarks = row.warn(call.directory, call.tenant.id, value)
    while remarks:
        text = json.dumps(remarks, separators=(",", ":"))
        if len(text) <= _MAX_WARNINGS:
            return {"tunneld-warnings": text}
        remarks = remarks[:-1]
    return {}
