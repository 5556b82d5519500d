"""Deleted objects: kept when their kind says so, listed, restored, or deleted for good."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from tunneld.idp.answers import ApiError
from tunneld.idp.changes import AuditEntry, AuditTarget
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.objects import etag, one, shown
from tunneld.idp.graph.reading import listing, query_of
from tunneld.idp.graph.resource import BETA, V1, Draft, Json, Operation, ResourceType
from tunneld.idp.graph.saving import entry, save
from tunneld.journal.timestamps import rfc3339
from tunneld.policy.deleted_objects import RETENTION_S, DeletedObject
from tunneld.policy.directory import Tenant
from tunneld.policy.directory_places import places_of, returning
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, GraphObject, ObjectRef


def tombstone(draft: Draft, row: ResourceType) -> Change:
    """Return the change that keeps an object which is being deleted."""
    assert draft.current is not None
    kept = deleted_object(draft.current, draft.key, draft.now)
    if row.kind == "user":
        kept = kept.model_copy(update={"places": places_of(draft.directory, draft.tenant.id, draft.key)})
    return Change(ObjectRef(draft.tenant.id, row.deleted, draft.key), kept)


def deleted_object(value: GraphObject, key: str, now: int) -> DeletedObject:
    """Return an object as it is kept for restoring."""
    return DeletedObject(id=key, deleted_date_time=rfc3339(now), deleted_at=now, value=value.stored())


def restored(tombstone: DeletedObject, kind: str) -> GraphObject:
    """Return the object that was deleted."""
    return KINDS[kind].model.model_validate(tombstone.value)


def deleted_operations(
    row: ResourceType, path: str, restore: str, delete: str, *, read: str = ""
) -> list[Operation]:
    """Return the operations on a row's deleted objects at `path`: list, get, restore, delete for good."""
    versions = (BETA,) if path.startswith("/policies/") else (V1, BETA)
    model = KINDS[row.kind].model

    def kept(tenant: Tenant, now: int) -> dict[str, DeletedObject]:
        oldest = now - RETENTION_S
        values = tenant.objects.get(row.deleted, {})
        return {key: one for key, one in values.items() if isinstance(one, DeletedObject) and one.deleted_at > oldest}

    def found(call: Call) -> DeletedObject:
        value = kept(call.tenant, call.provider.now()).get(call.parameter().lower())
        if value is None:
            raise ApiError(404, "Request_ResourceNotFound", "There is no such deleted object.")
        return value

    def render(call: Call, value: DeletedObject) -> Json:
        document = shown(row, call.tenant, call.user, restored(value, row.kind))
        return {**document, "deletedDateTime": value.deleted_date_time}

    async def list_deleted(call: Call) -> Response:
        values = kept(call.tenant, call.provider.now())
        return await listing(call, query_of(call, None), sorted(values), lambda key: render(call, values[key]))

    async def get_deleted(call: Call) -> Response:
        return JSONResponse(render(call, found(call)))

    async def bring_back(call: Call) -> Response:
        value, key = found(call), call.parameter().lower()
        if one(call.directory, call.tenant, row, key) is not None:
            raise ApiError(409, "objectExists", "There is an object with this key again; delete it first.")
        again, tenant_id = restored(value, row.kind), call.tenant.id
        changes = [Change(ObjectRef(tenant_id, row.kind, key), again), *returning(call.directory, tenant_id, value)]
        changes.append(Change(ObjectRef(tenant_id, row.deleted, key), None))
        await save(call, changes, [_record(call, row, f"Restore {_noun(row)}", value)])
        return JSONResponse(shown(row, call.tenant, call.user, again), headers={"etag": etag(again)})

    async def forget(call: Call) -> Response:
        value = found(call)
        change = Change(ObjectRef(call.tenant.id, row.deleted, value.id), None)
        await save(call, [change], [_record(call, row, f"Hard Delete {_noun(row)}", value)])
        return Response(status_code=204)

    item, read = f"{path}/{{id}}", read or row.permissions.read
    return [
        Operation("GET", path, list_deleted, f"List deleted {_noun(row)} objects", read, versions, result=model,
                  listing=True, row=row),
        Operation("GET", item, get_deleted, f"Get a deleted {_noun(row)}", read, versions, result=model, row=row),
        Operation("POST", f"{item}/restore", bring_back, f"Restore a deleted {_noun(row)}", restore, versions,
                  result=model, row=row),
        Operation("DELETE", item, forget, f"Delete a {_noun(row)} for good", delete, versions, answer=204, row=row),
    ]


def _noun(row: ResourceType) -> str:
    return {"user": "user", "crossTenantAccessPartner": "partner cross-tenant access setting"}.get(row.kind, row.kind)


def _record(call: Call, row: ResourceType, activity: str, value: DeletedObject) -> AuditEntry:
    name = str(value.value.get(row.name) or value.id)
    return entry(call, row, activity, [AuditTarget(value.id, name, row.audit.target)])
