"""When a tenant's signing keys are published, sign, and go: a pure plan over their dates.

A key is published before it signs, so that verifiers with a cached key set know it in time, and stays published
after its last signature for as long as a token may live. Withdrawal is immediate, whatever that breaks.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class KeyDates:
    """One key: published since, signing since (None: not yet), retired since (None: not retired)."""

    kid: str
    published_at: int
    signs_from: int | None = None
    retired_at: int | None = None


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """`period_s`: how long a key signs. `ahead_s`: how long it is published before. `keep_s`: and after."""

    period_s: int
    ahead_s: int
    keep_s: int


def signing_key(keys: Sequence[KeyDates]) -> KeyDates | None:
    """Return the key that signs now."""
    return next((key for key in keys if key.signs_from is not None and key.retired_at is None), None)


def next_key(keys: Sequence[KeyDates]) -> KeyDates | None:
    """Return the key that is published ahead of its use, the longest known first."""
    waiting = [key for key in keys if key.signs_from is None]
    return min(waiting, key=lambda key: (key.published_at, key.kid)) if waiting else None


def advance(
    keys: Sequence[KeyDates], now: int, policy: KeyPolicy, *, withdrawn: Collection[str], fresh_kids: Sequence[str]
) -> tuple[KeyDates, ...]:
    """Return the keys as they should be at `now`. A kid out of `fresh_kids` (two of them) asks for a new key."""
    fresh = list(fresh_kids)
    kept = [
        key
        for key in keys
        if key.kid not in withdrawn and (key.retired_at is None or now < key.retired_at + policy.keep_s)
    ]
    active, waiting = signing_key(kept), next_key(kept)
    if active is None:
        # First start, or an emergency: the next key takes over at once, however short a time it was published.
        waiting = waiting or KeyDates(fresh.pop(0), now)
        kept = [key for key in kept if key.kid != waiting.kid]
        kept.append(replace(waiting, signs_from=now))
    elif _due(active, waiting, now, policy):
        assert waiting is not None
        kept = [key for key in kept if key.kid not in (active.kid, waiting.kid)]
        kept += [replace(active, retired_at=now), replace(waiting, signs_from=now)]
    if next_key(kept) is None:
        kept.append(KeyDates(fresh.pop(0), now))
    return tuple(sorted(kept, key=lambda key: (key.published_at, key.kid)))


def _due(active: KeyDates, waiting: KeyDates | None, now: int, policy: KeyPolicy) -> bool:
    if waiting is None or active.signs_from is None:
        return False
    return now >= active.signs_from + policy.period_s and now >= waiting.published_at + policy.ahead_s
