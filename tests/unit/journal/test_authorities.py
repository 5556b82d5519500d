"""The certificate directory over its life: made, kept, renewed, mended."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tunneld.journal import authorities
from tunneld.journal.authorities import KEPT, MADE, RENEWED, Step, TenantNames, edge_name, renew_directory
from tunneld.model.errors import DocumentError
from tunneld.wire.x509 import matches, signed_by

TENANTS = [
    TenantNames("contoso", ("one.private.edge.test", "one.internet.edge.test")),
    TenantNames("fabrikam", ("two.private.edge.test",)),
]


class Clock(datetime):
    """A wall clock that tests move."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: object = None) -> datetime:
        """Return the present, and what a test added to it."""
        return datetime.now(UTC) + cls.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    monkeypatch.setattr(Clock, "ahead", timedelta())
    monkeypatch.setattr(authorities, "datetime", Clock)
    return Clock


def outcomes(steps: list[Step]) -> dict[str, str]:
    return {"/".join(step.path.parts[-2:]): step.outcome for step in steps}


def test_everything_is_made_and_belongs_together(tmp_path: Path) -> None:
    """Keys are private, leaves carry their chain and names, and the bundle holds every authority."""
    directory = tmp_path / "certs"
    old_mask = os.umask(0)
    try:
        steps = renew_directory(directory, TENANTS)
    finally:
        os.umask(old_mask)
    assert set(outcomes(steps).values()) == {MADE}
    assert len(steps) == 6
    for place, leaf in (("contoso", "edge"), ("fabrikam", "edge"), ("idp", "idp")):
        folder = directory / place
        ca, pem = (folder / "ca.pem").read_bytes(), (folder / f"{leaf}.pem").read_bytes()
        assert signed_by(pem, ca)
        assert pem.endswith(ca)
        assert matches(pem, (folder / f"{leaf}.key").read_bytes())
        assert ca in (directory / "bundle.pem").read_bytes()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in directory.rglob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    edge = x509.load_pem_x509_certificate((directory / "contoso" / "edge.pem").read_bytes())
    names = edge.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == list(TENANTS[0].dns_names)
    assert len((directory / "bundle.pem").read_bytes().split(b"BEGIN CERT")) == 4


def test_what_is_valid_is_kept_to_the_byte(tmp_path: Path) -> None:
    """A second run changes no file."""
    renew_directory(tmp_path / "certs", TENANTS)
    before = {path: (path.read_bytes(), path.stat().st_ino) for path in tmp_path.rglob("*") if path.is_file()}
    steps = renew_directory(tmp_path / "certs", TENANTS)
    assert set(outcomes(steps).values()) == {KEPT}
    assert {path: (path.read_bytes(), path.stat().st_ino) for path in before} == before


def test_leaves_are_renewed_in_their_last_third(tmp_path: Path, clock: type[Clock]) -> None:
    """After five of seven days the leaf is new and the authority the same."""
    renew_directory(tmp_path, TENANTS)
    clock.ahead = timedelta(days=4)
    assert outcomes(renew_directory(tmp_path, TENANTS))["contoso/edge.pem"] == KEPT
    clock.ahead = timedelta(days=5)
    steps = renew_directory(tmp_path, TENANTS)
    assert outcomes(steps) == {
        "contoso/ca.pem": KEPT, "contoso/edge.pem": RENEWED, "fabrikam/ca.pem": KEPT, "fabrikam/edge.pem": RENEWED,
        "idp/ca.pem": KEPT, "idp/idp.pem": RENEWED,
    }  # fmt: skip
    assert {step.because for step in steps} == {"", "was about to expire"}


def test_a_renewed_authority_still_vouches_for_what_it_signed(tmp_path: Path, clock: type[Clock]) -> None:
    """Its key stays, so user certificates in use survive the renewal; an expired one is renewed as well."""
    renew_directory(tmp_path, TENANTS)
    old_leaf = (tmp_path / "contoso" / "edge.pem").read_bytes()
    clock.ahead = timedelta(days=31)
    steps = renew_directory(tmp_path, TENANTS)
    assert outcomes(steps)["contoso/ca.pem"] == RENEWED
    assert steps[0].because == "had expired"
    new_ca = (tmp_path / "contoso" / "ca.pem").read_bytes()
    assert signed_by(old_leaf, new_ca)
    assert new_ca in (tmp_path / "bundle.pem").read_bytes()


