"""`tunneld run` as a process: its ready line, its end, and what it says when it cannot start."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SETTINGS = """
[daemon]
home_tenant = "contoso"
state = "state"
proxy = "{proxy}"
[idp]
url = "https://127.0.0.1:1"
"""


def command(config: Path) -> list[str]:
    return [sys.executable, "-c", "from tunneld.cli.main import main; main()", "run", "--config", str(config)]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "daemon.toml"
    path.write_text(SETTINGS.format(proxy="127.0.0.1:0"))
    return path


@contextmanager
def started(config: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    with subprocess.Popen(command(config), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def refused(config: Path) -> str:
    done = subprocess.run(command(config), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_that_it_is_ready_and_ends_in_order(config: Path, number: signal.Signals) -> None:
    with started(config) as (process, line):
        assert line == {
            "ready": True, "proxy": line["proxy"], "control": str(config.parent / "state" / "control.sock"),
            "pid": process.pid,
        }
        host, port = line["proxy"].split(":")
        socket.create_connection((host, int(port)), timeout=5).close()
        os.kill(process.pid, number)
        assert process.wait(10) == 0
    assert not Path(line["control"]).exists()


def test_a_second_daemon_is_refused_and_the_first_goes_on(config: Path) -> None:
    with started(config) as (process, _):
        assert "another daemon is using this state directory" in refused(config)
        assert process.poll() is None


def test_after_a_kill_the_next_daemon_takes_the_stale_socket_over(config: Path) -> None:
    with started(config) as (process, line):
        process.kill()
        process.wait()
        assert Path(line["control"]).exists()
    with started(config) as (process, line):
        assert line["ready"]


def test_a_port_in_use_names_the_setting_and_leaves_nothing_behind(config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config.write_text(SETTINGS.format(proxy=f"127.0.0.1:{taken.getsockname()[1]}"))
        error = refused(config)
    assert f"{config}: daemon.proxy: cannot listen on 127.0.0.1:" in error
    assert not (config.parent / "state" / "control.sock").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[daemon]\n", "daemon.home_tenant: is missing"),
        (SETTINGS.format(proxy="1080"), "daemon.proxy: not host:port"),
        (SETTINGS.format(proxy="127.0.0.1:0") + 'ca = "none.pem"\n', "none.pem"),
    ],
)
def test_a_bad_settings_file_is_one_line(config: Path, text: str, expected: str) -> None:
    config.write_text(text)
    assert expected in refused(config)
