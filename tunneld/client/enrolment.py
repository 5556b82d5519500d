"""A key of this process and the certificate a tenant issued for it, as a TLS context.

The key is never written: OpenSSL wants files, so it reads anonymous memory. After a restart the daemon enrols again,
which costs one request and leaves nothing on a disk to steal.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tunneld.client.ports import Denied
from tunneld.model.errors import DocumentError, PeerProtocolError
from tunneld.model.reasons import Reason
from tunneld.net.tls import client_context
from tunneld.wire.x509 import jwk_thumbprint, key_pem, make_csr, matches, read_client_identity, signed_by

RENEW_AT = 2 / 3  # of the certificate's life: the moment ACME clients renew (RFC 8555 implementations, certbot)


class DeviceKey:
    """A P-256 key made for one tenant, and its RFC 7638 thumbprint."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.thumbprint = jwk_thumbprint(self._key.public_key())

    def csr(self) -> str:
        """Return a PKCS #10 request that proves possession; the issuer puts the names in."""
        return make_csr(self._key).decode("ascii")

    def pem(self) -> bytes:
        return key_pem(self._key)


class Enrolment(NamedTuple):
    """A certificate in force: the context that presents it, and when it must be renewed."""

    context: ssl.SSLContext
    expires_at: float
    renew_at: float
    oid: str = ""
    """Whom the certificate speaks for; empty where it does not say."""


def enrol(key: DeviceKey, certificate: str, ca: str, pins: Path | None) -> Enrolment:
    """Check what the issuer sent for `key` and build the context. Raises Denied(`certificate_refused`, …).

    With `pins`, a tenant authority that is not in that file is refused: the issuer alone cannot introduce an edge.
    """
    try:
        return _enrolment(key, certificate.encode(), ca.encode(), pins)
    except Denied:
        raise
    except Exception as error:  # noqa: BLE001 - a parser written in Rust: any failure means "not a certificate"
        detail = f"the issued certificate is not readable: {type(error).__name__}"
        raise Denied(Reason.CERTIFICATE_REFUSED, detail) from None


def _enrolment(key: DeviceKey, chain: bytes, authority: bytes, pins: Path | None) -> Enrolment:
    if not matches(chain, key.pem()) or not signed_by(chain, authority):
        raise Denied(Reason.CERTIFICATE_REFUSED, "the issued certificate is not for our key, or not from its authority")
    leaf = x509.load_pem_x509_certificate(chain)
    if pins is not None:
        _check_pinned(authority, pins)
    with _in_memory(authority) as ca_path, _in_memory(chain) as chain_path, _in_memory(key.pem()) as key_path:
        try:
            context = client_context(ca=ca_path, certificate=chain_path, key=key_path)
        except DocumentError as error:
            raise Denied(Reason.CERTIFICATE_REFUSED, f"the issued certificate {error.message}") from None
    begin, end = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    return Enrolment(context, end, begin + (end - begin) * RENEW_AT, _oid(leaf))


def _oid(leaf: x509.Certificate) -> str:
    try:
        return read_client_identity(leaf.public_bytes(Encoding.DER)).oid
    except PeerProtocolError:  # whether it is good enough for the edge is for the edge to say
        return ""


def _check_pinned(authority: bytes, pins: Path) -> None:
    try:
        pinned = x509.load_pem_x509_certificates(pins.read_bytes())
    except (OSError, ValueError):
        raise Denied(Reason.CERTIFICATE_INVALID, f"{pins} holds no certificate to compare with") from None
    if x509.load_pem_x509_certificate(authority) not in pinned:
        raise Denied(Reason.CERTIFICATE_INVALID, f"the tenant's authority is not among those of {pins}")


@contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    """Give `data` a path without giving it a file."""
    descriptor = os.memfd_create("tunneld", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
