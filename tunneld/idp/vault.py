"""Secrets that must be read again, encrypted at rest: a stolen database yields no authenticator seed.

AES-256-GCM (NIST SP 800-38D) with a key derived from the provider's secret; what a secret belongs to is authenticated
with it, so that a row's secret is worthless in another row.
"""

from __future__ import annotations

import base64
import binascii
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tunneld.idp.sealing import Seal

MAX_SEALED = 2048  # a seed, an owner and a time are under 300 characters
_NONCE = 12


def lock(seal: Seal, belonging: str, secret: bytes) -> str:
    """Return `secret` encrypted, as text."""
    nonce = secrets.token_bytes(_NONCE)
    return base64.urlsafe_b64encode(nonce + _cipher(seal).encrypt(nonce, secret, belonging.encode())).decode()


def unlock(seal: Seal, belonging: str, text: str) -> bytes | None:
    """Return the secret, None when the text was not made here for the same thing."""
    if len(text) > MAX_SEALED:
        return None
    try:
        sealed = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        return _cipher(seal).decrypt(sealed[:_NONCE], sealed[_NONCE:], belonging.encode())
    except (InvalidTag, ValueError, binascii.Error):
        return None


def _cipher(seal: Seal) -> AESGCM:
    return AESGCM(seal.derive("vault"))
