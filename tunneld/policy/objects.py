"""Directory objects that the admin API reads and writes: their kinds, how they are checked, how they take effect.

An object is a JSON document of Microsoft Graph's shape, owned by one tenant and known by (kind, id). A kind is one
value in the table of `kinds.py`: a model that says what is well formed, a check that says what contradicts other
objects, and a function that puts accepted objects into the directory's compiled values. The file that an
administrator wrote is the base; objects changed through the API lie over it and outlive a reload of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from tunneld.policy.directory import Directory


class GraphObject(BaseModel):
    """An object of Graph: camelCase outside, unknown members are mistakes, `@odata` annotations are dropped before."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )

    hidden: ClassVar[frozenset[str]] = frozenset()  # fields that are stored and never shown, nor taken from a client

    def to_json(self) -> dict[str, Any]:  # a JSON object has any shape
        """Return the resource as Graph writes it, nulls included: null means "inherit" in some of them."""
        return self.model_dump(mode="json", by_alias=True, exclude=set(self.hidden) or None)

    def stored(self) -> dict[str, Any]:  # as above
        """Return the resource with what is never shown: the form in which it is kept."""
        return {**self.to_json(), **self.model_dump(mode="json", by_alias=True, include=set(self.hidden))}

    @classmethod
    def hidden_members(cls) -> frozenset[str]:
        """Return the names of hidden fields as they are written in JSON."""
        return frozenset(to_camel(name) for name in cls.hidden)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why a well-formed object cannot be saved: the rule's stable name, what is wrong, and the mend."""

    rule: str  # "conflictingAccess", "targetNotAllowedInDefault", …
    message: str
    mend: str
    target: str = ""  # the member, as "b2bCollaborationInbound.applications"
    status: int = 400  # what the API answers


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """Which object: tenant id, kind, id in lower case."""

    tenant_id: str
    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Change:
    """One object's next value; None deletes it."""

    ref: ObjectRef
    value: GraphObject | None


Put = Callable[["Directory", str, Mapping[str, GraphObject | None]], "Directory"]
Check = Callable[["Directory", str, GraphObject], Conflict | None]
CheckDelete = Callable[["Directory", str, str], Conflict | None]
Implied = Callable[["Directory", str, str], GraphObject | None]
ImpliedIds = Callable[["Directory", str], Iterable[str]]


def no_contradiction(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    """Accept every well-formed object."""
    del directory, tenant_id, value
    return None


def free_to_go(directory: Directory, tenant_id: str, object_id: str) -> Conflict | None:
    """Let every object be deleted."""
    del directory, tenant_id, object_id
    return None


def never_implied(directory: Directory, tenant_id: str, object_id: str) -> GraphObject | None:
    """Know of no object besides the stored ones."""
    del directory, tenant_id, object_id
    return None


def none_implied(directory: Directory, tenant_id: str) -> Iterable[str]:
    """Know of no object besides the stored ones."""
    del directory, tenant_id
    return ()


@dataclass(frozen=True, slots=True)
class ObjectKind:
    """One row of the table: `put(directory, tenant id, {id: value or None})` returns the directory with them in it.

    `check_delete(directory, tenant id, object id)` sees the directory as it is without the object. `implied` and
    `implied_ids` show objects that the tenant has without anybody having stored them, such as a user of the document.
    """

    name: str
    model: type[GraphObject]
    put: Put
    check: Check = no_contradiction
    check_delete: CheckDelete = free_to_go
    implied: Implied = never_implied
    implied_ids: ImpliedIds = none_implied
