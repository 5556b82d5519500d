"""Objects as the API shows them, and the tag of each state of one."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from tunneld.idp.answers import ApiError
from tunneld.idp.graph.resource import Json, ResourceType
from tunneld.policy.directory import Directory, Tenant, User
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import GraphObject
from tunneld.policy.views import fingerprint, view

HIDDEN = "******"  # what Graph shows where a secret is set


def ids(directory: Directory, tenant: Tenant, row: ResourceType) -> list[str]:
    """Return the ids of all objects of a kind, in order."""
    known = {*tenant.objects.get(row.kind, ()), *KINDS[row.kind].implied_ids(directory, tenant.id)}
    return sorted(key for key in known if view(directory, tenant.id, row.kind, key) is not None)


def one(directory: Directory, tenant: Tenant, row: ResourceType, key: str) -> GraphObject | None:
    """Return the object that a path segment names; a singleton never written has its model's first values."""
    value = view(directory, tenant.id, row.kind, row.singleton or row.find(tenant, key))
    return _first(row) if value is None and row.singleton else value


def found(directory: Directory, tenant: Tenant, row: ResourceType, key: str) -> GraphObject:
    """Return the object that a path segment names. Raises ApiError(404)."""
    value = one(directory, tenant, row, key)
    if value is None:
        raise ApiError(404, "Request_ResourceNotFound", "The object does not exist, or has been deleted.")
    return value


def hidden(kind: str) -> frozenset[str]:
    """Return the members of a kind that are kept and neither shown nor taken from outside, by their names in JSON."""
    model = KINDS[kind].model
    names: frozenset[str] = getattr(model, "hidden", frozenset())
    return frozenset(model.model_fields[name].alias or name for name in names)


def shown(row: ResourceType, tenant: Tenant, reader: User, value: GraphObject) -> Json:
    """Return what a reader sees of an object: no secret, ever."""
    document = without_secrets(row, value.to_json())
    return row.show(tenant, reader, document)


def without_secrets(row: ResourceType, document: Mapping[str, object]) -> Json:
    """Return a document with its secrets covered, and without what is never shown."""
    unseen = hidden(row.kind)
    return {
        name: HIDDEN if name in row.secrets and value is not None else value
        for name, value in document.items() if name not in unseen
    }


def etag(value: GraphObject) -> str:
    """Return a strong validator (RFC 9110 §8.8.3) of an object's state."""
    return f'"{fingerprint(value)}"'


def _first(row: ResourceType) -> GraphObject | None:
    try:
        return KINDS[row.kind].model.model_validate({})
    except ValidationError:
        return None
