"""A lab's directory: ports and secrets stay, a second lab is kept out, a bad directory is refused in one line."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tunneld.lab.ports import FIRST, LAST, _hold, reserve
from tunneld.lab.state import load_secrets, opened
from tunneld.model.errors import DocumentError


def chosen(names: list[str], path: Path) -> dict[str, int]:
    with ExitStack() as held:
        return reserve(names, path, held)


def test_ports_stay_the_same_unless_somebody_took_one(tmp_path: Path) -> None:
    """Only the taken one changes."""
    first = chosen(["a", "b"], tmp_path / "ports.json")
    assert all(FIRST <= port <= LAST for port in first.values())
    assert chosen(["a", "b"], tmp_path / "ports.json") == first
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", first["a"]))
        squatter.listen()
        second = chosen(["a", "b", "c"], tmp_path / "ports.json")
    assert second["a"] != first["a"]
    assert second["b"] == first["b"]
    assert len(set(second.values())) == 3


def test_a_reserved_port_is_ours_until_our_program_listens_on_it(tmp_path: Path) -> None:
    """No other lab can choose it, and a server joins as servers do."""
    with ExitStack() as held:
        port = reserve(["a"], tmp_path / "ports.json", held)["a"]
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))
        with ExitStack() as other:
            assert not _hold(port, other, again=False)
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", port))
            server.listen()
            held.close()
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                pass


def test_a_broken_port_file_is_named(tmp_path: Path) -> None:
    """With what to do about it."""
    (tmp_path / "ports.json").write_text("{")
    with pytest.raises(DocumentError, match=r"ports\.json.*remove the file"):
        chosen(["a"], tmp_path / "ports.json")


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """A password that was written down works tomorrow; a new user gets a new one."""
    path = tmp_path / "secrets.json"
    first = load_secrets(path, users=["a@x"], tenants=["t"])
    second = load_secrets(path, users=["a@x", "b@x"], tenants=["t"])
    assert second.passwords["a@x"] == first.passwords["a@x"]
    assert second.canaries == first.canaries
    assert second.passwords["b@x"] != second.passwords["a@x"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_second_lab_is_kept_out(tmp_path: Path) -> None:
    """As long as the first lives."""
    with opened(tmp_path / "s"), pytest.raises(DocumentError, match="another lab"), opened(tmp_path / "s"):
        pytest.fail("two labs in one directory")
    with opened(tmp_path / "s") as paths:
        assert paths.root.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_cannot_hold_a_socket_is_refused(tmp_path: Path) -> None:
    """Before anything is started."""
    with pytest.raises(DocumentError, match="Unix socket"), opened(tmp_path / ("x" * 120)):
        pytest.fail("no socket fits there")
