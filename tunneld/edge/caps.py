"""How many flows may be open at a time: in all, of one user, to one application."""

from __future__ import annotations

from collections import Counter

from tunneld.edge.settings import LimitsSection
from tunneld.model.reasons import Reason


class Caps:
    """Counts open flows. One that was taken is released exactly once, with the same user and application."""

    def __init__(self, limits: LimitsSection) -> None:
        self._limits = limits
        self._of_user: Counter[str] = Counter()
        self._to_application: Counter[str] = Counter()
        self.open = 0

    def take(self, user: str, application: str | None) -> Reason | None:
        """Count one flow more, or return why not. `user` and `application` are ids, unique over tenants."""
        limits = self._limits
        if (
            self.open >= limits.flows
            or self._of_user[user] >= limits.flows_per_user
            or (application is not None and self._to_application[application] >= limits.flows_per_application)
        ):
            return Reason.TOO_MANY_FLOWS
        self.open += 1
        self._of_user[user] += 1
        if application is not None:
            self._to_application[application] += 1
        return None

    def release(self, user: str, application: str | None) -> None:
        """Count one flow less. Counters at zero are forgotten, so that strangers do not grow the table."""
        self.open -= 1
        self._of_user[user] -= 1
        if not self._of_user[user]:
            del self._of_user[user]
        if application is not None:
            self._to_application[application] -= 1
            if not self._to_application[application]:
                del self._to_application[application]
