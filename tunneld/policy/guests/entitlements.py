"""What access packages give to whom and when, compiled for the sign-in decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Entitlement:
    """One assignment of a package: from `start` up to, and without, `end`."""

    package: str
    applications: frozenset[str]
    groups: frozenset[str]
    start: int
    end: int | None

    def holds(self, now: int) -> bool:
        """Tell whether the assignment is in force."""
        return self.start <= now and (self.end is None or now < self.end)


@dataclass(frozen=True, slots=True)
class Entitlements:
    """All assignments of a tenant, by the user's object id."""

    by_user: Mapping[str, tuple[Entitlement, ...]] = field(default_factory=dict)

    def held(self, oid: str, now: int) -> tuple[Entitlement, ...]:
        """Return what a user holds at this moment."""
        return tuple(entry for entry in self.by_user.get(oid, ()) if entry.holds(now))
