"""How many control frames an honest peer sends: token buckets that end a connection with ENHANCE_YOUR_CALM.

Each figure names its precedent. Counting both resets received and resets that we sent because of the peer covers
Rapid Reset (CVE-2023-44487) and MadeYouReset (CVE-2025-8671).
"""

from __future__ import annotations


class Budget:
    """A token bucket: `burst` at once, refilled at `rate` a second."""

    __slots__ = ("_burst", "_last", "_level", "_rate", "name")

    def __init__(self, name: str, burst: float, rate: float, now: float) -> None:
        self.name = name
        self._burst = burst
        self._rate = rate
        self._level = burst
        self._last = now

    def spend(self, now: float, amount: float = 1.0) -> bool:
        """Take `amount`; False means that the budget is overdrawn."""
        level = self._level + (now - self._last) * self._rate
        self._last = now
        if level > self._burst:
            level = self._burst
        self._level = level = level - amount
        return level >= 0.0

    def refund(self, amount: float) -> None:
        """Give back what the peer earned by something that honest peers do in proportion."""
        self._level = min(self._burst, self._level + amount)


class Budgets:
    """The budgets of one connection."""

    __slots__ = ("control", "empty", "errors", "premature", "resets", "stray", "updates")

    def __init__(self, now: float) -> None:
        # nghttp2 lets 1000 resets pass at once and 33 a second after; a tunnel carries a whole machine's flows, whose
        # applications may reset in anger, so established streams get more and streams not yet answered get fewer.
        self.premature = Budget("resets of unanswered streams", 200, 50, now)
        self.resets = Budget("resets", 5000, 1000, now)
        # Stream errors are never honest: MadeYouReset needs hundreds of them.
        self.errors = Budget("stream errors", 100, 10, now)
        # PING, SETTINGS, PRIORITY and unknown frames: Envoy queues at most 1,000 control frames.
        self.control = Budget("control frames", 500, 50, now)
        # DATA frames without content, padded or not, and CONTINUATION (CVE-2019-9518). Envoy's default is 1 in a row.
        self.empty = Budget("empty frames", 100, 10, now)
        # Envoy allows 10 WINDOW_UPDATE frames for each DATA frame sent. Here every 2 KiB sent earn one more: Go's
        # net/http2 credits a stream and the connection for each 4 KiB, others wait for half a window.
        self.updates = Budget("window updates", 5000, 2000, now)
        # Frames on streams that are already gone: honest only for one round trip after our own reset.
        self.stray = Budget("frames on closed streams", 5000, 1000, now)
