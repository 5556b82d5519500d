"""Starting, stopping and everything that can be wrong before that: one clear line each, nothing left running."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.running_lab import RunningLab, lab_up, tunneld, wait_until


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the only line of an error: no traceback, nothing on standard output."""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert done.stdout == ""
    return lines[0]


def test_help_is_fast() -> None:
    """Nobody waits for libraries that a help text does not need."""
    fastest = 9.9
    for _ in range(5):
        begin = time.perf_counter()
        assert tunneld("--help").returncode == 0
        fastest = min(fastest, time.perf_counter() - begin)
    assert fastest < 1.0  # 0.17 s on an idle machine; the limit catches a forgotten import on a busy one


def test_no_command_imports_what_only_another_needs() -> None:
    """The overview is made without pydantic, httpx and cryptography."""
    probe = (
        "import sys\nfrom tunneld.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'pydantic', 'httpx', 'cryptography', 'uvicorn', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("program", ["run", "edge", "idp"])
def test_a_missing_or_broken_settings_file_is_one_line_and_status_2(program: str, tmp_path: Path) -> None:
    """The line names the file."""
    for name, content in (("missing.toml", None), ("broken.toml", "= nonsense"), ("empty.toml", "")):
        path = tmp_path / name
        if content is not None:
            path.write_text(content)
        done = tunneld(program, "--config", str(path))
        assert done.returncode == 2, done.stderr
        assert name in one_line(done)


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    """A typo is an error, not a silent default."""
    path = tmp_path / "daemon.toml"
    path.write_text('[daemon]\nhome_tenant = "contoso"\nproxi = "127.0.0.1:1"\n[idp]\nurl = "https://127.0.0.1:1"\n')
    done = tunneld("run", "--config", str(path))
    assert done.returncode == 2
    assert "daemon.proxi" in one_line(done)


def test_commands_without_a_daemon_say_so(tmp_path: Path) -> None:
    """No traceback, status 1, and the socket that was tried."""
    for command in (["status"], ["tenants"], ["flows"], ["switch", "fabrikam"], ["logout"]):
        done = tunneld(*command, state=tmp_path)
        assert done.returncode == 1, done.stderr
        assert str(tmp_path) in one_line(done)


def test_a_port_in_use_is_one_line(shared_lab: RunningLab, tmp_path: Path) -> None:
    """The second daemon on the same proxy port leaves the first alone."""
    config = Path(shared_lab.line["state"], "lab", "daemon.toml").read_text()
    path = tmp_path / "daemon.toml"
    path.write_text(config.replace(shared_lab.line["state"] + '"', f'{tmp_path}/s"', 1))
    done = tunneld("run", "--config", str(path))
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    assert shared_lab.proxy.rpartition(":")[2] in lines[0]
    assert "in use" in lines[0]
    assert shared_lab.ask("status")["tenant"]


def test_a_second_lab_in_the_same_directory_is_refused(shared_lab: RunningLab) -> None:
    """One line, status 2, and the first goes on."""
    done = tunneld("lab", "up", "--state", shared_lab.line["state"])
    assert done.returncode == 2
    assert "another lab" in one_line(done)
    assert shared_lab.process.poll() is None


def test_a_state_directory_that_is_too_long_or_a_file_is_refused(tmp_path: Path) -> None:
    """A Unix socket's path has a limit of its own."""
    done = tunneld("lab", "up", "--state", str(tmp_path / ("long" * 40)))
    assert done.returncode == 2
    assert "shorter" in one_line(done)
    (tmp_path / "file").write_text("")
    done = tunneld("lab", "up", "--state", str(tmp_path / "file"))
    assert done.returncode == 2
    assert "cannot be made" in one_line(done)


@pytest.mark.parametrize("moment", ["at once", "while starting"])
def test_an_interrupted_start_leaves_nothing(tmp_path: Path, moment: str) -> None:
    """Ctrl-C before the lab is ready stops what was started, without a traceback."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tunneld", "lab", "up", "--state", str(tmp_path / "s")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    logs = tmp_path / "s" / "lab" / "logs"
    wait_until(lambda: (logs / "applications.log").exists() or moment == "at once")
    if moment == "at once":
        time.sleep(0.3)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert out == ""
    assert "Traceback" not in err
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_a_killed_lab_takes_its_programs_with_it(tmp_path: Path) -> None:
    """SIGKILL gives the lab no chance to stop them; the kernel does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tunneld", "lab", "up", "--state", str(tmp_path / "s")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: len(psutil.Process(process.pid).children()) >= 5, timeout=30)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait(10)
    gone, alive = psutil.wait_procs(children, timeout=15)
    assert not alive
    assert len(gone) >= 5


def test_a_second_start_is_the_same_world(tmp_path: Path) -> None:
    """The daemon crashed: its stale socket is no obstacle, the sign-in and the selected tenant are still there."""
    state = tmp_path / "s"
    with lab_up(state) as lab:
        first = lab.line
        lab.switch("fabrikam")
        daemon = first["pids"]["daemon"]
        os.kill(daemon, signal.SIGKILL)
        wait_until(lambda: "daemon ended" in lab.log.read_text())
        assert Path(first["control"]).is_socket()
        restarted = subprocess.Popen(
            [sys.executable, "-m", "tunneld", "run", "--config", str(state / "lab" / "daemon.toml")],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        assert restarted.stdout is not None
        with restarted.stdout:
            assert '"ready": true' in restarted.stdout.readline().replace(":true", ": true")
            wait_until(lambda: lab.ask("status")["tenant"] == "fabrikam", timeout=20)
            wait_until(lambda: lab.curl("-f", "http://portal.corp.internal/").returncode == 0, timeout=20)
            restarted.terminate()
            restarted.wait(15)
    with lab_up(state) as lab:
        assert lab.line["proxy"] == first["proxy"]
        assert lab.line["users"] == first["users"]
        assert lab.ask("status")["tenant"] == "contoso"


def test_while_the_edge_is_down_rules_decide(tmp_path: Path) -> None:
    """`block` refuses, `bypass` goes direct, and both recover by themselves when the edge is back."""
    with lab_up(tmp_path / "s") as lab:
        os.kill(lab.line["pids"]["edges"]["contoso"], signal.SIGKILL)
        wait_until(lambda: lab.ask("status")["channels"]["private"]["state"] != "connected")
        refused = lab.curl("-o", "/dev/null", "-D", "-", "http://portal.contoso.internal/")
        assert "hardening_block" in refused.stdout or "edge_unreachable" in refused.stdout
        bypassed = lab.curl("-f", "http://www.news.example/")
        assert bypassed.returncode == 0, bypassed.stderr
        record = next(flow for flow in lab.flows() if flow["destination"] == "www.news.example")
        assert (record["action"], record["reason"]) in {("direct", "hardening_bypass"), ("direct", "completed")}
        again = subprocess.Popen(
            [sys.executable, "-m", "tunneld", "edge", "--config", str(tmp_path / "s" / "lab" / "edge-contoso.toml")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: lab.curl("-f", "http://portal.contoso.internal/").returncode == 0, timeout=40)
        finally:
            again.terminate()
            again.wait(15)


def test_ports_of_a_lab_are_below_the_ephemeral_range(shared_lab: RunningLab) -> None:
    """No outgoing connection can take one between two starts."""
    port = int(shared_lab.proxy.rpartition(":")[2])
    assert port < 32768
    with socket.socket() as probe, pytest.raises(OSError, match="in use"):
        probe.bind(("127.0.0.1", port))
