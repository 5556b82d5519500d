"""Objects that were deleted and can be restored for 30 days, as Microsoft Entra keeps users and partner settings.

Microsoft Graph reference: directory: deletedItems, and policyDeletableItem (beta).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import StringConstraints

from tunneld.policy.directory import Directory
from tunneld.policy.objects import GraphObject, ObjectKind

RETENTION_S = 30 * 24 * 3600  # the published period of both kinds


class Place(GraphObject):
    """Somewhere a deleted user was named, and is named again when it is restored."""

    kind: Literal["group", "application"]
    id: str
    place: Literal["members", "owners", "appRoleAssignments"]
    app_role_id: str = ""


class DeletedObject(GraphObject):
    """A deleted object with everything that restoring it needs."""

    id: Annotated[str, StringConstraints(max_length=256)]
    deleted_date_time: str
    deleted_at: int  # seconds since the epoch: when it was
    value: dict[str, Any]  # the object as its kind stores it
    places: tuple[Place, ...] = ()


def _put(directory: Directory, tenant_id: str, values: Mapping[str, GraphObject | None]) -> Directory:
    """Deleted objects decide nothing."""
    del tenant_id, values
    return directory


DELETED_PARTNER = ObjectKind("deletedCrossTenantAccessPartner", DeletedObject, _put)
DELETED_USER = ObjectKind("deletedUser", DeletedObject, _put)

DELETED_KINDS = (DELETED_PARTNER, DELETED_USER)
