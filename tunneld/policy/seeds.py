"""Objects of any kind that the directory document starts a tenant with, written as the admin API would be sent them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from tunneld.model.errors import DocumentError
from tunneld.policy.directory import Directory
from tunneld.policy.directory_document import TenantSection, place
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, GraphObject, ObjectKind, ObjectRef
from tunneld.policy.overlay import put_objects

# Kinds of which a tenant has one object: its id is not in the body.
_ONLY = {
    "crossTenantAccessPolicy": "policy", "crossTenantAccessDefault": "default",
    "multiTenantOrganizationPartnerTemplate": "template", "multiTenantOrganizationIdentitySyncTemplate": "template",
    "authorizationPolicy": "authorizationpolicy", "b2bManagementPolicy": "b2bmanagementpolicy",
    "authenticationFlowsPolicy": "authenticationflowspolicy", "emailAuthenticationMethod": "email",
    "organizationalBranding": "branding",
}


def with_seeds(directory: Directory, sections: Sequence[TenantSection], *, where: str) -> Directory:
    """Return the directory with the documents' objects in it. Raises DocumentError with the place of a bad one."""
    placed: list[tuple[str, Change]] = []
    for index, section in enumerate(sections):
        for name, bodies in section.objects.items():
            at = f"tenants[{index}].objects.{name}"
            kind = KINDS.get(name)
            if kind is None:
                known = ", ".join(sorted(KINDS))
                raise DocumentError(where, at, "there is no such kind of object", f"one of {known}")
            for position, body in enumerate(bodies):
                path = f"{at}[{position}]"
                placed.append((path, _change(section.id, kind, body, at=path, where=where)))
    directory = put_objects(directory, [change for _, change in placed])
    for path, change in placed:
        assert change.value is not None
        conflict = KINDS[change.ref.kind].check(directory, change.ref.tenant_id, change.value)
        if conflict is not None:
            inside = f"{path}.{conflict.target}" if conflict.target else path
            raise DocumentError(where, inside, conflict.message, conflict.mend)
    return directory


def _change(tenant_id: str, kind: ObjectKind, body: Mapping[str, Any], *, at: str, where: str) -> Change:
    only = _ONLY.get(kind.name)
    members = dict(body)
    if only is not None and "id" in kind.model.model_fields:
        members.setdefault("id", only)
    try:
        value = kind.model.model_validate(members)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        inside = place(first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise DocumentError(where, f"{at}.{inside}" if inside else at, message) from None
    key = only or _key(value)
    if key is None:
        raise DocumentError(where, f"{at}.id", "missing", "every object needs its id")
    return Change(ObjectRef(tenant_id, kind.name, key), value)


def _key(value: GraphObject) -> str | None:
    for name in ("id", "tenant_id"):
        key = getattr(value, name, None)
        if isinstance(key, str) and key:
            return key.lower()
    return None
