"""TLS contexts of the tunnel: TLS 1.3 only, mutual, HTTP/2 only, never resumed.

A context is built whole from files and then swapped in by its owner. It is never changed afterwards: a
`load_cert_chain` that fails half way leaves a live context with a certificate and no key.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from tunneld.model.errors import DocumentError

ALPN = "h2"
_RENEW = "run `tunneld certs DIR` to renew it"

PathLike = str | os.PathLike[str]


def server_context(*, certificate: PathLike, key: PathLike, client_ca: PathLike) -> ssl.SSLContext:
    """Return a context that serves `certificate` and demands a client certificate of the one authority.

    Raises DocumentError that names the file and the mend.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    # No ticket means no resumption, and so no session of one tenant carried into another tenant's context
    # (the class of CVE-2025-23419). TLS 1.3 has no other way to resume.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.verify_mode = ssl.CERT_REQUIRED
    _load_authority(context, client_ca)
    _load_identity(context, certificate, key)
    return context


def interop_context(*, certificate: PathLike, key: PathLike) -> ssl.SSLContext:
    """Return a context that serves `certificate` to clients without one: for foreign proxies, which bring tokens."""
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE
    _load_identity(context, certificate, key)
    return context


def client_context(*, ca: PathLike, certificate: PathLike | None = None, key: PathLike | None = None) -> ssl.SSLContext:
    """Return a context that trusts `ca` and nothing else, and shows `certificate` where one is given."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)  # implies CERT_REQUIRED and check_hostname
    _load_authority(context, ca)
    if certificate is not None and key is not None:
        _load_identity(context, certificate, key)
    return context


def trust_context(ca: PathLike) -> ssl.SSLContext:
    """Return a context for ordinary https to a server whose authority is `ca` and no public one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_authority(context, ca)
    return context


def peer_certificate(transport: asyncio.BaseTransport) -> bytes | None:
    """Return the DER of the certificate that the peer showed and TLS verified, None without one."""
    tls = transport.get_extra_info("ssl_object")
    certificate: bytes | None = tls.getpeercert(binary_form=True) if tls is not None else None
    return certificate


def _context(protocol: ssl._SSLMethod) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([ALPN])
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # RFC 5280 to the letter: path lengths, key usage and key identifiers are checked, not tolerated.
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def _load_authority(context: ssl.SSLContext, path: PathLike) -> None:
    try:
        certificates = x509.load_pem_x509_certificates(Path(path).read_bytes())
        context.load_verify_locations(cafile=path)
    except OSError as error:  # ssl.SSLError is one too
        raise DocumentError(str(path), "", _cause(error), "give the authority's certificate as PEM") from None
    except ValueError:
        raise DocumentError(str(path), "", "holds no certificate", "give the authority's certificate as PEM") from None
    _check_dates(certificates[0], path)


def _load_identity(context: ssl.SSLContext, certificate: PathLike, key: PathLike) -> None:
    try:
        leaf = x509.load_pem_x509_certificate(Path(certificate).read_bytes())
    except OSError as error:
        raise DocumentError(str(certificate), "", _cause(error), "give the certificate chain as PEM") from None
    except ValueError:
        raise DocumentError(str(certificate), "", "holds no certificate", "give the chain as PEM, leaf first") from None
    _check_dates(leaf, certificate)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except OSError as error:
        message = _cause(error)
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            message = f"is not the key of {certificate}"
        raise DocumentError(str(key), "", message, "write key and certificate together") from None
    except ValueError:  # our own refusal to answer a pass phrase prompt
        raise DocumentError(str(key), "", "is encrypted", "give a key without a pass phrase, mode 0600") from None


def _no_password() -> str:
    """Stand in for the terminal prompt of OpenSSL, which would stop a daemon for ever."""
    raise ValueError


def _check_dates(certificate: x509.Certificate, path: PathLike) -> None:
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        raise DocumentError(str(path), "", f"expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC", _RENEW)
    if now < certificate.not_valid_before_utc:
        begin = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M}"
        raise DocumentError(str(path), "", f"is not valid before {begin} UTC", "check this machine's clock")


def _cause(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"is not usable ({error.reason or 'not PEM'})"
    return f"cannot be read ({error.strerror})"
