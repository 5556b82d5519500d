"""All operations of this package, for the admin API's table."""

from __future__ import annotations

from tunneld.idp.administration import linting, policy_code, synchronization, what_if
from tunneld.idp.graph.resource import Operation


def administration_operations() -> list[Operation]:
    """Return what the table serves beside rows of objects."""
    return [
        *policy_code.OPERATIONS, *linting.OPERATIONS, *what_if.OPERATIONS, *synchronization.OPERATIONS,
    ]
