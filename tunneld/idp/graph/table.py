"""The table of the admin API. Rows of kinds that this program does not know are not served."""

from __future__ import annotations

from collections.abc import Callable

from tunneld.idp.administration.operations import administration_operations
from tunneld.idp.administration.rows import ADMINISTRATION_ROWS
from tunneld.idp.graph.operations import operations_of
from tunneld.idp.graph.resource import Operation, ResourceType
from tunneld.idp.graph.rows_access import ACCESS_ROWS
from tunneld.idp.graph.rows_assignments import assignment_operations
from tunneld.idp.graph.rows_cross_tenant import CROSS_TENANT_ROWS, cross_tenant_operations
from tunneld.idp.graph.rows_devices import DEVICES
from tunneld.idp.graph.rows_directory import DIRECTORY_ROWS, directory_operations
from tunneld.idp.graph.rows_federation import FEDERATION_ROWS
from tunneld.idp.graph.rows_keys import key_operations
from tunneld.idp.graph.rows_logs import log_tables
from tunneld.idp.graph.rows_me import me_operations
from tunneld.idp.graph.rows_network import network_operations
from tunneld.idp.graph.rows_roles import ROLE_ROWS, role_operations
from tunneld.idp.graph.rows_traffic import traffic_operations
from tunneld.idp.guests.graph_rows import GUEST_ROWS, guest_operations
from tunneld.policy.kinds import KINDS

ROWS: tuple[ResourceType, ...] = (
    *CROSS_TENANT_ROWS,
    *DIRECTORY_ROWS,
    *ACCESS_ROWS,
    *FEDERATION_ROWS,
    *ROLE_ROWS,
    *ADMINISTRATION_ROWS,
    *GUEST_ROWS,
    DEVICES,
)

# What is no object of its own: each a function that returns operations.
_MORE: tuple[tuple[str, Callable[[], list[Operation]]], ...] = (
    ("crossTenantAccessPartner", cross_tenant_operations),
    ("protectedAction", lambda: role_operations(known_permissions)),
    ("user", directory_operations),
    ("user", me_operations),
    ("application", assignment_operations),
    ("", traffic_operations),
    ("invitation", guest_operations),
    ("", log_tables),
    ("", network_operations),
    ("", key_operations),
    ("synchronizationJob", administration_operations),
)


def known_permissions() -> frozenset[str]:
    """Return every permission string of the table."""
    strings = {operation.permission for operation in OPERATIONS}
    for row in ROWS:
        rules = row.permissions
        strings |= {rules.read, rules.create, rules.update, rules.delete, rules.enumerate, *rules.members.values()}
    return frozenset(strings - {""})


SERVED: tuple[ResourceType, ...] = tuple(row for row in ROWS if row.kind in KINDS)

OPERATIONS: tuple[Operation, ...] = (
    *(operation for row in SERVED for operation in operations_of(row)),
    *(operation for kind, more in _MORE if not kind or kind in KINDS for operation in more()),
)
