"""Seconds since the epoch as RFC 3339 text in UTC."""

from __future__ import annotations

import time
from functools import lru_cache


def rfc3339(seconds: float) -> str:
    """Return e.g. ``2026-03-01T09:30:00.250000Z``. The text of a second is made once, not once a record."""
    whole = int(seconds // 1)
    return f"{_second(whole)}.{int((seconds - whole) * 1_000_000):06d}Z"


@lru_cache(maxsize=64)
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
