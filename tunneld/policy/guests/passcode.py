"""The one-time passcode that a guest without any account receives by mail: a value, and what becomes of a guess."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from enum import StrEnum

LIFETIME_S = 30 * 60  # Microsoft Entra External ID, email one-time passcode
SESSION_S = 24 * 3600  # the same: a new code after 24 hours
DIGITS = 8  # as the product sends
MAX_GUESSES = 5  # RFC 4226 §7.3 asks for a small limit; a chance of 5e-8 for each code
MAX_CODES = 6  # codes for one address within an hour: a choice, above what people need and below a flood of mail
WINDOW_S = 3600


class Guess(StrEnum):
    """What a typed code is."""

    RIGHT = "right"
    WRONG = "wrong"
    EXPIRED = "expired"  # too old, used, or guessed at too often


@dataclass(frozen=True, slots=True)
class Passcode:
    """A code that was sent. `digest` is a keyed digest of it; the code itself is kept nowhere."""

    digest: bytes
    sent_at: int
    guesses: int = 0
    used: bool = False

    def judge(self, digest: bytes, now: int) -> tuple[Guess, Passcode]:
        """Return what a guess is, and the passcode after it. A right guess uses the code up."""
        if self.used or self.guesses >= MAX_GUESSES or not self.sent_at <= now < self.sent_at + LIFETIME_S:
            return Guess.EXPIRED, self
        if hmac.compare_digest(digest, self.digest):
            return Guess.RIGHT, replace(self, used=True)
        return Guess.WRONG, replace(self, guesses=self.guesses + 1)


def may_send(sent: tuple[int, ...], now: int) -> bool:
    """Tell whether another code may go to an address that codes were sent to at these times."""
    return sum(1 for at in sent if now - at < WINDOW_S) < MAX_CODES
