"""Work that goes on for as long as the daemon runs, whatever one round of it does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger("tunneld.endless")

PAUSE_S = 5.0  # after a defect: seldom enough for the log, soon enough for whoever waits for a renewal


async def keep_at(step: Callable[[], Awaitable[object]], *, name: str, pause_s: float = PAUSE_S) -> None:
    """Do `step` again and again until cancelled. One that fails unexpectedly is logged, and the next comes later."""
    while True:
        try:
            await step()
        except Exception:
            log.exception("internal_error", task=name)
            await asyncio.sleep(pause_s)
