"""Changes to policy objects as somebody proposes them: read, judged and laid over the directory without being saved."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import Field, StringConstraints, ValidationError
from starlette.requests import Request

from tunneld.idp.answers import ApiError
from tunneld.idp.graph.bodies import annotations_of, invalid, read_json, without_annotations
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.objects import HIDDEN, one
from tunneld.idp.graph.resource import Draft, Json, ResourceType, Verb
from tunneld.idp.graph.saving import refused
from tunneld.idp.graph.writing import judge
from tunneld.journal.timestamps import rfc3339
from tunneld.policy.directory import Directory
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, Conflict, GraphObject, ObjectRef
from tunneld.policy.overlay import change_directory

MAX_CHANGES = 10_000  # objects of one plan

# People, their things and their sign-ups change every day and are no policy; what is left is what a plan may hold.
NOT_POLICY = frozenset({
    "user", "group", "application", "device", "invitation", "roleAssignment", "accessPackageAssignment",
    "accessReview", "synchronizationEntry",
})  # fmt: skip

Model = TypeVar("Model", bound=GraphObject)
Key = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]


class ProposedChange(GraphObject):
    """One object's next value; a null body deletes it. `etag` is the state that the change was planned against."""

    kind: Key
    id: Key
    body: dict[str, Any] | None = None
    etag: Annotated[str, StringConstraints(max_length=128)] | None = None


class Proposal(GraphObject):
    """Changes that belong together: all of them, or none."""

    changes: Annotated[tuple[ProposedChange, ...], Field(max_length=MAX_CHANGES)] = ()
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """A proposed change that is well formed, with what it replaces."""

    row: ResourceType
    draft: Draft
    change: Change


def policy_rows() -> Mapping[str, ResourceType]:
    """Return the rows of the table whose objects are policy, by kind."""
    from tunneld.idp.graph.table import SERVED  # the table names this package's operations, so it is asked late

    return {row.kind: row for row in SERVED if row.kind not in NOT_POLICY and not row.kind.startswith("deleted")}


async def read_model(request: Request, model: type[Model]) -> Model:
    """Return a request's body as `model`. Raises ApiError(400)."""
    document = without_annotations(await read_json(request), annotations_of(model))
    return judged_as(model, document)


def judged_as(model: type[Model], document: Json) -> Model:
    """Return a document as `model`. Raises ApiError(400)."""
    try:
        return model.model_validate_json(json.dumps(document), strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        raise invalid(error) from None


def judged(call: Call, changes: Sequence[ProposedChange]) -> Iterator[Judged]:
    """Judge each change by itself: kind, permission, shape. Raises ApiError, whose target is the object."""
    rows = policy_rows()
    seen: set[tuple[str, str]] = set()
    for proposed in changes:
        place = f"{proposed.kind}/{proposed.id}"
        row = rows.get(proposed.kind)
        if row is None:
            raise ApiError(400, "unknownKind", f"{proposed.kind!r} is no kind of policy object.", target=place)
        if (row.kind, proposed.id.lower()) in seen:
            raise ApiError(400, "duplicateObject", "The object is in the list twice.", target=place)
        seen.add((row.kind, proposed.id.lower()))
        try:
            yield _judged(call, row, proposed)
        except ApiError as error:
            inner = f": {error.target}" if error.target else ""
            raise ApiError(error.status, error.code, error.message, target=f"{place}{inner}") from None


def laid_over(call: Call, changes: Sequence[Change]) -> Directory:
    """Return the directory as it would be. Raises ApiError for a contradiction; nothing is saved."""
    changed = change_directory(call.directory, changes)
    if isinstance(changed, Conflict):
        raise refused(changed)
    return changed


def present(call: Call, row: ResourceType, key: str) -> GraphObject | None:
    """Return the object as it is now; a singleton that was never written has its first values."""
    return None if row.singleton and key != row.singleton else one(call.directory, call.tenant, row, key)


def _judged(call: Call, row: ResourceType, proposed: ProposedChange) -> Judged:
    key = proposed.id.lower()
    if row.singleton and key != row.singleton:
        raise ApiError(400, "unknownObject", f"The only {row.kind} is {row.singleton!r}.")
    current = present(call, row, key)
    draft = Draft(call.directory, call.tenant, call.user, key, call.provider.now(), current)
    ref = ObjectRef(call.tenant.id, row.kind, key)
    if proposed.body is None:
        if Verb.DELETE not in row.verbs:
            raise ApiError(400, "cannotBeDeleted", f"A {row.kind} cannot be deleted.")
        call.require(row.permissions.delete)
        return Judged(row, draft, Change(ref, None))
    _require(call, row, proposed.body, existed=current is not None)
    return Judged(row, draft, Change(ref, _next(row, draft, proposed.body)))


def _require(call: Call, row: ResourceType, body: Json, *, existed: bool) -> None:
    permissions = row.permissions
    call.require((permissions.update or permissions.read) if existed else (permissions.create or permissions.update))
    for name in sorted(body.keys() & permissions.members.keys()) if existed else ():
        call.require(permissions.members[name])


def _next(row: ResourceType, draft: Draft, body: Json) -> GraphObject:
    """Return what an object becomes: members of the body replace, those that it leaves out stay."""
    before = draft.current.stored() if draft.current is not None else {}
    written: Json = without_annotations(body, annotations_of(KINDS[row.kind].model))
    hidden = sorted(written.keys() & KINDS[row.kind].model.hidden_members())
    if hidden:
        raise ApiError(400, "unknownMember", f"{hidden[0]}: there is no such member.", target=hidden[0])
    document = {**before, **{name: value for name, value in written.items() if name not in row.read_only}}
    document[row.key] = before.get(row.key, draft.key)
    for name in row.secrets:
        if document.get(name) == HIDDEN:
            document[name] = before.get(name)
    members = {field.alias or name for name, field in KINDS[row.kind].model.model_fields.items()}
    stamp = row.modified_at if draft.current is not None else row.created_at
    if stamp in members:
        document[stamp] = rfc3339(draft.now)
    if row.key not in members:
        del document[row.key]
    return judge(row.kind, row.prepare(draft, document))
