"""All operations of this package, for the admin API's table."""

from __future__ import annotations

from tunneld.idp.administration import linting, people, policy_code, replays, synchronization, what_if
from tunneld.idp.graph.resource import Operation


def administration_operations() -> list[Operation]:
    """Return what the table serves beside rows of objects."""
    return [
        *policy_code.OPERATIONS, *linting.OPERATIONS, *what_if.OPERATIONS, *replays.OPERATIONS,
        *synchronization.OPERATIONS, *people.OPERATIONS,
    ]
