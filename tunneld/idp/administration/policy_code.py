"""Policy as code: a tenant's whole policy in one answer, and a set of changes in one commit.

Neither is in Microsoft Graph: Graph writes one object at a time, which leaves a plan half applied when it stops in
the middle. Here all changes of a tenant are checked together and saved together, or none is.
"""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from tunneld.idp.administration.candidates import (
    Judged,
    Proposal,
    judged,
    laid_over,
    policy_rows,
    present,
    read_model,
)
from tunneld.idp.answers import ApiError
from tunneld.idp.changes import AuditEntry, ConflictError
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.history import tombstone
from tunneld.idp.graph.objects import one, shown
from tunneld.idp.graph.resource import Operation, ResourceType, Verb
from tunneld.idp.graph.saving import refused, written
from tunneld.policy.objects import Change, GraphObject, ObjectRef
from tunneld.policy.views import fingerprint, fingerprint_of

_TAG = "policy as code"


async def export_policy(call: Call) -> Response:
    """Answer every policy object that the caller may read, as the API shows it, and what each kind needs to know."""
    tenant, kinds, values = call.tenant, {}, []
    for kind, row in sorted(policy_rows().items()):
        if not call.may(row.permissions.enumerate or row.permissions.read):
            continue
        kinds[kind] = {
            "key": row.key, "deletable": Verb.DELETE in row.verbs, "secrets": sorted(row.secrets),
            "singleton": row.singleton or None,
        }
        for object_id, value in _all(call, row):
            document = shown(row, tenant, call.user, value)
            body = {name: member for name, member in document.items() if name not in row.read_only or name == row.key}
            if row.singleton:
                body[row.key] = object_id  # a file names the object that it is of, also where there is only one
            values.append({"kind": kind, "id": object_id, "etag": fingerprint(value), "body": body})
    return JSONResponse({"tenant": tenant.id, "name": tenant.name, "version": tenant.version, "kinds": kinds,
                         "value": values})


async def apply_policy(call: Call) -> Response:
    """Save all changes in one commit, or say why none was. With `dryRun` everything is checked and nothing saved."""
    proposal = await read_model(call.request, Proposal)
    found = list(judged(call, proposal.changes))
    _refuse_drift(call, proposal)
    changes = [change for each in found for change in _with_what_follows(each)]
    laid_over(call, changes)
    if not proposal.dry_run and changes:
        # What was compared above is compared once more under the lock of the commit.
        expected = {each.change.ref: fingerprint_of(call.directory, each.change.ref) for each in found}
        try:
            await call.provider.commit(
                changes, [_record(call, each) for each in found], correlation_id=call.correlation_id, expected=expected
            )
        except ConflictError as error:
            # Somebody wrote between the check above and the lock.
            if error.conflict.rule in ("preconditionFailed", "concurrentChange"):
                raise _drifted(["another administrator's change"]) from None
            raise refused(error.conflict) from None
    return JSONResponse({"applied": not proposal.dry_run, "changes": len(found), "version": call.tenant.version})


def _all(call: Call, row: ResourceType) -> list[tuple[str, GraphObject]]:
    # What nobody wrote, such as the built-in roles, is the same everywhere and cannot be changed: it is no policy.
    keys = [row.singleton] if row.singleton else sorted(call.tenant.objects.get(row.kind, ()))
    found = ((key, one(call.directory, call.tenant, row, key)) for key in keys)
    return [(key, value) for key, value in found if value is not None]


def _refuse_drift(call: Call, proposal: Proposal) -> None:
    stale = []
    for change in proposal.changes:
        value = present(call, policy_rows()[change.kind], change.id.lower())
        if (fingerprint(value) if value is not None else "") != (change.etag or ""):
            stale.append(f"{change.kind}/{change.id}")
    if stale:
        raise _drifted(stale)


def _drifted(stale: list[str]) -> ApiError:
    message = f"The policy has changed since it was planned: {', '.join(stale[:5])}. Plan again."
    return ApiError(409, "policyDrift", message, target=stale[0])


def _with_what_follows(step: Judged) -> list[Change]:
    row, draft, change = step.row, step.draft, step.change
    changes = [change]
    if change.value is None:
        changes += [
            Change(ObjectRef(draft.tenant.id, kind, draft.key), None)
            for kind in row.cascade if draft.key in draft.tenant.objects.get(kind, {})
        ]
        if row.deleted and draft.current is not None:
            changes.append(tombstone(draft, row))
    return [*changes, *row.along(draft, change.value)]


def _record(call: Call, step: Judged) -> AuditEntry:
    verb = Verb.DELETE if step.change.value is None else Verb.UPDATE
    activity = step.row.audit.of(verb, existed=step.draft.current is not None)
    return written(call, step.row, step.draft, step.change.value, activity)


OPERATIONS = (
    Operation("GET", "/policies/export", export_policy, "Get the whole policy of the tenant. Not in Microsoft Graph.",
              tag=_TAG),
    Operation("POST", "/policies/apply", apply_policy, "Save many policy objects at once. Not in Microsoft Graph.",
              body=Proposal, tag=_TAG),
)
