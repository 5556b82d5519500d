"""Time-based one-time codes (RFC 6238) with the parameters that every authenticator app knows."""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections import OrderedDict
from urllib.parse import quote

import segno
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP

from tunneld.policy.directory import ObjectKey
from tunneld.policy.lock_out import Attempts

PERIOD_S = 30
DIGITS = 6
WINDOW = 1  # steps of clock difference either way (RFC 6238 §5.2 recommends at most one for delay)
SEED_BYTES = 20  # RFC 4226 §4 R6: 160 bits
MAX_OWNERS = 10_000  # people with recent misses; the oldest are forgotten

_CODE = re.compile(r"[0-9]{6}")


def new_seed() -> bytes:
    """Return a fresh shared secret."""
    return secrets.token_bytes(SEED_BYTES)


def code_at(seed: bytes, step: int) -> str:
    """Return the code of a time step."""
    return HOTP(seed, DIGITS, SHA1(), enforce_key_length=False).generate(step).decode()


def matching_step(seed: bytes, typed: str, now: int) -> int | None:
    """Return the time step that a typed code belongs to, None when it is of none that is near enough."""
    code = "".join(typed.split())
    if not _CODE.fullmatch(code):
        return None
    present = now // PERIOD_S
    matching = [
        step for step in range(max(present - WINDOW, 0), present + WINDOW + 1)
        if hmac.compare_digest(code_at(seed, step), code)
    ]
    return max(matching, default=None)


def shown_seed(seed: bytes) -> str:
    """Return a seed as people type it: base32 in groups of four."""
    text = base64.b32encode(seed).decode()
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def key_uri(seed: bytes, *, issuer: str, account: str) -> str:
    """Return the `otpauth` URI of the Key Uri Format that authenticator apps read."""
    label = f"{quote(issuer, safe='')}:{quote(account, safe='')}"
    secret = base64.b32encode(seed).decode()
    return f"otpauth://totp/{label}?secret={secret}&issuer={quote(issuer, safe='')}&digits={DIGITS}&period={PERIOD_S}"


def qr_code(text: str) -> str:
    """Return a QR code as an SVG element without style or script, so that the strict content policy lets it be."""
    code = segno.make(text, error="m", micro=False)
    return code.svg_inline(scale=4, border=4, dark="#000", light="#fff", svgclass="qr", lineclass=None)


class CodeGate:
    """Counts wrong codes per user object, with the same lock-out as passwords."""

    def __init__(self) -> None:
        self._attempts: OrderedDict[ObjectKey, Attempts] = OrderedDict()

    def locked(self, owner: ObjectKey, now: int) -> bool:
        """Tell whether a code would not even be looked at."""
        return self._attempts.get(owner, Attempts()).locked(now)

    def missed(self, owner: ObjectKey, now: int) -> None:
        """Count a wrong code."""
        self._attempts[owner] = self._attempts.get(owner, Attempts()).after_miss(now)
        self._attempts.move_to_end(owner)
        if len(self._attempts) > MAX_OWNERS:
            self._attempts.popitem(last=False)

    def passed(self, owner: ObjectKey) -> None:
        """Forget the misses of somebody who was right."""
        self._attempts.pop(owner, None)
