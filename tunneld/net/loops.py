"""Which event loop the programs run on, and how to run one coroutine on it.

The default is aiofastnet's transports over uvloop with our own `ErrorWatch`: the cheapest per flow and per byte of the
combinations measured, and one that reports resets (docs/decisions/0002-event-loop.md). The others remain selectable
with TUNNELD_LOOP, so that a suspicion can be checked without a code change.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import aiofastnet
import structlog
import uvloop

from tunneld.net.error_watch import install

log = structlog.get_logger("tunneld.loop")

T = TypeVar("T")

HANDSHAKE_FAILED = "SSL handshake failed"  # aiofastnet's words for it

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def _fastnet(base: LoopFactory) -> LoopFactory:
    """Return a factory of loops of which every connection has aiofastnet's transports.

    aiofastnet 1.2.0 has a `connect_accepted_socket` but leaves the loop's own in place: an edge that chooses its TLS
    context after the ClientHello would get the base loop's TLS, which costs a quarter more CPU on bulk.
    """
    made = aiofastnet.loop_factory(base)

    def factory() -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = made()
        loop.connect_accepted_socket = partial(aiofastnet.connect_accepted_socket, loop)  # type: ignore[method-assign]
        return loop

    return factory


LOOPS: dict[str, LoopFactory] = {
    "fastnet": _fastnet(lambda: install(uvloop.new_event_loop())),
    "fastnet-asyncio": _fastnet(asyncio.new_event_loop),
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}
DEFAULT_LOOP = "fastnet"


def loop_factory(name: str | None = None) -> LoopFactory:
    """Return the factory called `name`, else the one that TUNNELD_LOOP names, else the default."""
    return LOOPS[name or os.environ.get("TUNNELD_LOOP") or DEFAULT_LOOP]


def settle() -> None:
    """Call this when start-up is over: what exists now stays, and what flows make is freed by its reference counts.

    Frozen objects are never walked again; the thresholds make the collector look for cycles, which only broken
    connections leave behind, a hundred times less often than every few flows.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end on the selected loop."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.get_loop().set_exception_handler(report)
        return runner.run(main)


def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:  # noqa: ARG001 - asyncio's signature
    """Log what a callback let go: one line each, with its trace if it is a defect of ours."""
    error = context.get("exception")
    if context.get("message") == HANDSHAKE_FAILED:  # somebody else's doing, and its caller is told as well
        log.info("tls_handshake_failed", error=repr(error))
    else:
        log.error("internal_error", message=context.get("message"),
                  exc_info=error if isinstance(error, BaseException) else None)
