"""A configuration of one's own, without the lab: the lines that `tunneld init` prints, typed one after the other."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

from tests.support.running_lab import tunneld
from tunneld.lab.processes import Programs
from tunneld.lab.sign_in import sign_in


def free_ports(count: int) -> list[int]:
    """Return ports that are free now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Page(SimpleHTTPRequestHandler):
    """Somebody's own program."""

    def do_GET(self) -> None:
        """Answer with one line."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"my own application\n")

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


def test_the_printed_lines_lead_to_the_own_application(tmp_path: Path) -> None:
    """init, certs, three programs, a sign-in, and curl."""
    directory = tmp_path / "own"
    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        made = tunneld("init", str(directory), "--target", f"127.0.0.1:{server.server_port}")
        assert made.returncode == 0, made.stderr
        user, password = re.search(r"Sign in as (\S+) with the password (\S+)", made.stdout).groups()
        lines = [line.split()[1:] for line in made.stdout.splitlines() if line.startswith("  tunneld ")]
        certs, idp, edge, run, login, explain = lines
        proxy = own_ports(directory)
        assert tunneld(*certs).returncode == 0
        with Programs(tmp_path / "logs") as programs:
            for name, arguments in (("idp", idp), ("edge", edge), ("run", run)):
                programs.start(name, *arguments).wait_ready()
            signed_in(login, user, password, directory / "certs" / "bundle.pem")
            got = subprocess.run(
                ["curl", "-sS", "--max-time", "20", "-x", f"http://127.0.0.1:{proxy}", "http://app.example.internal/"],
                capture_output=True, text=True, timeout=40, check=False,
            )
            assert got.stdout == "my own application\n", got.stderr
            assert "tunnel" in tunneld(*explain).stdout
    finally:
        server.shutdown()
        server.server_close()


def own_ports(directory: Path) -> int:
    """Give every listener a free port, in every file that names it; return the proxy's."""
    ports = dict(zip(("8443", "8444", "1080"), free_ports(3), strict=True))
    for path in directory.glob("*.toml"):
        text = re.sub(r"(?<=:)(8443|8444|1080)\b", lambda match: str(ports[match[0]]), path.read_text())
        path.write_text(text)
    return ports["1080"]


def signed_in(login: list[str], user: str, password: str, ca: Path) -> None:
    """Run `tunneld login` and be the person in front of the page that it names."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tunneld", *login], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    assert process.stderr is not None
    url = re.search(r"open (https://\S+)", process.stderr.readline())[1]
    sign_in(url, username=user, password=password, ca=ca)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert f"signed in as {user}" in out
