"""What one row of the admin API says: the path, the kind of object, who may, what the audit log calls it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from tunneld.policy.directory import Directory, Tenant, User
from tunneld.policy.objects import Change, GraphObject

if TYPE_CHECKING:
    from starlette.responses import Response

    from tunneld.idp.graph.call import Call

Json = dict[str, Any]  # a JSON object has any shape until its model has judged it

V1, BETA = "v1.0", "beta"


class Verb(StrEnum):
    """What the generic endpoints can do with a kind of object."""

    LIST = "list"
    GET = "get"
    CREATE = "create"  # POST to the collection
    UPDATE = "update"  # PATCH
    REPLACE = "replace"  # PUT, also where there was none
    DELETE = "delete"


ALL = frozenset({Verb.LIST, Verb.GET, Verb.CREATE, Verb.UPDATE, Verb.DELETE})
READ_ONLY = frozenset({Verb.LIST, Verb.GET})
SINGLETON = frozenset({Verb.GET, Verb.UPDATE})


@dataclass(frozen=True, slots=True)
class Permissions:
    """The permission strings of a kind. `members` names a further one for changing a top-level member.

    A member in `members` needs its own string instead of `update`. `enumerate` is for listing (default: `read`), `own`
    for an object that is the caller's own user object.
    """

    read: str
    create: str = ""
    update: str = ""
    delete: str = ""
    members: Mapping[str, str] = field(default_factory=dict)
    enumerate: str = ""
    own: str = ""

    def of(self, verb: Verb) -> str:
        """Return the string that a verb needs before its body is looked at."""
        return {
            Verb.LIST: self.enumerate or self.read, Verb.GET: self.read, Verb.CREATE: self.create,
            Verb.UPDATE: self.update, Verb.REPLACE: self.update, Verb.DELETE: self.delete,
        }[verb]


@dataclass(frozen=True, slots=True)
class Activities:
    """How the audit log names the writes of a kind, and the type of their target."""

    category: str
    create: str
    update: str
    delete: str
    target: str = "Policy"
    service: str = "Core Directory"

    def of(self, verb: Verb, *, existed: bool) -> str:
        """Return the activity of a write."""
        if verb is Verb.DELETE:
            return self.delete
        return self.update if existed else self.create


@dataclass(frozen=True, slots=True)
class Draft:
    """What a hook may look at while an object is being written. Everything in it is as of the attempt."""

    directory: Directory
    tenant: Tenant
    author: User
    key: str
    now: int
    current: GraphObject | None


def _as_it_is(draft: Draft, document: Json) -> Json:
    del draft
    return document


def _shown(tenant: Tenant, reader: User, document: Json) -> Json:
    del tenant, reader
    return document


async def _as_sent(call: Call, body: Json) -> Json:
    del call
    return body


def _everywhere(tenant: Tenant, key: str) -> str:
    del tenant, key
    return ""


def _nothing_else(draft: Draft, value: GraphObject | None) -> list[Change]:
    del draft, value
    return []


def _no_warning(directory: Directory, tenant_id: str, value: GraphObject) -> list[Json]:
    del directory, tenant_id, value
    return []


def _same_key(tenant: Tenant, key: str) -> str:
    del tenant
    return key.lower()


@dataclass(frozen=True, slots=True)
class ResourceType:
    """One row. `item` defaults to `{collection}/{id}`; a row without collection has `item` alone.

    - `singleton`: the id of the only object; then `item` has no `{id}`.
    - `key`: the member that carries the id; `chosen`: the client chooses it (else it is a new GUID).
    - `read_only`: members of a body that are ignored, since the server sets them; the key belongs to them.
    - `secrets`: members that are shown as `******`; a written `******` leaves them as they are.
    - `upsert`: PATCH creates what is not there. `answers_update`: PATCH answers 200 and the object, not 204.
    - `cascade`: kinds whose object of the same id goes with it. `deleted`: the kind that keeps deleted ones.
    - `find(tenant, key)`: the id that a path segment stands for (`/users/{upn}`).
    - `scope(tenant, key)`: the application whose owners, and holders of roles over it, may write it too.
    - `receive(call, body)`: what a body as sent stands for (references, a password).
    - `prepare(draft, document)`: the last word on the document before its model judges it; may raise ApiError.
    - `along(draft, value)`: further changes that are saved together with this one.
    - `show(tenant, reader, document)`: what a reader sees. `warn`: remarks of a linter, saved all the same.
    """

    kind: str
    collection: str = ""
    item: str = ""
    permissions: Permissions = field(default_factory=lambda: Permissions(""))
    audit: Activities = field(default_factory=lambda: Activities("Policy", "", "", ""))
    verbs: frozenset[Verb] = ALL
    versions: tuple[str, ...] = (V1, BETA)
    singleton: str = ""
    key: str = "id"
    chosen: bool = False
    upsert: bool = False
    answers_update: bool = False
    read_only: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()
    created_at: str = "createdDateTime"
    modified_at: str = "modifiedDateTime"
    name: str = "displayName"
    cascade: tuple[str, ...] = ()
    deleted: str = ""
    find: Callable[[Tenant, str], str] = _same_key
    scope: Callable[[Tenant, str], str] = _everywhere
    receive: Callable[[Call, Json], Awaitable[Json]] = _as_sent
    prepare: Callable[[Draft, Json], Json] = _as_it_is
    along: Callable[[Draft, GraphObject | None], list[Change]] = _nothing_else
    show: Callable[[Tenant, User, Json], Json] = _shown
    warn: Callable[[Directory, str, GraphObject], list[Json]] = _no_warning

    @property
    def item_path(self) -> str:
        """The path of one object."""
        return self.item or f"{self.collection}/{{id}}"


Run = Callable[["Call"], Awaitable["Response"]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path: what runs, who may, and what the OpenAPI document says of it.

    `permission` empty: `run` asks for itself, or everybody with a token may. `answer` is the success status.
    """

    method: str
    path: str
    run: Run
    summary: str
    permission: str = ""
    versions: tuple[str, ...] = (V1, BETA)
    body: type[BaseModel] | None = None
    partial: bool = False  # a PATCH: no member of the body is required
    result: type[BaseModel] | None = None
    listing: bool = False  # the result is a page of such objects
    answer: int = 200
    tag: str = ""
    row: ResourceType | None = None
    needs_match: bool = False  # If-Match and 412 make sense
