"""One commit and its audit record: what the admin API writes goes through here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tunneld.idp.answers import ApiError
from tunneld.idp.changes import Actor, AuditEntry, AuditTarget, ConflictError, ModifiedProperty
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.objects import HIDDEN, hidden
from tunneld.idp.graph.resource import Draft, Json, ResourceType
from tunneld.model.errors import TunneldError
from tunneld.policy.objects import Change, Conflict, GraphObject, ObjectRef
from tunneld.policy.views import fingerprint_of

_MAX_VALUE = 4096  # characters of a property in an audit record; Microsoft Entra cuts long values too


class StaleError(TunneldError):
    """Somebody else changed the object since it was read."""


async def save(
    call: Call, changes: Sequence[Change], audits: Sequence[AuditEntry],
    expected: Mapping[ObjectRef, str] | None = None,
) -> None:
    """Save changes together with their audit records. Raises ApiError for a contradiction, StaleError for a lost race.

    `expected` holds the fingerprints of objects from which the changes were made up. Without it they were made up just
    now, and a write that comes in between is a conflict: nothing that somebody else wrote is ever undone unseen.
    """
    for ref, wanted in (expected or {}).items():
        if fingerprint_of(call.directory, ref) != wanted:
            raise StaleError  # noticed here it leaves no record of a failure: the caller tries again
    as_made_up = {change.ref: fingerprint_of(call.directory, change.ref) for change in changes}
    try:
        await call.provider.commit(changes, audits, correlation_id=call.correlation_id, expected=expected or as_made_up)
    except ConflictError as error:
        if error.conflict.rule in ("preconditionFailed", "concurrentChange"):
            if expected:
                raise StaleError from None
            raise ApiError(409, "concurrentChange", "The object is being changed by others. Try again.") from None
        raise refused(error.conflict) from None


def refused(conflict: Conflict) -> ApiError:
    """Return the answer to a contradiction: the rule's name is the code."""
    message = f"{conflict.message} {conflict.mend}".strip()
    return ApiError(conflict.status, conflict.rule, message, target=conflict.target)


def actor(call: Call) -> Actor:
    """Return whoever calls, for the audit log."""
    address = call.request.client.host if call.request.client else ""
    return Actor("user", call.tenant.id, call.user.oid, call.user.upn, address)


def entry(call: Call, row: ResourceType, activity: str, targets: Sequence[AuditTarget]) -> AuditEntry:
    """Return the audit record of an activity on objects of a row."""
    audit = row.audit
    return AuditEntry(activity, audit.category, call.tenant.id, actor(call), tuple(targets), service=audit.service)


def written(call: Call, row: ResourceType, draft: Draft, value: GraphObject | None, activity: str) -> AuditEntry:
    """Return the audit record of one write, with each top-level member that it changed."""
    unseen = hidden(row.kind)
    before, after = ({name: member for name, member in one.to_json().items() if name not in unseen} if one else {}
                     for one in (draft.current, value))
    name = after.get(row.name) or before.get(row.name) or draft.key
    target = AuditTarget(draft.key, str(name), row.audit.target, modified(before, after, row.secrets))
    return entry(call, row, activity, [target])


def modified(before: Json, after: Json, secrets: frozenset[str] = frozenset()) -> tuple[ModifiedProperty, ...]:
    """Return the members that differ, each side as JSON; of a secret only that it changed."""
    return tuple(
        ModifiedProperty(name, _text(name in secrets, before.get(name)), _text(name in secrets, after.get(name)))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )


def _text(secret: bool, value: object) -> str:
    if value is None:
        return ""
    text = json.dumps(HIDDEN if secret else value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}…"
