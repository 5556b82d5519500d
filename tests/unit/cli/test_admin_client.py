"""Where an administrator's token comes from, and what is said of one that is no use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunneld.cli.admin_client import CA, TOKEN_FILE, URL, AdminClient, Place, find_place
from tunneld.cli.policy_code import tenants_of
from tunneld.model.errors import DocumentError


@pytest.mark.parametrize("content", ["", "a\nb", "a\0b", "schlüssel"])
def test_a_file_that_holds_no_token_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    with pytest.raises(DocumentError, match=r"token: holds no token \(name a file"):
        AdminClient(Place("https://127.0.0.1:1", None, {"": tmp_path / "token"}), "")


def test_each_missing_file_is_named_as_itself(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    with pytest.raises(DocumentError, match=r"gone: No such file.*one bearer token"):
        AdminClient(Place("https://127.0.0.1:1", None, {"": tmp_path / "gone"}), "")
    with pytest.raises(DocumentError, match=rf"gone\.pem: No such file.*{CA}"):
        AdminClient(Place("https://127.0.0.1:1", tmp_path / "gone.pem", {"": tmp_path / "token"}), "")
    with pytest.raises(DocumentError, match=r"token: holds no certificate"):
        AdminClient(Place("https://127.0.0.1:1", tmp_path / "token", {"": tmp_path / "token"}), "")


def test_the_environment_is_held_against_what_it_can_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, "somewhere")
    monkeypatch.setenv(TOKEN_FILE, "token")
    with pytest.raises(DocumentError, match="'somewhere' is no address"):
        find_place(None)
    monkeypatch.setenv(URL, "https://127.0.0.1:1")
    with pytest.raises(DocumentError, match="leave it out"):
        find_place(None).named(["contoso"])


def test_without_a_tenant_the_folders_say_whose_files_they_are(tmp_path: Path) -> None:
    place = Place("https://127.0.0.1:1", None, {"contoso": tmp_path, "fabrikam": tmp_path})
    with pytest.raises(DocumentError, match="no tenant's folder"):
        tenants_of(place, tmp_path, None)
    (tmp_path / "fabrikam").mkdir()
    assert tenants_of(place, tmp_path, None) == ["fabrikam"]
    assert tenants_of(place, tmp_path, ["contoso"]) == ["contoso"]
    (tmp_path / "fabricam").mkdir()
    with pytest.raises(DocumentError, match="fabricam: is no tenant of the lab"):
        tenants_of(place, tmp_path, None)
