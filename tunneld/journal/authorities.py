"""The certificate directory: an authority per tenant with its edge's certificate, one for the identity provider.

``DIR/<tenant>/{ca,edge}.{pem,key}``, ``DIR/idp/{ca,idp}.{pem,key}`` and ``DIR/bundle.pem`` with every authority's
certificate. What is valid is kept, what is about to end is renewed, what is broken or missing is made anew.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tunneld.journal.files import write_atomic
from tunneld.model.errors import DocumentError
from tunneld.wire.x509 import key_pem, make_authority, make_edge_certificate, matches, signed_by

AUTHORITY_LIFETIME = timedelta(days=30)
LEAF_LIFETIME = timedelta(days=7)
_BACKDATED = timedelta(minutes=5)  # a peer whose clock is a little behind must not see the future
_RENEW_AT = 3  # renewed in the last third of its life, as certbot does: 30 days ahead of 90

MADE, KEPT, RENEWED = "made", "kept", "renewed"

IDENTITY_PROVIDER = "idp"


class TenantNames(NamedTuple):
    """A tenant as its certificates know it: its short name is the directory, the rest are DNS names of its edges."""

    name: str
    dns_names: tuple[str, ...]


class Step(NamedTuple):
    """What became of one certificate, and why it was not simply kept."""

    path: Path
    outcome: str
    because: str
    not_after: datetime


def edge_name(tenant_id: str, channel: str, domain: str) -> str:
    """Return the name of one tenant's edge for one channel: its SNI and its certificate's DNS name."""
    return f"{tenant_id}.{channel}.{domain}"


def renew_directory(
    directory: Path, tenants: Sequence[TenantNames], *, idp_names: Sequence[str] = ("localhost", "127.0.0.1")
) -> list[Step]:
    """Bring `directory` up to date and return what was done, authority before leaf.

    Raises DocumentError where the directory cannot be used safely.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    _own_directory(directory)
    steps = []
    for name, leaf, dns_names in [(tenant.name, "edge", tenant.dns_names) for tenant in tenants] + [
        (IDENTITY_PROVIDER, "idp", tuple(idp_names))
    ]:
        place = directory / name
        _own_directory(place)
        steps.append(_authority(place, name, now))
        steps.append(_leaf(place, leaf, dns_names, now))
    bundle = b"".join((directory / name / "ca.pem").read_bytes() for name in [t.name for t in tenants] + ["idp"])
    path = directory / "bundle.pem"
    if not path.exists() or path.read_bytes() != bundle:
        write_atomic(path, bundle, mode=0o644)
    return steps


def _authority(place: Path, name: str, now: datetime) -> Step:
    certificate, key = place / "ca.pem", place / "ca.key"
    outcome, because = _judge(certificate, key, now)
    if outcome != KEPT:
        # Renewing keeps the key, so that everything the authority has signed stays valid.
        private = _read_key(key) if outcome == RENEWED else _fresh_key(key)
        not_after = now + AUTHORITY_LIFETIME
        pem = make_authority(
            private,
            common_name=f"tunneld {name} authority"[:64],
            serial=x509.random_serial_number(),
            not_before=now - _BACKDATED,
            not_after=not_after,
        )
        write_atomic(certificate, pem, mode=0o644)
    return Step(certificate, outcome, because, _not_after(certificate))


def _leaf(place: Path, leaf: str, names: tuple[str, ...], now: datetime) -> Step:
    certificate, key = place / f"{leaf}.pem", place / f"{leaf}.key"
    ca_pem, ca_key = (place / "ca.pem").read_bytes(), (place / "ca.key").read_bytes()
    outcome, because = _judge(certificate, key, now)
    if outcome == KEPT and not signed_by(certificate.read_bytes(), ca_pem):
        outcome, because = RENEWED, "another authority signed it"
    if outcome == KEPT and _names(certificate) != sorted(names):
        outcome, because = RENEWED, "its names changed"
    if outcome != KEPT:
        private = _fresh_key(key)
        pem = make_edge_certificate(
            private.public_key(),
            names,
            ca_cert_pem=ca_pem,
            ca_key_pem=ca_key,
            serial=x509.random_serial_number(),
            not_before=now - _BACKDATED,
            not_after=min(now + LEAF_LIFETIME, _not_after(place / "ca.pem")),
        )
        write_atomic(certificate, pem + ca_pem, mode=0o644)
    return Step(certificate, outcome, because, _not_after(certificate))


def _judge(certificate: Path, key: Path, now: datetime) -> tuple[str, str]:
    """Return made, kept or renewed, and the cause."""
    if not certificate.exists() and not key.exists():
        return MADE, "was not there"
    try:
        pem, private = certificate.read_bytes(), key.read_bytes()
        loaded = x509.load_pem_x509_certificate(pem)
    except (OSError, ValueError):
        return MADE, "certificate or key was unusable"
    if not matches(pem, private):
        return MADE, "the key did not belong to the certificate"
    if stat.S_IMODE(key.stat().st_mode) & 0o077:
        return MADE, "others could read the key"
    life = loaded.not_valid_after_utc - loaded.not_valid_before_utc
    if now > loaded.not_valid_after_utc:
        return RENEWED, "had expired"
    if loaded.not_valid_after_utc - now < life / _RENEW_AT:
        return RENEWED, "was about to expire"
    return KEPT, ""


def _own_directory(path: Path) -> None:
    """Make `path` ours and private, or raise DocumentError: whoever may write here can plant an authority."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError as error:
        raise DocumentError(str(path), "", f"cannot be made ({error.strerror})", "name a directory") from None
    if status.st_uid != os.geteuid():
        raise DocumentError(str(path), "", "belongs to another user", "name a directory of your own")
    if stat.S_IMODE(status.st_mode) & 0o022:
        raise DocumentError(str(path), "", "others may write to it", f"chmod 700 {path}")


def _fresh_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    write_atomic(path, key_pem(key))
    return key


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # _judge has compared it with the certificate
    return key


def _not_after(path: Path) -> datetime:
    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc


def _names(path: Path) -> list[str]:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return sorted(str(name.value) for name in names)
