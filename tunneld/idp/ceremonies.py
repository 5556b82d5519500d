"""What second factors and devices need in memory: challenges in flight, wrong codes, used nonces.

A restart forgets all of it: ceremonies begin anew, counts of wrong codes start from nothing, and a nonce that was used
before a restart lives for five minutes at most.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum

from tunneld.idp.totp import CodeGate
from tunneld.policy.directory import ObjectKey

CEREMONY_S = 300  # WebAuthn §13.4.3 asks for a short life; the recommended timeout of a ceremony is five minutes
MAX_CEREMONIES = 1_000  # in flight; the oldest go first
NONCE_S = 300  # a proof is made at once; five minutes are the skew that is allowed elsewhere
MAX_NONCES = 10_000  # used ones that are remembered until they expire


class Purpose(StrEnum):
    """What a ceremony is for; a challenge for one is worthless for another."""

    SIGN_IN = "sign_in"
    SECOND_FACTOR = "second_factor"
    REGISTER = "register"


@dataclass(frozen=True, slots=True)
class Ceremony:
    """One challenge: for whom, where, until when. `browser` is the cross-site cookie of the browser that asked."""

    purpose: Purpose
    challenge: bytes
    browser: str
    owner: ObjectKey | None
    until: float


class Ceremonies:
    """The challenges in flight."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, Ceremony] = OrderedDict()

    def start(self, purpose: Purpose, browser: str, owner: ObjectKey | None, now: float) -> tuple[str, bytes]:
        """Return the id and the challenge of a new ceremony."""
        while self._by_id and (len(self._by_id) >= MAX_CEREMONIES or next(iter(self._by_id.values())).until <= now):
            self._by_id.popitem(last=False)
        ceremony_id, challenge = secrets.token_urlsafe(16), secrets.token_bytes(32)
        self._by_id[ceremony_id] = Ceremony(purpose, challenge, browser, owner, now + CEREMONY_S)
        return ceremony_id, challenge

    def finish(
        self, ceremony_id: str, purpose: Purpose, browser: str, owner: ObjectKey | None, now: float
    ) -> bytes | None:
        """Return the challenge, once; None when it was not given for exactly this."""
        ceremony = self._by_id.pop(ceremony_id, None)
        if ceremony is None or now >= ceremony.until:
            return None
        same = (ceremony.purpose, ceremony.browser, ceremony.owner) == (purpose, browser, owner)
        return ceremony.challenge if same and browser else None


class UsedNonces:
    """Nonces that were used, until they would have expired anyway."""

    def __init__(self) -> None:
        self._used: OrderedDict[str, float] = OrderedDict()

    def use(self, nonce: str, now: float) -> bool:
        """Mark a nonce as used; False when it was before, or when too many are remembered to be sure."""
        while self._used and next(iter(self._used.values())) <= now:
            self._used.popitem(last=False)
        if nonce in self._used or len(self._used) >= MAX_NONCES:
            return False
        self._used[nonce] = now + NONCE_S
        return True


@dataclass(slots=True)
class Factors:
    """All of them."""

    ceremonies: Ceremonies = field(default_factory=Ceremonies)
    codes: CodeGate = field(default_factory=CodeGate)
    nonces: UsedNonces = field(default_factory=UsedNonces)
