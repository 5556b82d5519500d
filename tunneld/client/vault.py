"""Where refresh tokens rest: one encrypted file in the state directory, replaced whole.

The key comes from the desktop's secret service where there is one (through `secret-tool`), else from a key file of
mode 0600 beside it. The key file protects against a copied or backed-up vault file alone; it does not protect against
somebody who can read the whole state directory, and nothing that starts without a pass phrase can.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tunneld.journal.files import write_atomic

KEY_SIZE = 32  # AES-256
NONCE_SIZE = 12  # NIST SP 800-38D §8.2: 96 bits; random ones are safe for 2**32 writes under a key
KEYRING_TIMEOUT_S = 5.0  # a locked keyring asks its user; a daemon must start without waiting for them
_CONTEXT = b"tunneld identity 1"  # binds the ciphertext to its use and format


class Vault:
    """The encrypted file, and where its key came from (`keyring` or `file`)."""

    def __init__(self, path: Path, key: bytes, *, key_source: str) -> None:
        self.path = path
        self.key_source = key_source
        self._cipher = AESGCM(key)

    def read(self) -> dict[str, Any]:
        """Return what was written last, or an empty dict where nothing (or nothing readable) is there.

        A file that does not decrypt means that the key is lost: the user signs in again, which is all one can do.
        """
        try:
            sealed = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        try:
            plain = self._cipher.decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], _CONTEXT)
            content = json.loads(plain)
        except (InvalidTag, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def write(self, content: Mapping[str, Any]) -> None:
        """Replace the content."""
        nonce = secrets.token_bytes(NONCE_SIZE)
        plain = json.dumps(content, separators=(",", ":")).encode()
        write_atomic(self.path, nonce + self._cipher.encrypt(nonce, plain, _CONTEXT), mode=0o600)

    def erase(self) -> None:
        """Remove the file: there is nothing to keep any more."""
        self.path.unlink(missing_ok=True)


def open_vault(state: Path, environ: Mapping[str, str] | None = None) -> Vault:
    """Return the vault of a state directory, with the key that belongs to it. Blocks while a keyring answers."""
    env = os.environ if environ is None else environ
    path, key_file = state / "identity.vault", state / "identity.key"
    if not key_file.exists():
        key = _keyring_key(str(state.resolve()), env)
        if key is not None:
            return Vault(path, key, key_source="keyring")
        write_atomic(key_file, secrets.token_bytes(KEY_SIZE), mode=0o600)
    key = key_file.read_bytes()
    if len(key) != KEY_SIZE:  # damaged: whatever it sealed is lost, so start anew rather than refuse for ever
        key = secrets.token_bytes(KEY_SIZE)
        write_atomic(key_file, key, mode=0o600)
    return Vault(path, key, key_source="file")


def _keyring_key(name: str, environ: Mapping[str, str]) -> bytes | None:
    """Return this directory's key from the secret service, made on first use; None where there is no such service."""
    program = shutil.which("secret-tool", path=environ.get("PATH"))
    if program is None or not environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return None
    attributes = ["service", "tunneld", "state", name]
    found = _ask([program, "lookup", *attributes], environ)
    if found is None:
        made = secrets.token_hex(KEY_SIZE)
        if _ask([program, "store", "--label=tunneld token key", *attributes], environ, made) is None:
            return None
        found = _ask([program, "lookup", *attributes], environ)
    try:
        key = bytes.fromhex(found or "")
    except ValueError:
        return None
    return key if len(key) == KEY_SIZE else None


def _ask(command: list[str], environ: Mapping[str, str], secret: str = "") -> str | None:
    """Run `secret-tool` with the secret on its standard input, never among its arguments."""
    try:
        done = subprocess.run(
            command, input=secret, capture_output=True, text=True, timeout=KEYRING_TIMEOUT_S, check=True, env=environ
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
