"""Runs a Python module and samples where it spends CPU: `sampler.py OUT -m MODULE ARGUMENTS`.

SIGUSR1 starts sampling, SIGUSR2 writes the counts to OUT and ends it. The timer counts CPU time, so that waiting is not
seen; what C code spends goes to the Python function that called it. Unlike a tracing profiler it does not make
small functions look dear.
"""

from __future__ import annotations

import collections
import json
import runpy
import signal
import sys
from pathlib import Path
from types import FrameType

INTERVAL = 0.001  # seconds of CPU between samples: the cost stays below a few per cent


class Sampler:
    """Counts of the innermost Python function, and of each function on the stack."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.own: collections.Counter[str] = collections.Counter()
        self.total: collections.Counter[str] = collections.Counter()

    def install(self) -> None:
        """Wait for the signals."""
        signal.signal(signal.SIGPROF, self.sample)
        signal.signal(signal.SIGUSR1, self.start)
        signal.signal(signal.SIGUSR2, self.write)
        signal.siginterrupt(signal.SIGPROF, False)

    def start(self, _: int, __: FrameType | None) -> None:
        """Begin to sample."""
        signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)

    def sample(self, _: int, frame: FrameType | None) -> None:
        """Count one sample."""
        if frame is None:
            return
        self.own[place(frame)] += 1
        seen = set()
        while frame is not None:
            seen.add(place(frame))
            frame = frame.f_back
        self.total.update(seen)

    def write(self, _: int, __: FrameType | None) -> None:
        """Stop and write what was counted."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        counts = {"own": self.own.most_common(60), "total": self.total.most_common(60), "samples": self.own.total()}
        fresh = self.out.with_suffix(".part")
        fresh.write_text(json.dumps(counts))
        fresh.replace(self.out)


def place(frame: FrameType) -> str:
    """Return `package/module.py function` for a frame."""
    code = frame.f_code
    parts = Path(code.co_filename).parts
    kept = parts[parts.index("tunneld") :] if "tunneld" in parts else parts[-2:]
    return f"{'/'.join(kept[-3:])} {code.co_qualname}"


def main() -> None:
    """Install the sampler and become the module."""
    out, dash, module, *rest = sys.argv[1:]
    if dash != "-m":
        raise SystemExit("usage: sampler.py OUT -m MODULE ARGUMENTS")
    Sampler(Path(out)).install()
    sys.argv = [module, *rest]
    sys.path.pop(0)  # bench/ itself, which has a module called profile
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
