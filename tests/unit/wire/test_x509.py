"""Certificates as values: what is in them, whom they name, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from joserfc.jwk import ECKey

from tunneld.model.errors import PeerProtocolError
from tunneld.model.identity import ClientIdentity
from tunneld.model.reasons import Reason
from tunneld.wire.x509 import (
    MAX_CSR,
    jwk_thumbprint,
    key_pem,
    make_authority,
    make_csr,
    make_edge_certificate,
    matches,
    read_client_identity,
    sign_client_certificate,
    signed_by,
)

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
END = BEGIN + timedelta(hours=8)
TENANT = "11111111-1111-4111-8111-111111111111"
USER = "bbbbbbbb-0000-4000-8000-000000000001"
CA_KEY, KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
CA = make_authority(CA_KEY, common_name="authority", serial=1, not_before=BEGIN, not_after=END)


def edge(*names: str) -> x509.Certificate:
    pem = make_edge_certificate(
        KEY.public_key(), names, ca_cert_pem=CA, ca_key_pem=key_pem(CA_KEY), serial=2, not_before=BEGIN, not_after=END
    )
    return x509.load_pem_x509_certificate(pem)


def client(csr: bytes | None = None, *, tenant_id: str = TENANT, oid: str = USER, end: datetime = END) -> bytes:
    return sign_client_certificate(
        csr or make_csr(KEY), ca_cert_pem=CA, ca_key_pem=key_pem(CA_KEY), tenant_id=tenant_id, oid=oid, serial=3,
        not_before=BEGIN, not_after=end,
    )  # fmt: skip


def der(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


def custom(names: list[x509.GeneralName] | None, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
    """A certificate that our own functions would not make."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd")])
    builder = x509.CertificateBuilder(name, name, key, 4, BEGIN, END)
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(CA_KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_an_authority_may_sign_leaves_and_nothing_else() -> None:
    """Path length 0, certificate signing only, and identifiers that name its own key."""
    certificate = x509.load_pem_x509_certificate(CA)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.digital_signature) == (True, False)
    own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert own.digest == issuer.key_identifier
    assert (certificate.serial_number, certificate.not_valid_before_utc) == (1, BEGIN)


def test_an_edge_certificate_serves_its_names() -> None:
    """Every name and address is in the SAN; the purpose is a server's, and it can sign nothing further."""
    long_name = f"{TENANT}.microsoft.edges.tunneld.test"
    assert len(long_name) > 64
    certificate = edge(long_name, "127.0.0.1", "localhost")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == [long_name, "127.0.0.1", "localhost"]
    assert isinstance(list(names)[1], x509.IPAddress)
    purpose = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purpose) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert len(certificate.subject.rfc4514_string().removeprefix("CN=")) <= 64
    assert signed_by(certificate.public_bytes(serialization.Encoding.PEM), CA)


def test_a_short_name_is_the_common_name_whole() -> None:
    """Names of up to 64 characters are not cut."""
    assert edge("localhost").subject.rfc4514_string() == "CN=localhost"


def test_a_server_certificate_without_names_is_our_mistake() -> None:
    """No certificate is made that no verifier would accept."""
    with pytest.raises(ValueError, match="at least one name"):
        edge()


def test_a_client_certificate_names_tenant_and_user() -> None:
    """What was signed is what is read, with the thumbprint of the requester's key."""
    pem = client()
    assert read_client_identity(der(pem)) == ClientIdentity(
        TENANT, USER, jwk_thumbprint(KEY.public_key()), END.timestamp()
    )
    certificate = x509.load_pem_x509_certificate(pem)
    assert certificate.subject.rfc4514_string() == f"CN={USER}"
    purpose = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purpose) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert signed_by(pem, CA)
    assert matches(pem, key_pem(KEY))


def test_a_request_gets_nothing_but_its_key() -> None:
    """Names and extensions that a request asks for are dropped."""
    greedy = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("evil.test")]), critical=False)
        .sign(KEY, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    certificate = x509.load_pem_x509_certificate(client(greedy))
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert read_client_identity(certificate.public_bytes(serialization.Encoding.DER)).oid == USER


def _csr(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)


def _unproven() -> bytes:
    """A request whose signature was made by nobody."""
    raw = bytearray(x509.load_pem_x509_csr(make_csr(KEY)).public_bytes(serialization.Encoding.DER))
    raw[-1] ^= 1
    return x509.load_der_x509_csr(bytes(raw)).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    "csr",
    [
        b"",
        b"nonsense",
        b"\xff" * 100,
        CA,
        _csr(rsa.generate_private_key(65537, 2048)),
        _csr(ec.generate_private_key(ec.SECP384R1())),
        _csr(ed25519.Ed25519PrivateKey.generate()),
        _unproven(),
        make_csr(KEY) + b" " * MAX_CSR,
        make_csr(KEY)[:-60],
    ],
    ids=["empty", "nonsense", "binary", "certificate", "rsa", "p384", "ed25519", "unproven", "huge", "cut"],
)
def test_requests_that_are_not_signed(csr: bytes) -> None:
    """A broken, oversized, foreign or unproven request is a malformed one, never a crash."""
    with pytest.raises(PeerProtocolError) as refusal:
        client(csr or b"-")
    assert refusal.value.reason is Reason.MALFORMED_REQUEST


