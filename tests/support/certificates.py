"""Authorities and certificates for tests, made on the spot and written where a test wants them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.tokens import TENANT, USER
from tunneld.wire.x509 import key_pem, make_authority, make_csr, make_edge_certificate, sign_client_certificate


def now() -> datetime:
    """Return the present in UTC, in whole seconds, as certificates count."""
    return datetime.now(UTC).replace(microsecond=0)


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Pair:
    """A certificate and its key in files."""

    certificate: Path
    key: Path


class Authority:
    """A throw-away authority that writes what it signs into one directory."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.name = name
        self.key = new_key()
        self.key_pem = key_pem(self.key)
        self.pem = make_authority(
            self.key,
            common_name=name,
            serial=x509.random_serial_number(),
            not_before=now() - timedelta(days=3),
            not_after=now() + timedelta(days=3),
        )
        self.path = directory / f"{name}-ca.pem"
        self.path.write_bytes(self.pem)

    def server(self, *names: str, days: tuple[float, float] = (-1, 1), label: str = "edge") -> Pair:
        """Return a server certificate for `names`."""
        key = new_key()
        pem = make_edge_certificate(
            key.public_key(),
            names,
            ca_cert_pem=self.pem,
            ca_key_pem=self.key_pem,
            serial=x509.random_serial_number(),
            not_before=now() + timedelta(days=days[0]),
            not_after=now() + timedelta(days=days[1]),
        )
        return self._write(label, pem, key)

    def client(
        self, *, tenant_id: str = TENANT, oid: str = USER, hours: tuple[float, float] = (-1, 1), label: str = "client"
    ) -> Pair:
        """Return a user's certificate."""
        key = new_key()
        pem = sign_client_certificate(
            make_csr(key),
            ca_cert_pem=self.pem,
            ca_key_pem=self.key_pem,
            tenant_id=tenant_id,
            oid=oid,
            serial=x509.random_serial_number(),
            not_before=now() + timedelta(hours=hours[0]),
            not_after=now() + timedelta(hours=hours[1]),
        )
        return self._write(label, pem, key)

    def _write(self, label: str, pem: bytes, key: ec.EllipticCurvePrivateKey) -> Pair:
        pair = Pair(self.directory / f"{self.name}-{label}.pem", self.directory / f"{self.name}-{label}.key")
        pair.certificate.write_bytes(pem)
        pair.key.write_bytes(key_pem(key))
        pair.key.chmod(0o600)
        return pair
