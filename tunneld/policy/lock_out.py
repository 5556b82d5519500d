"""Slowing down those who guess passwords: a value per account, judged against a clock that is an argument."""

from __future__ import annotations

from dataclasses import dataclass

# Ten misses, then a minute, then doubling: the published defaults of Microsoft Entra smart lockout.
THRESHOLD = 10
FIRST_LOCK_S = 60
LONGEST_LOCK_S = 3600
FORGET_S = 3600  # an account left alone this long starts from nothing


@dataclass(frozen=True, slots=True)
class Attempts:
    """The recent misses of one account."""

    misses: int = 0
    last: int = 0
    locked_until: int = 0

    def locked(self, now: int) -> bool:
        """Tell whether a password would not even be looked at."""
        return now < self.locked_until

    def after_miss(self, now: int) -> Attempts:
        """Return the state after one more wrong password."""
        misses = 1 if now - max(self.last, self.locked_until) > FORGET_S else self.misses + 1
        if misses < THRESHOLD:
            return Attempts(misses, now, 0)
        lock = min(FIRST_LOCK_S << min(misses - THRESHOLD, 10), LONGEST_LOCK_S)
        return Attempts(misses, now, now + lock)
