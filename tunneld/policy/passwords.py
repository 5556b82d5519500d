"""Password hashes with scrypt (RFC 7914) in one printable form: ``scrypt$N$r$p$salt$hash``.

Checking one costs tens of milliseconds on purpose: callers on an event loop run it in a thread.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

# OWASP's password storage cheat sheet lists N=2^14, r=8, p=5 among the equivalent minimum settings (16 MiB).
COST = (2**14, 8, 5)
_MAX_MEMORY = 64 * 1024 * 1024  # a hash in a document must not be able to ask for more than this


def hash_password(password: str, *, salt: bytes, cost: tuple[int, int, int] = COST) -> str:
    """Return the hash of `password` under `salt` (16 random bytes from the caller)."""
    n, r, p = cost
    digest = hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MAX_MEMORY, dklen=32)
    return f"scrypt${n}${r}${p}${_encode(salt)}${_encode(digest)}"


def check_password(password: str, encoded: str) -> bool:
    """Tell whether `password` has the hash `encoded`. Raises ValueError for a malformed hash."""
    n, r, p, salt, digest = parse_hash(encoded)
    found = hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MAX_MEMORY, dklen=len(digest))
    return hmac.compare_digest(found, digest)


def parse_hash(encoded: str) -> tuple[int, int, int, bytes, bytes]:
    """Split a hash into (N, r, p, salt, digest). Raises ValueError when it is not one that we would make."""
    parts = encoded.split("$")
    if len(parts) != 6 or parts[0] != "scrypt":
        raise ValueError("not a scrypt hash")
    n, r, p = (int(part) for part in parts[1:4])
    salt, digest = _decode(parts[4]), _decode(parts[5])
    if n < 2 or n & (n - 1) or r < 1 or p < 1 or 128 * r * (n + p + 2) > _MAX_MEMORY:
        raise ValueError("unusable scrypt parameters")
    if len(salt) < 8 or len(digest) < 16:
        raise ValueError("salt or hash too short")
    return n, r, p, salt, digest


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
