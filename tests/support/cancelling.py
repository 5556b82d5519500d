"""Runs a coroutine and cancels it at one chosen await, so that a test can walk through all of them."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


@types.coroutine
def cancelled_at(coroutine: Coroutine[Any, Any, T], number: int) -> Generator[Any, Any, T]:
    """Return what `coroutine` returns, but throw CancelledError into it where it suspends for the `number`-th time."""
    suspensions = 0
    step: Any = None
    while True:
        try:
            waits_for = coroutine.send(None) if step is None else coroutine.throw(step)
        except StopIteration as done:
            result: T = done.value
            return result
        step = None
        suspensions += 1
        if suspensions == number:
            step = asyncio.CancelledError()
            continue
        try:
            yield waits_for
        except BaseException as error:
            step = error
