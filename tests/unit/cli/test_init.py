"""`tunneld init`: what it writes is complete, commented, and accepted by the programs that read it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from tunneld.cli.main import build
from tunneld.client.settings import Settings as DaemonSettings
from tunneld.client.settings import load_settings as load_daemon
from tunneld.edge.settings import Settings as EdgeSettings
from tunneld.edge.settings import load_settings as load_edge
from tunneld.forwarding.compile import compile_profile
from tunneld.forwarding.document import ProfileDocument, load_profile
from tunneld.idp.settings import IdpSettings
from tunneld.idp.settings import load_settings as load_idp
from tunneld.model.errors import DocumentError
from tunneld.model.verdict import Protocol
from tunneld.policy.directory_document import DirectoryDocument, read_directory
from tunneld.policy.passwords import check_password

NAMES = ["daemon.toml", "directory.toml", "edge.toml", "idp.toml", "profile.toml"]


def run(*arguments: str) -> Any:
    return CliRunner().invoke(build("init"), ["init", *arguments])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    directory = tmp_path_factory.mktemp("init") / "acme"
    result = run(str(directory), "--tenant", "acme", "--application", "Wiki.Acme.Internal:8080")
    assert result.exit_code == 0, result.output
    return directory, result.output


def test_every_program_accepts_its_file(written: tuple[Path, str]) -> None:
    directory, _ = written
    daemon = load_daemon(directory / "daemon.toml")
    edge = load_edge(directory / "edge.toml")
    idp = load_idp(directory / "idp.toml")
    profile = load_profile((directory / "profile.toml").read_text(), where="profile.toml")
    tenants = read_directory((directory / "directory.toml").read_text(), where="directory.toml").tenants
    assert daemon.idp.url == f"https://{idp.listen}"
    assert (edge.tenant[0].id, profile.tenant) == (tenants[0].id, daemon.daemon.home_tenant)
    assert profile.assignments.users == (tenants[0].users[0].oid,)  # an edge would not know the user by name
    assert compile_profile(profile).classify("wiki.acme.internal", 8080, Protocol.TCP).rule_id


def test_the_printed_password_is_the_users_and_is_not_in_the_files(written: tuple[Path, str]) -> None:
    directory, output = written
    found = re.search(r"with the password (\S+)", output)
    assert found is not None
    user = read_directory((directory / "directory.toml").read_text(), where="directory.toml").tenants[0].users[0]
    assert check_password(found[1], user.password_hash or "")
    assert all(found[1] not in (directory / name).read_text() for name in NAMES)


def test_files_are_private_and_the_next_steps_name_them(written: tuple[Path, str]) -> None:
    directory, output = written
    assert sorted(p.name for p in directory.iterdir() if p.is_file()) == NAMES
    assert {(directory / name).stat().st_mode & 0o777 for name in NAMES} == {0o600}
    assert all(f"{directory / name}" in output for name in ("idp.toml", "edge.toml", "daemon.toml"))


def _keys(model: type[BaseModel]) -> set[str]:
    found: set[str] = set()
    for name, field in model.model_fields.items():
        found.add(field.alias or name)
        pending = [field.annotation]
        while pending:
            part = pending.pop()
            if isinstance(part, type) and issubclass(part, BaseModel):
                found |= _keys(part)
            pending += getattr(part, "__args__", ())
    return found


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("daemon.toml", DaemonSettings), ("edge.toml", EdgeSettings), ("idp.toml", IdpSettings),
        ("directory.toml", DirectoryDocument), ("profile.toml", ProfileDocument),
    ],
)
def test_every_key_stands_in_the_file_set_or_commented(
    written: tuple[Path, str], name: str, model: type[BaseModel]
) -> None:
    text = (written[0] / name).read_text()
    present = set(re.findall(r"(?:^|[\s{,\[.])#?\s*([a-z_0-9]+)(?=\s*=|\]|\.)", text, re.MULTILINE))
    assert _keys(model) - present == set()


def test_a_commented_default_is_the_default(written: tuple[Path, str]) -> None:
    """A comment that shows another value than the program uses would be worse than none."""
    limits, refresh = DaemonSettings.model_fields["limits"].default, DaemonSettings.model_fields["refresh"].default
    text = (written[0] / "daemon.toml").read_text()
    for name, value in {**limits.model_dump(), **refresh.model_dump()}.items():
        shown = re.search(rf"^# {name} = (.*)$", text, re.MULTILINE)
        assert shown is not None, name
        assert tomllib.loads(f"v = {shown[1]}")["v"] == value


def test_nothing_that_exists_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "edge.toml").write_text("mine")
    result = run(str(tmp_path))
    assert isinstance(result.exception, DocumentError)
    assert "is there already" in str(result.exception)
    assert [p.name for p in tmp_path.iterdir()] == ["edge.toml"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--tenant", "Not A Name"), ("--application", "nowhere"), ("--target", "a.example:80"),
        ("--target", "127.0.0.1"), ("--user", 'a"b@x'), ("--user", "nobody"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path: Path, arguments: tuple[str, str]) -> None:
    result = run(str(tmp_path / "d"), *arguments)
    assert isinstance(result.exception, DocumentError)
    assert str(result.exception).startswith(arguments[0])
    assert "\n" not in str(result.exception)
    assert not (tmp_path / "d").exists()
