"""The certificate that a federation partner signs with: pinned by value, so that no chain of trust is involved."""

from __future__ import annotations

import base64
import binascii

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

MIN_BITS = 2048  # RFC 7518 §3.3 asks as much of RS256; XML signatures with RSA-SHA256 deserve no less
MAX_CERTIFICATE = 16 * 1024  # base64 of the largest certificates seen is a third of that


def read_signing_certificate(text: str) -> x509.Certificate:
    """Return the X.509 certificate in base64 DER, as Graph writes it, or in PEM. Raises ValueError with a sentence."""
    if len(text) > MAX_CERTIFICATE:
        raise ValueError("the certificate is larger than 16 KiB")
    body = "".join(line for line in text.strip().splitlines() if not line.startswith("-----"))
    try:
        certificate = x509.load_der_x509_certificate(base64.b64decode("".join(body.split()), validate=True))
        key = certificate.public_key()
    except (binascii.Error, ValueError, TypeError):
        raise ValueError("not an X.509 certificate in base64") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < MIN_BITS:
        raise ValueError(f"not a certificate of an RSA key of at least {MIN_BITS} bits")
    return certificate


def certificate_text(certificate: x509.Certificate) -> str:
    """Return the base64 DER that Graph shows."""
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii")


def valid_at(certificate: x509.Certificate, now: int) -> bool:
    """Tell whether `now` lies within the certificate's dates."""
    begin, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    return begin <= now <= end