def test_a_client_certificate_is_short_lived() -> None:
    """Nobody can ask for more than 8 hours."""
    with pytest.raises(ValueError, match="8 hours"):
        client(end=END + timedelta(seconds=1))


@pytest.mark.parametrize("oid", ["", "a:user:b", "a b", "ü", "a/b", "x" * 65])
def test_what_could_be_read_two_ways_does_not_enter_a_name(oid: str) -> None:
    """A colon in an id would move the border between tenant and user."""
    with pytest.raises(ValueError, match=r"cannot stand|common name"):
        client(oid=oid)


def _uri(text: str) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(text)]


@pytest.mark.parametrize(
    "certificate",
    [
        b"",
        b"\x30\x00",
        der(CA),
        custom(None, KEY.public_key()),
        custom([x509.DNSName("a.test")], KEY.public_key()),
        custom(_uri("https://evil.test"), KEY.public_key()),
        custom(_uri("urn:tunneld:tenant:"), KEY.public_key()),
        custom(_uri("urn:tunneld:tenant:t"), KEY.public_key()),
        custom(_uri("urn:tunneld:tenant:t:user:"), KEY.public_key()),
        custom(_uri("urn:tunneld:tenant::user:u"), KEY.public_key()),
        custom(_uri("urn:tunneld:tenant:t:x:user:u"), KEY.public_key()),
        custom(_uri("urn:tunneld:tenant:t:user:u:v"), KEY.public_key()),
        custom(_uri("urn:tunneld:tenant:t:user:u:user:v"), KEY.public_key()),
        custom(_uri("urn:tunneld:tenant:t:user:u") + _uri("urn:tunneld:tenant:t:user:v"), KEY.public_key()),
        custom(_uri("urn:tunneld:tenant:t:user:u"), rsa.generate_private_key(65537, 2048).public_key()),
        custom(_uri("urn:tunneld:tenant:t:user:u"), ec.generate_private_key(ec.SECP384R1()).public_key()),
    ],
)
def test_a_certificate_without_one_clear_name_is_refused(certificate: bytes) -> None:
    """Only one URI of exactly the one form, on a P-256 key, is somebody."""
    with pytest.raises(PeerProtocolError) as refusal:
        read_client_identity(certificate)
    assert refusal.value.reason is Reason.CERTIFICATE_REFUSED


def test_the_thumbprint_is_the_registered_one() -> None:
    """RFC 7638, as an independent library computes it, for keys with leading zeros too."""
    for number in (1, 2, 3, 4294967291):
        key = ec.derive_private_key(number, ec.SECP256R1()).public_key()
        pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        assert jwk_thumbprint(key) == ECKey.import_key(pem).thumbprint()


def test_pairs_are_told_apart() -> None:
    """A key of another certificate, another kind of key, and no key at all do not match."""
    pem = client()
    assert not matches(pem, key_pem(CA_KEY))
    assert not matches(pem, b"nonsense")
    assert not matches(b"nonsense", key_pem(KEY))
    other = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert not matches(pem, other)


def test_another_authority_of_the_same_name_has_not_signed() -> None:
    """The name does not count, the signature does; nonsense was signed by nobody."""
    twin = make_authority(KEY, common_name="authority", serial=1, not_before=BEGIN, not_after=END)
    assert not signed_by(client(), twin)
    assert not signed_by(b"nonsense", CA)


def test_an_authority_must_own_its_key() -> None:
    """A certificate and a key that do not belong together sign nothing."""
    with pytest.raises(ValueError, match="does not belong"):
        sign_client_certificate(
            make_csr(KEY), ca_cert_pem=CA, ca_key_pem=key_pem(KEY), tenant_id=TENANT, oid=USER, serial=3,
            not_before=BEGIN, not_after=END,
        )  # fmt: skip
