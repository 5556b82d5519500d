"""`tunneld certs` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509

from tunneld.cli.main import main
from tunneld.lab import world

GUID = "11111111-1111-4111-8111-111111111111"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run the command and return its status and what it printed."""
    with pytest.raises(SystemExit) as end:
        main(["certs", *words])
    captured = capsys.readouterr()
    return int(end.value.code or 0), captured.out, captured.err


def names(path: Path) -> list[str]:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return alternative.get_values_for_type(x509.DNSName)


def test_the_labs_certificates_are_made_and_then_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first run says what it made, the second that all was kept; every tenant of the lab is there."""
    status, out, _ = run(capsys, str(tmp_path / "certs"))
    assert status == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["made"] * (2 * len(world.TENANTS) + 2)
    assert lines[-1].endswith("bundle.pem")
    for tenant in world.TENANTS:
        expected = [tenant.edge_name(channel) for channel in tenant.channels or ("private",)]
        assert names(tmp_path / "certs" / tenant.name / "edge.pem") == expected
    status, out, _ = run(capsys, str(tmp_path / "certs"), "--json")
    report = json.loads(out)
    assert status == 0
    assert {each["outcome"] for each in report["certificates"]} == {"kept"}
    assert Path(report["bundle"]).exists()


def test_own_tenants_get_certificates_for_their_edges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Name, id and channels as given, in the domain as given; all channels where none are named."""
    status, _, _ = run(
        capsys, str(tmp_path), "--domain", "edge.example", "--tenant", f"one={GUID}:private", "--tenant", f"two={GUID}"
    )
    assert status == 0
    assert names(tmp_path / "one" / "edge.pem") == [f"{GUID}.private.edge.example"]
    assert len(names(tmp_path / "two" / "edge.pem")) == 4
    assert not (tmp_path / world.TENANTS[0].name).exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tenant", "one"], "tunneld: --tenant: 'one' is not NAME=GUID"),
        (["--tenant", f"../x={GUID}"], "is not NAME=GUID"),
        (["--tenant", f"one={GUID}:privat"], "'privat' is no channel (write entra, microsoft, private, internet)"),
    ],
)
def test_wrong_tenants_are_one_line_and_make_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    """Exit status 2, what is wrong and the mend, and no directory is left behind."""
    status, out, err = run(capsys, str(tmp_path / "certs"), *words)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "certs").exists()
