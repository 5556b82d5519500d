"""Certificates and key thumbprints: pure functions over PEM, DER and key objects (RFC 5280, RFC 7638).

Keys, serial numbers and times are arguments: the caller owns randomness and the clock. Every key is P-256: TLS 1.3
must support it (RFC 8446 §9.1), and its signatures are cheap enough for a handshake per tunnel.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
from collections.abc import Iterable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tunneld.model.errors import PeerProtocolError
from tunneld.model.identity import ClientIdentity
from tunneld.model.reasons import Reason

MAX_COMMON_NAME = 64  # RFC 5280 appendix A.1, ub-common-name
MAX_CSR = 16 * 1024  # a P-256 request is under 1 KiB; 16 KiB is one TLS record (RFC 8446 §5.1)
MAX_CLIENT_LIFETIME = timedelta(hours=8)  # one working day: no revocation list is needed for so short a life

_IDENTITY = "urn:tunneld:tenant:"


def make_authority(
    key: ec.EllipticCurvePrivateKey, *, common_name: str, serial: int, not_before: datetime, not_after: datetime
) -> bytes:
    """Return the PEM of a self-signed authority that may sign leaves only (path length 0)."""
    name = _name(common_name)
    builder = _builder(
        name, name, key.public_key(), serial=serial, not_before=not_before, not_after=not_after
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
    own_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    builder = builder.add_extension(own_key, critical=False)
    return _pem(builder.sign(key, hashes.SHA256()))


def make_edge_certificate(
    public_key: ec.EllipticCurvePublicKey,
    names: Iterable[str],
    *,
    ca_cert_pem: bytes,
    ca_key_pem: bytes,
    serial: int,
    not_before: datetime,
    not_after: datetime,
) -> bytes:
    """Return the PEM of a server certificate for `names` (DNS names and IP addresses), leaf only."""
    alternatives = [_alternative(name) for name in names]
    if not alternatives:
        raise ValueError("a server certificate needs at least one name")
    first = str(alternatives[0].value)
    # A channel name holds a tenant id and easily passes 64 characters. Verifiers read the SAN only (RFC 9525 §2),
    # so a long name loses nothing by leaving its tail out of the CN.
    common_name = first if len(first) <= MAX_COMMON_NAME else first[:MAX_COMMON_NAME].rstrip(".-")
    authority, key = _authority(ca_cert_pem, ca_key_pem)
    builder = _leaf(
        _builder(
            _name(common_name), authority.subject, public_key, serial=serial, not_before=not_before, not_after=not_after
        ),
        authority,
        ExtendedKeyUsageOID.SERVER_AUTH,
    )
    builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return _pem(builder.sign(key, hashes.SHA256()))


def make_csr(key: ec.EllipticCurvePrivateKey, *, common_name: str = "tunneld") -> bytes:
    """Return the PEM of a PKCS #10 request (RFC 2986). It proves possession; the issuer ignores the name in it."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(common_name))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def sign_client_certificate(
    csr_pem: bytes,
    *,
    ca_cert_pem: bytes,
    ca_key_pem: bytes,
    tenant_id: str,
    oid: str,
    serial: int,
    not_before: datetime,
    not_after: datetime,
) -> bytes:
    """Return the PEM of a client certificate for the key of `csr_pem`, naming the user in a SAN URI.

    Only the key is taken from the request: names and extensions that it asks for are dropped. Raises
    PeerProtocolError(`malformed_request`) for a request that is broken, unproven or not P-256.
    """
    public_key = read_csr(csr_pem)
    if not_after - not_before > MAX_CLIENT_LIFETIME:
        raise ValueError("a client certificate lives at most 8 hours")
    authority, key = _authority(ca_cert_pem, ca_key_pem)
    builder = _leaf(
        _builder(
            _name(oid), authority.subject, public_key, serial=serial, not_before=not_before, not_after=not_after
        ),
        authority,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    )
    identity = x509.UniformResourceIdentifier(f"{_IDENTITY}{_segment(tenant_id)}:user:{_segment(oid)}")
    builder = builder.add_extension(x509.SubjectAlternativeName([identity]), critical=False)
    return _pem(builder.sign(key, hashes.SHA256()))


