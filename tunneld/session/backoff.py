"""Full-jitter exponential back-off as a sequence: reconnecting daemons must not march in step.

The scheme is "full jitter" (each delay is uniform between zero and a doubling ceiling), which spreads a crowd of
clients best when an edge comes back. Randomness and time are arguments.
"""

from __future__ import annotations

FIRST_LOW_S = 0.05  # never zero at first: an edge that closes at once must not be hammered
FIRST_HIGH_S = 0.25  # the delay that RFC 8305 §5 waits between attempts: short for a person, long for a machine
CEILING_S = 30.0  # gRPC waits at most 120 s, cloudflared 64 s; a person watches this one
STABLE_S = 10.0  # a connection that lived this long was a success, so the sequence starts again


class Backoff:
    """The delays before each next attempt: first 50 to 250 ms, then uniform below a ceiling that doubles up to 30 s."""

    __slots__ = ("_attempts",)

    def __init__(self) -> None:
        self._attempts = 0

    @property
    def attempts(self) -> int:
        """How many delays were taken since the last success."""
        return self._attempts

    def next_delay(self, uniform: float) -> float:
        """Return the seconds to wait before the next attempt; `uniform` is a random number in [0, 1)."""
        low, high = FIRST_LOW_S, ceiling(self._attempts)
        self._attempts += 1
        return low + (high - low) * uniform

    def connected_for(self, seconds: float) -> None:
        """Tell how long the attempt that succeeded has lasted; a stable one starts the sequence again."""
        if seconds >= STABLE_S:
            self._attempts = 0


def ceiling(attempts: int) -> float:
    """Return the largest delay after `attempts` earlier ones."""
    # The exponent is bounded because a week of failures must not make the float overflow.
    return min(CEILING_S, FIRST_HIGH_S * 2.0 ** min(attempts, 32))
