"""The vault: what is on the disk, where the key comes from, and what damage costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunneld.client.vault import Vault, open_vault

CONTENT = {"account": {"oid": "1"}, "tenants": {"t": {"refresh_token": "very-secret"}}}

FAKE_SECRET_TOOL = """#!/bin/sh
set -e
case "$1" in
  lookup) cat "{store}" ;;
  store) cat > "{store}" ;;
esac
"""


def test_what_was_written_is_read_and_is_not_readable_in_the_file(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {})
    assert vault.read() == {}
    vault.write(CONTENT)
    assert open_vault(tmp_path, {}).read() == CONTENT
    assert b"secret" not in (tmp_path / "identity.vault").read_bytes()
    assert {p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {0o600}
    assert vault.key_source == "file"


def test_each_write_is_sealed_differently(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {})
    vault.write(CONTENT)
    first = vault.path.read_bytes()
    vault.write(CONTENT)
    assert vault.path.read_bytes() != first


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 200])
def test_a_damaged_file_means_signing_in_again(tmp_path: Path, damage: bytes) -> None:
    vault = open_vault(tmp_path, {})
    vault.write(CONTENT)
    vault.path.write_bytes(damage)
    assert open_vault(tmp_path, {}).read() == {}


def test_a_file_of_another_key_or_a_damaged_key_means_signing_in_again(tmp_path: Path) -> None:
    open_vault(tmp_path, {}).write(CONTENT)
    assert Vault(tmp_path / "identity.vault", b"k" * 32, key_source="file").read() == {}
    (tmp_path / "identity.key").write_bytes(b"short")
    vault = open_vault(tmp_path, {})
    assert vault.read() == {}
    assert len((tmp_path / "identity.key").read_bytes()) == 32


def test_erasing_leaves_nothing(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {})
    vault.write(CONTENT)
    vault.erase()
    vault.erase()
    assert vault.read() == {}


def _environment(tmp_path: Path, script: str) -> dict[str, str]:
    program = tmp_path / "bin" / "secret-tool"
    program.parent.mkdir()
    program.write_text(script)
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:/usr/bin:/bin", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}


def test_where_there_is_a_keyring_the_key_is_in_it_and_no_key_file_is_made(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    environment = _environment(tmp_path, FAKE_SECRET_TOOL.format(store=tmp_path / "ring"))
    vault = open_vault(state, environment)
    vault.write(CONTENT)
    assert vault.key_source == "keyring"
    assert [p.name for p in state.iterdir()] == ["identity.vault"]
    assert open_vault(state, environment).read() == CONTENT


@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\necho nonsense\n", "#!/bin/sh\necho 00ff\n"])
def test_a_keyring_that_does_not_work_gives_way_to_the_key_file(tmp_path: Path, script: str) -> None:
    state = tmp_path / "state"
    state.mkdir()
    assert open_vault(state, _environment(tmp_path, script)).key_source == "file"