def read_csr(csr_pem: bytes) -> ec.EllipticCurvePublicKey:
    """Return the P-256 key that the request proves possession of. Raises PeerProtocolError(`malformed_request`)."""
    if len(csr_pem) > MAX_CSR:
        raise PeerProtocolError(Reason.MALFORMED_REQUEST, "the certificate request is too large")
    try:
        request = x509.load_pem_x509_csr(csr_pem)
        key = request.public_key()
        proven = request.is_signature_valid
    except Exception as error:  # noqa: BLE001 - a parser written in Rust: any failure means "not a request"
        detail = f"not a certificate request: {type(error).__name__}"
        raise PeerProtocolError(Reason.MALFORMED_REQUEST, detail) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise PeerProtocolError(Reason.MALFORMED_REQUEST, "the certificate request's key is not P-256")
    if not proven:
        raise PeerProtocolError(Reason.MALFORMED_REQUEST, "the certificate request is not signed by its own key")
    return key


def read_client_identity(der: bytes) -> ClientIdentity:
    """Return whom the client certificate speaks for. Raises PeerProtocolError(`certificate_refused`).

    TLS has verified the chain; this reads the name in it, and takes exactly one form.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        not_after = certificate.not_valid_after_utc.timestamp()
    except Exception as error:  # noqa: BLE001 - a parser written in Rust: any failure means "no identity"
        raise PeerProtocolError(Reason.CERTIFICATE_REFUSED, f"unreadable: {type(error).__name__}") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise PeerProtocolError(Reason.CERTIFICATE_REFUSED, "its key is not P-256")
    if len(uris) != 1 or not uris[0].startswith(_IDENTITY):
        raise PeerProtocolError(Reason.CERTIFICATE_REFUSED, "it names no tunneld user")
    tenant_id, marker, oid = uris[0].removeprefix(_IDENTITY).partition(":user:")
    if not marker or not tenant_id or not oid or ":" in tenant_id or ":" in oid:
        raise PeerProtocolError(Reason.CERTIFICATE_REFUSED, "the user it names is malformed")
    return ClientIdentity(tenant_id, oid, jwk_thumbprint(key), not_after)


def jwk_thumbprint(public_key: ec.EllipticCurvePublicKey) -> str:
    """Return the RFC 7638 SHA-256 thumbprint of a P-256 key, base64url without padding."""
    numbers = public_key.public_numbers()
    # RFC 7638 §3.2: required members only, in lexicographic order, no white space.
    members = {
        "crv": "P-256",
        "kty": "EC",
        "x": _base64url(numbers.x.to_bytes(32, "big")),
        "y": _base64url(numbers.y.to_bytes(32, "big")),
    }
    canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
    return _base64url(hashlib.sha256(canonical).digest())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return an unencrypted PKCS #8 PEM of a private key. Whoever writes it keeps it 0600."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def signed_by(certificate_pem: bytes, ca_cert_pem: bytes) -> bool:
    """Tell whether the authority's key signed the (first) certificate."""
    try:
        x509.load_pem_x509_certificate(certificate_pem).verify_directly_issued_by(
            x509.load_pem_x509_certificate(ca_cert_pem)
        )
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def matches(certificate_pem: bytes, private_key_pem: bytes) -> bool:
    """Tell whether the (first) certificate holds the public half of the key."""
    try:
        key = serialization.load_pem_private_key(private_key_pem, None)
        certified = x509.load_pem_x509_certificate(certificate_pem).public_key()
    except (ValueError, TypeError):
        return False
    return isinstance(key, ec.EllipticCurvePrivateKey) and key.public_key() == certified


def _authority(ca_cert_pem: bytes, ca_key_pem: bytes) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = serialization.load_pem_private_key(ca_key_pem, None)
    certificate = x509.load_pem_x509_certificate(ca_cert_pem)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ValueError("the authority's key does not belong to its certificate")
    return certificate, key


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    *,
    serial: int,
    not_before: datetime,
    not_after: datetime,
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=public_key)
    builder = builder.serial_number(serial).not_valid_before(not_before).not_valid_after(not_after)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)


def _leaf(
    builder: x509.CertificateBuilder, authority: x509.Certificate, purpose: x509.ObjectIdentifier
) -> x509.CertificateBuilder:
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    issuer_key = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key)
    return builder.add_extension(identifier, critical=False)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    if not 1 <= len(common_name) <= MAX_COMMON_NAME:
        raise ValueError(f"a common name has 1 to {MAX_COMMON_NAME} characters, not {len(common_name)}")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(name: str) -> x509.DNSName | x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _segment(text: str) -> str:
    if not text or not text.isascii() or not all(c.isalnum() or c in "-._" for c in text):
        raise ValueError(f"{text!r} cannot stand in a certificate's name")
    return text


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