def test_no_leaf_outlives_its_authority(tmp_path: Path, clock: type[Clock]) -> None:
    """A leaf made near the end of its authority ends with it."""
    renew_directory(tmp_path, TENANTS)
    clock.ahead = timedelta(days=19)  # the authority has 11 of 30 days left: not in its last third yet
    steps = renew_directory(tmp_path, TENANTS)
    ends = {"/".join(step.path.parts[-2:]): step.not_after for step in steps}
    assert ends["contoso/edge.pem"] <= ends["contoso/ca.pem"]


def test_changed_names_renew_the_leaf_alone(tmp_path: Path) -> None:
    """A tenant with another channel gets another leaf."""
    renew_directory(tmp_path, TENANTS)
    changed = [TENANTS[0]._replace(dns_names=("one.private.edge.test",)), TENANTS[1]]
    steps = renew_directory(tmp_path, changed)
    assert outcomes(steps)["contoso/edge.pem"] == RENEWED
    assert outcomes(steps)["fabrikam/edge.pem"] == KEPT
    assert next(step.because for step in steps if step.outcome == RENEWED) == "its names changed"


def _remove(path: Path) -> None:
    path.unlink()


def _garble(path: Path) -> None:
    path.write_bytes(b"garbage")


def _expose(path: Path) -> None:
    path.chmod(0o644)


def _exchange(path: Path) -> None:
    path.write_bytes((path.parent.parent / "fabrikam" / path.name).read_bytes())


@pytest.mark.parametrize(
    ("name", "spoil", "because"),
    [
        ("edge.key", _remove, "certificate or key was unusable"),
        ("edge.pem", _remove, "certificate or key was unusable"),
        ("edge.pem", _garble, "certificate or key was unusable"),
        ("edge.key", _garble, "the key did not belong to the certificate"),
        ("edge.key", _exchange, "the key did not belong to the certificate"),
        ("edge.key", _expose, "others could read the key"),
    ],
)
def test_a_spoiled_leaf_is_made_anew(tmp_path: Path, name: str, spoil: object, because: str) -> None:
    """Missing, broken, exchanged or exposed: a new key and certificate, and nobody else's are touched."""
    renew_directory(tmp_path, TENANTS)
    assert callable(spoil)
    spoil(tmp_path / "contoso" / name)
    steps = renew_directory(tmp_path, TENANTS)
    changed = {place: outcome for place, outcome in outcomes(steps).items() if outcome != KEPT}
    assert changed == {"contoso/edge.pem": MADE}
    assert next(step.because for step in steps if step.outcome == MADE) == because
    folder = tmp_path / "contoso"
    assert matches((folder / "edge.pem").read_bytes(), (folder / "edge.key").read_bytes())
    assert stat.S_IMODE((folder / "edge.key").stat().st_mode) == 0o600


def test_a_new_authority_makes_new_leaves(tmp_path: Path) -> None:
    """An exposed authority key is worthless, and with it everything that it signed."""
    renew_directory(tmp_path, TENANTS)
    (tmp_path / "contoso" / "ca.key").chmod(0o640)
    steps = renew_directory(tmp_path, TENANTS)
    assert outcomes(steps)["contoso/ca.pem"] == MADE
    assert outcomes(steps)["contoso/edge.pem"] == RENEWED
    assert next(step.because for step in steps if step.outcome == RENEWED) == "another authority signed it"
    folder = tmp_path / "contoso"
    assert signed_by((folder / "edge.pem").read_bytes(), (folder / "ca.pem").read_bytes())


def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    """Whoever may write there could plant an authority."""
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs").chmod(0o777)
    with pytest.raises(DocumentError, match=r"others may write to it \(chmod 700"):
        renew_directory(tmp_path / "certs", TENANTS)


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner could read the keys."""
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(DocumentError, match="belongs to another user"):
        renew_directory(tmp_path, TENANTS)


def test_a_file_in_the_way_is_reported(tmp_path: Path) -> None:
    """The error names the path and what to do."""
    (tmp_path / "certs").write_bytes(b"")
    with pytest.raises(DocumentError, match="certs: cannot be made"):
        renew_directory(tmp_path / "certs", TENANTS)


def test_the_edges_name_has_its_parts_in_order() -> None:
    """SNI and certificate agree because both come from here."""
    assert edge_name("t-1", "private", "edge.test") == "t-1.private.edge.test"


def test_keys_are_p256(tmp_path: Path) -> None:
    """Every key can sign a TLS 1.3 handshake cheaply."""
    renew_directory(tmp_path, TENANTS[:1])
    for path in tmp_path.rglob("*.key"):
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        assert getattr(key, "curve", None) is not None
        assert key.curve.name == "secp256r1"  # type: ignore[union-attr]
