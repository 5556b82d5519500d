"""Short-lived grants kept in memory: authorization codes and device codes. A restart forgets them, on purpose."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

from tunneld.idp.store import Session
from tunneld.policy.authorization import AuthorizationRequest
from tunneld.policy.claims_request import ClaimsRequest

CODE_LIFETIME_S = 60  # RFC 6749 §4.1.2 recommends at most ten minutes; a redirect takes seconds
REMEMBER_USED_S = 600  # how long a used code is known, to tell reuse from nonsense
MAX_CODES = 10_000  # sign-ins in flight; the oldest go first
MAX_DEVICES = 1_000
POLL_INTERVAL_S = 5  # RFC 8628 §3.5
# RFC 8628 §6.1: 20 consonants, no vowels (no words), eight of them: 2.5e10 codes, of which at most 1,000 are live.
USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
MAX_WRONG_USER_CODES = 60  # per minute over everybody: 1e-6 chance a minute of guessing one of 1,000 live codes


@dataclass(slots=True)
class CodeGrant:
    """What a code stands for. `family_id` is set when it was redeemed."""

    request: AuthorizationRequest
    session: Session
    issued_at: float
    redeemed: bool = False
    reused: bool = False
    family_id: str | None = None


class CodeBook:
    """Authorization codes by value."""

    def __init__(self) -> None:
        self._codes: OrderedDict[str, CodeGrant] = OrderedDict()

    def issue(self, request: AuthorizationRequest, session: Session, now: float) -> str:
        """Return a fresh code."""
        self._expire(now)
        code = secrets.token_urlsafe(32)
        self._codes[code] = CodeGrant(request, session, now)
        return code

    def find(self, code: str) -> CodeGrant | None:
        return self._codes.get(code)

    def _expire(self, now: float) -> None:
        while self._codes:
            oldest = next(iter(self._codes.values()))
            if len(self._codes) < MAX_CODES and now - oldest.issued_at < REMEMBER_USED_S:
                return
            self._codes.popitem(last=False)


class DeviceState(StrEnum):
    """How far a device sign-in has come."""

    PENDING = "pending"
    APPROVED = "approved"
    DECLINED = "declined"


@dataclass(slots=True)
class DeviceGrant:
    """One device sign-in (RFC 8628)."""

    device_code: str
    user_code: str
    tenant_id: str
    client_id: str
    scope: str
    claims: ClaimsRequest
    expires_at: float
    interval_s: int = POLL_INTERVAL_S
    polled_at: float = 0.0
    state: DeviceState = DeviceState.PENDING
    session: Session | None = None
    shared: str = ""  # begun under a name that stands for no tenant; `tenant_id` is "" until somebody has signed in


class DeviceBook:
    """Device sign-ins by either code."""

    def __init__(self) -> None:
        self._by_device: OrderedDict[str, DeviceGrant] = OrderedDict()
        self._by_user: dict[str, DeviceGrant] = {}
        self._wrong = 0
        self._minute = 0

    def start(self, grant: DeviceGrant, now: float) -> None:
        """Remember a new sign-in; expired ones go, and the oldest when there are too many."""
        while self._by_device:
            oldest = next(iter(self._by_device.values()))
            if len(self._by_device) < MAX_DEVICES and now < oldest.expires_at:
                break
            self.finish(oldest)
        self._by_device[grant.device_code] = grant
        self._by_user[grant.user_code] = grant

    def by_device_code(self, code: str) -> DeviceGrant | None:
        return self._by_device.get(code)

    def by_user_code(self, typed: str, now: float) -> DeviceGrant | None:
        """Return the live sign-in that a typed code names; guessing is limited for everybody together."""
        if int(now) // 60 != self._minute:
            self._minute, self._wrong = int(now) // 60, 0
        if self._wrong >= MAX_WRONG_USER_CODES:
            return None
        grant = self._by_user.get("".join(c for c in typed.upper() if c in USER_CODE_LETTERS))
        if grant is None or now >= grant.expires_at or grant.state is not DeviceState.PENDING:
            self._wrong += 1
            return None
        return grant

    def finish(self, grant: DeviceGrant) -> None:
        """Forget a sign-in that was redeemed, declined or has expired."""
        self._by_device.pop(grant.device_code, None)
        self._by_user.pop(grant.user_code, None)


def new_user_code() -> str:
    """Return eight random letters."""
    return "".join(secrets.choice(USER_CODE_LETTERS) for _ in range(8))
