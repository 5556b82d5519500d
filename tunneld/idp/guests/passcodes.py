"""One-time passcodes that are under way, in memory: a restart forgets them, and people ask for another."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from tunneld.policy.directory import ObjectKey
from tunneld.policy.guests.passcode import DIGITS, WINDOW_S, Guess, Passcode, may_send

MAX_GUESTS = 10_000  # guests with a code under way; the oldest are forgotten


@dataclass(slots=True)
class _Entry:
    passcode: Passcode | None = None
    sent: tuple[int, ...] = ()


@dataclass(slots=True)
class PasscodeBook:
    """Codes by the guest's object. Codes are known by a keyed digest with a key that this process alone has."""

    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _entries: OrderedDict[ObjectKey, _Entry] = field(default_factory=OrderedDict, repr=False)

    def issue(self, guest: ObjectKey, now: int) -> str | None:
        """Return a fresh code, in place of an older one; None when enough codes were sent lately."""
        entry = self._entries.setdefault(guest, _Entry())
        self._entries.move_to_end(guest)
        if len(self._entries) > MAX_GUESTS:
            self._entries.popitem(last=False)
        entry.sent = tuple(at for at in entry.sent if now - at < WINDOW_S)
        if not may_send(entry.sent, now):
            return None
        code = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
        entry.sent = (*entry.sent, now)
        entry.passcode = Passcode(self._digest(guest, code), now)
        return code

    def judge(self, guest: ObjectKey, typed: str, now: int) -> Guess:
        """Judge a typed code; a right one is used up."""
        entry = self._entries.get(guest)
        if entry is None or entry.passcode is None:
            return Guess.EXPIRED
        guess, entry.passcode = entry.passcode.judge(self._digest(guest, "".join(typed.split())), now)
        return guess

    def _digest(self, guest: ObjectKey, code: str) -> bytes:
        return hmac.digest(self._key, "\0".join((*guest, code)).encode("utf-8", "surrogatepass"), hashlib.sha256)
