"""Which event loop the programs run on, and how to run one coroutine on it.

The default is aiofastnet's transports over uvloop: the cheapest per flow and per byte of the combinations measured
(bench/README.md), and the contract suite in tests/contract shows that it reports resets as the others do. `uvloop`
and `asyncio` remain selectable with TUNNELD_LOOP, so that a suspicion can be checked without a code change.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import aiofastnet
import uvloop

T = TypeVar("T")

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

LOOPS: dict[str, LoopFactory] = {
    "fastnet": aiofastnet.loop_factory(uvloop.new_event_loop),
    "fastnet-asyncio": aiofastnet.loop_factory(asyncio.new_event_loop),
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}
DEFAULT_LOOP = "fastnet"


def loop_factory(name: str | None = None) -> LoopFactory:
    """Return the factory called `name`, else the one that TUNNELD_LOOP names, else the default."""
    return LOOPS[name or os.environ.get("TUNNELD_LOOP") or DEFAULT_LOOP]


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end on the selected loop."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main)
