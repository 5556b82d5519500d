"""The listener's certificate, exchanged while it serves: proven in a context of its own, then given to the live one."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path

from tunneld.idp.settings import IdpSettings
from tunneld.model.errors import DocumentError
from tunneld.net.watch import FileWatch

Pair = tuple[bytes, bytes]


def read_identity(settings: IdpSettings) -> Pair:
    """Return certificate chain and key as PEM, proven to belong together. Raises DocumentError."""
    try:
        pair = Path(settings.certificate).read_bytes(), Path(settings.key).read_bytes()
        _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pair)
    except OSError as error:  # ssl.SSLError is one too
        raise DocumentError(str(settings.certificate), "", str(error), "certificate and key of the listener") from None
    return pair


def identity_watch(
    settings: IdpSettings, live: ssl.SSLContext, *, changed: Callable[[], None], refused: Callable[[str], None]
) -> FileWatch[object]:
    """Return a watch that gives new connections the new certificate; a broken file changes nothing."""

    def apply(pair: object) -> None:
        assert isinstance(pair, tuple)
        # A failing `load_cert_chain` would leave the live context with a certificate and no key, so what it is given
        # are the very bytes that were proven, not the files, which may have changed again.
        _load(live, pair)
        changed()

    return FileWatch((settings.certificate, settings.key), lambda: read_identity(settings), apply, refused=refused)


def _load(context: ssl.SSLContext, pair: Pair) -> None:
    """Load a pair that is in memory; OpenSSL's call takes files, so it gets private ones for a moment."""
    with tempfile.TemporaryDirectory(prefix="tunneld-") as folder:  # mode 0700
        certificate, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
        certificate.write_bytes(pair[0])
        key.write_bytes(pair[1])
        context.load_cert_chain(certificate, key)
