"""Programs that people really use reach a private application through the proxy, each in its own protocol."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from python_socks.sync import Proxy

from tests.support.running_lab import RunningLab, wait_until

SSHD = shutil.which("sshd") or shutil.which("/usr/sbin/sshd")


@pytest.mark.parametrize("scheme", ["http", "socks5h", "socks4a"])
def test_curl_reaches_a_private_page(lab: RunningLab, scheme: str) -> None:
    """Plain HTTP by name, over each proxy protocol."""
    done = lab.curl("http://portal.contoso.internal/", scheme=scheme)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["canary"] == lab.canary("contoso")


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_curl_speaks_tls_with_the_application(lab: RunningLab, scheme: str) -> None:
    """The application's own certificate is what curl verifies."""
    done = lab.curl("https://secure.contoso.internal/", scheme=scheme)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["application"] == "secure"


def test_several_requests_on_one_connection_are_each_answered(lab: RunningLab) -> None:
    """A kept-alive proxy connection serves different destinations."""
    done = lab.curl("http://portal.contoso.internal/1", "http://public.example/2", "http://portal.contoso.internal/3")
    canaries = [json.loads(line)["canary"] for line in done.stdout.splitlines()]
    assert canaries == [lab.canary("contoso"), lab.canary("public"), lab.canary("contoso")]


def test_a_large_download_arrives_whole(lab: RunningLab, tmp_path: Path) -> None:
    """64 MiB of a known pattern through the tunnel."""
    size = 64 * 1024 * 1024
    done = lab.curl("-o", str(tmp_path / "got"), f"http://portal.contoso.internal/bytes/{size}")
    assert done.returncode == 0, done.stderr
    expected = hashlib.sha256(bytes(range(256)) * (size // 256)).hexdigest()
    assert hashlib.sha256((tmp_path / "got").read_bytes()).hexdigest() == expected


def test_a_large_upload_arrives_whole(lab: RunningLab, tmp_path: Path) -> None:
    """The application's digest of what it got is the file's."""
    content = bytes(range(251)) * 40_000
    (tmp_path / "sent").write_bytes(content)
    done = lab.curl("--data-binary", f"@{tmp_path / 'sent'}", "http://portal.contoso.internal/")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["body_bytes"], answer["body_sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_a_half_close_reaches_the_application_and_its_answer_comes_back(lab: RunningLab) -> None:
    """The sink answers only after it saw the end of input."""
    with lab.connect("upload.contoso.internal", 9) as flow:
        flow.sendall(b"to be counted")
        flow.shutdown(1)
        receipt = json.loads(b"".join(iter(lambda: flow.recv(4096), b"")))
    assert receipt["bytes"] == 13
    assert receipt["sha256"] == hashlib.sha256(b"to be counted").hexdigest()


def test_python_socks_talks_to_the_echo(lab: RunningLab) -> None:
    """A SOCKS5 library with remote names."""
    proxy = Proxy.from_url(f"socks5://{lab.proxy}", rdns=True)
    with proxy.connect("echo.contoso.internal", 7, timeout=15) as flow:
        flow.sendall(b"whoami\n")
        assert flow.recv(200).decode().strip() == lab.canary("contoso")


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_httpx_reaches_a_private_page(lab: RunningLab, scheme: str) -> None:
    """A Python program with nothing but a proxy setting."""
    with httpx.Client(proxy=f"{scheme}://{lab.proxy}", trust_env=False, timeout=15) as client:
        answer = client.get("http://portal.contoso.internal/")
    assert answer.headers["x-canary"] == lab.canary("contoso")


def test_an_application_that_refuses_is_reported_as_such(lab: RunningLab) -> None:
    """The origin's own refusal is told apart from ours."""
    done = lab.curl("-o", "/dev/null", "-D", "-", "http://closed.contoso.internal:81/")
    assert "502" in done.stdout.splitlines()[0]
    assert "origin_refused" in done.stdout
    assert lab.flows("--limit", "1")[0]["reason"] == "origin_refused"


@pytest.mark.skipif(shutil.which("nc") is None, reason="netcat-openbsd is not installed")
@pytest.mark.parametrize("kind", ["5", "connect"])
def test_nc_as_a_proxy_client(lab: RunningLab, kind: str) -> None:
    """OpenBSD's nc, the usual ProxyCommand, over SOCKS5 and over CONNECT."""
    done = subprocess.run(
        ["nc", "-X", kind, "-x", lab.proxy, "-N", "echo.contoso.internal", "7"],
        input=b"whoami\n", capture_output=True, timeout=20, check=False,
    )
    assert done.stdout.decode().strip() == lab.canary("contoso"), done.stderr


@pytest.mark.skipif(shutil.which("nc") is None or SSHD is None, reason="netcat-openbsd or openssh-server is missing")
@pytest.mark.parametrize("kind", ["5", "connect"])
def test_ssh_through_a_proxy_command(lab: RunningLab, tmp_path: Path, kind: str) -> None:
    """A whole SSH session to a server of the user's own, behind the tunnel."""
    assert SSHD is not None
    port = json.loads(Path(lab.line["state"], "lab", "ports.json").read_text())["origin/contoso/yours"]
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    shutil.copy(tmp_path / "user.pub", tmp_path / "authorized")
    (tmp_path / "sshd.conf").write_text(
        f"HostKey {tmp_path / 'host'}\nAuthorizedKeysFile {tmp_path / 'authorized'}\nStrictModes no\n"
        f"ListenAddress 127.0.0.1:{port}\nPasswordAuthentication no\nPidFile none\n"
    )
    if Path("/run").stat().st_uid == 0 and not Path("/run/sshd").exists():
        try:
            Path("/run/sshd").mkdir(mode=0o755)
        except PermissionError:
            pytest.skip("sshd wants /run/sshd, which only root can make")
    with (tmp_path / "sshd.log").open("w") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", tmp_path / "sshd.conf"], stderr=log)
    try:
        wait_until(lambda: "listening" in (tmp_path / "sshd.log").read_text())
        done = subprocess.run(
            ["ssh", "-i", tmp_path / "user", "-p", "80", "-F", "none", "-o", "StrictHostKeyChecking=no",
             "-o", f"UserKnownHostsFile={tmp_path / 'known'}", "-o", "BatchMode=yes",
             "-o", f"ProxyCommand=nc -X {kind} -x {lab.proxy} %h %p",
             "yours.contoso.internal", "echo through the tunnel"],
            capture_output=True, text=True, timeout=40, check=False,
        )
        assert done.stdout.strip() == "through the tunnel", done.stderr + (tmp_path / "sshd.log").read_text()
    finally:
        server.terminate()
        server.wait(10)
    record = next(flow for flow in lab.flows() if flow["destination"] == "yours.contoso.internal")
    assert (record["action"], record["state"]) == ("tunnel", "closed")
