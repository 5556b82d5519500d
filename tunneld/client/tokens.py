"""Access tokens of one user in one tenant, each kept until it ends and renewed before it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tunneld.client.ports import Denied

REFRESH_AT = 0.75  # of a token's life: late enough to be rare, early enough for an outage of the issuer
SPARE_S = 5.0  # a token this close to its end is not handed out: it must survive the trip
DENIAL_S = 2.0  # how long a refusal answers for the next flow, so that a burst of flows asks once
DENIALS = 1024  # remembered refusals; audiences come from the profile, so more would be a defect


class TokenKey(NamedTuple):
    """What a token is for. `bound` tokens carry the thumbprint of our key, others are plain bearer tokens."""

    audience: str
    bound: bool


@dataclass(slots=True)
class Token:
    """A token with its times. `asked` says whether anybody wanted it since it was issued."""

    value: str
    issued_at: float
    expires_at: float
    asked: bool = False

    @property
    def refresh_at(self) -> float:
        return self.issued_at + (self.expires_at - self.issued_at) * REFRESH_AT


class TokenCache:
    """Tokens by key, and recent refusals. One per (user, tenant): a key alone would mix tenants."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._tokens: dict[TokenKey, Token] = {}
        self._denials: dict[TokenKey, tuple[float, Denied]] = {}

    def get(self, key: TokenKey) -> str | None:
        """Return a token that is good for a while. Raises the Denied of a moment ago."""
        token = self._tokens.get(key)
        if token is not None and self._now() < token.expires_at - SPARE_S:
            token.asked = True
            return token.value
        until, denied = self._denials.get(key, (0.0, None))
        if denied is not None and self._now() < until:
            raise Denied(denied.reason, denied.detail, claims=denied.claims)
        return None

    def put(self, key: TokenKey, value: str, lifetime: float) -> None:
        now = self._now()
        self._denials.pop(key, None)
        self._tokens[key] = Token(value, now, now + lifetime)

    def deny(self, key: TokenKey, denied: Denied) -> None:
        """Remember a refusal for a moment, and drop the token that it supersedes."""
        if len(self._denials) >= DENIALS:
            self._denials.clear()
        self._tokens.pop(key, None)
        self._denials[key] = (self._now() + DENIAL_S, denied)

    def forgive(self, key: TokenKey) -> None:
        """Forget a remembered refusal, so that the issuer is asked again."""
        self._denials.pop(key, None)

    def drop_bound(self) -> None:
        """Forget the tokens for channels and applications, so that each is asked for again when it is wanted."""
        self._tokens = {key: token for key, token in self._tokens.items() if not key.bound}

    def due(self) -> list[TokenKey]:
        """Return the tokens in use that are past three quarters of their life; forget those that ended."""
        now = self._now()
        self._tokens = {key: token for key, token in self._tokens.items() if now < token.expires_at}
        return [key for key, token in self._tokens.items() if token.asked and now >= token.refresh_at]

    def next_due(self) -> float | None:
        """Return when `due` has something next, or None."""
        return min((token.refresh_at for token in self._tokens.values() if token.asked), default=None)

    def states(self) -> list[dict[str, object]]:
        """Return what may be shown of the tokens: times, never a token."""
        return [
            {"audience": key.audience, "bound": key.bound, "issued_at": t.issued_at, "expires_at": t.expires_at}
            for key, t in self._tokens.items()
        ]
