"""Handles that leave the server: an id with a keyed MAC, different for each purpose, so that none can be forged."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from tunneld.journal.files import write_atomic
from tunneld.model.errors import DocumentError

MAX_HANDLE = 512  # the longest of ours is under 120 characters


class Seal:
    """One secret, several purposes: a handle made for one is worthless for another."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def load(cls, path: Path) -> Seal:
        """Read the secret, or make it on the first start (0600)."""
        try:
            secret = path.read_bytes()
        except FileNotFoundError:
            secret = secrets.token_bytes(32)
            write_atomic(path, secret, mode=0o600)
        except OSError as error:
            raise DocumentError(str(path), "", str(error.strerror)) from None
        if len(secret) != 32:
            raise DocumentError(str(path), "", "not a secret of 32 bytes", "remove the file; everybody signs in again")
        os.chmod(path, 0o600)
        return cls(secret)

    def seal(self, purpose: str, text: str) -> str:
        """Return `text` as a handle for `purpose`."""
        return f"{text}.{self._mac(purpose, text)}"

    def open(self, purpose: str, handle: str) -> str | None:
        """Return the text of a handle, None when it was not made here for this purpose."""
        if len(handle) > MAX_HANDLE or not handle.isascii():
            return None
        text, dot, mac = handle.rpartition(".")
        if not dot or not hmac.compare_digest(mac, self._mac(purpose, text)):
            return None
        return text

    def derive(self, purpose: str) -> bytes:
        """Return 32 bytes bound to `purpose`: the salts of pairwise subjects."""
        return hmac.digest(self._secret, f"derive\0{purpose}".encode(), hashlib.sha256)

    def _mac(self, purpose: str, text: str) -> str:
        digest = hmac.digest(self._secret, f"handle\0{purpose}\0{text}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def new_id() -> str:
    """Return 128 random bits as text: an id of a session or of a token."""
    return secrets.token_urlsafe(16)
