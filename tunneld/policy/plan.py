"""Policy as code: what differs between the objects that a tenant has and those that somebody wrote down.

Bodies are JSON objects as the API shows them. A plan is a value that reads like a diff; applying it is one commit, so
that a half-applied plan never exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Body = Mapping[str, Any]
ObjectName = tuple[str, str]  # kind, id in lower case

# Members that the service writes: they say when something changed and take no part in what differs.
READ_ONLY = frozenset({"createdDateTime", "modifiedDateTime", "deletedDateTime", "lastModifiedDateTime"})


class Action(StrEnum):
    """What a step does to an object."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Written:
    """One object as it stands in a file."""

    body: Body
    where: str


@dataclass(frozen=True, slots=True)
class MemberChange:
    """One member that differs; None stands for JSON's null and for a member that is not there."""

    path: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to one object. `members` are what differs, `where` the file that says so."""

    action: Action
    kind: str
    id: str
    name: str
    body: Body | None
    members: tuple[MemberChange, ...] = ()
    where: str = ""


def plan(current: Mapping[ObjectName, Body], wanted: Mapping[ObjectName, Written], *, prune: bool) -> tuple[Step, ...]:
    """Return what has to happen so that `current` becomes `wanted`, by kind and name.

    An object that is in no file is left alone unless `prune` says that the files are the whole truth. A member that
    a file leaves out keeps the value it has, as a PATCH would.
    """
    steps = [step for name, written in wanted.items() if (step := _step(name, current.get(name), written)) is not None]
    if prune:
        steps += [
            Step(Action.DELETE, kind, object_id, title(body), None)
            for (kind, object_id), body in current.items() if (kind, object_id) not in wanted
        ]
    return tuple(sorted(steps, key=lambda step: (step.kind, step.name.lower(), step.id)))


def merged(old: Body, new: Body) -> dict[str, Any]:
    """Return `old` with the members of `new`: a member that is an object is replaced whole, as Graph's PATCH does."""
    return {**old, **{name: value for name, value in new.items() if name not in READ_ONLY}}


def title(body: Body) -> str:
    """Return what people call an object."""
    for member in ("displayName", "userPrincipalName", "name", "tenantId", "id"):
        if isinstance(body.get(member), str) and body[member]:
            return str(body[member])
    return ""


def differences(old: Any, new: Any, path: str = "") -> Iterator[MemberChange]:  # any JSON value
    """Yield the innermost members that differ; lists are compared as wholes."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for member in sorted({*old, *new}):
            if member not in READ_ONLY or path:
                yield from differences(old.get(member), new.get(member), f"{path}.{member}" if path else member)
    elif old != new:
        yield MemberChange(path, old, new)


def _step(name: ObjectName, now: Body | None, written: Written) -> Step | None:
    kind, object_id = name
    if now is None:
        members = tuple(MemberChange(path, None, value) for path, value in _leaves(written.body))
        return Step(Action.CREATE, kind, object_id, title(written.body), written.body, members, written.where)
    body = merged(now, written.body)
    members = tuple(differences(now, body))
    if not members:
        return None
    return Step(Action.CHANGE, kind, object_id, title(body), body, members, written.where)


def _leaves(body: Body) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in sorted(body.items()) if value is not None and name not in READ_ONLY)
