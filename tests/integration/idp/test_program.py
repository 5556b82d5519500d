"""The program itself: its ready line, real TLS, reload, an orderly end, and starts that cannot be."""

from __future__ import annotations

import json
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.idp.world import CONTOSO, DIRECTORY_SCOPE, PASSWORD, PageForm, Verifier, answer, directory
from tunneld.idp.settings import load_settings
from tunneld.journal.authorities import renew_directory
from tunneld.model.errors import DocumentError
from tunneld.policy.directory import DAEMON_CLIENT

SETTINGS = """
listen = "127.0.0.1:0"
certificate = "certs/idp/idp.pem"
key = "certs/idp/idp.key"
directory = "directory.json"
state = "state/idp.sqlite"
"""
START = "import sys; from pathlib import Path; from tunneld.idp.server import run; sys.exit(run(Path(sys.argv[1])))"


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    (tmp_path / "directory.json").write_text(json.dumps(directory()))
    (tmp_path / "idp.toml").write_text(SETTINGS)
    return tmp_path


@pytest.fixture
def program(root: Path) -> Iterator[subprocess.Popen[str]]:
    with (root / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", START, str(root / "idp.toml")], stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            assert process.stdout
            process.stdout.close()


def ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    line = json.loads(process.stdout.readline())
    assert (line["ready"], line["pid"]) == (True, process.pid)
    url: str = line["url"]
    return url


def client(root: Path, url: str) -> httpx.Client:
    context = ssl.create_default_context(cafile=str(root / "certs" / "idp" / "ca.pem"))
    return httpx.Client(base_url=url, verify=context, trust_env=False)


def sign_in(http: httpx.Client) -> str:
    pkce = Verifier()
    callback = "http://127.0.0.1:45123/callback"
    parameters = {
        "client_id": DAEMON_CLIENT, "response_type": "code", "redirect_uri": callback, "scope": DIRECTORY_SCOPE,
        "code_challenge": pkce.challenge, "code_challenge_method": "S256",
    }
    page = http.get("/contoso/oauth2/v2.0/authorize", params=parameters)
    form = PageForm(page.text)
    fields = form.fields | {"username": "alex@contoso.example", "password": PASSWORD, "action": "sign_in"}
    code = answer(http.post(form.action, data=fields))["code"]
    exchange = {
        "grant_type": "authorization_code", "client_id": DAEMON_CLIENT, "code": code, "redirect_uri": callback,
        "code_verifier": pkce.verifier,
    }
    token: str = http.post("/contoso/oauth2/v2.0/token", data=exchange).json()["refresh_token"]
    return token


def test_ready_reload_kill_and_restart(root: Path, program: subprocess.Popen[str]) -> None:
    """Over real TLS: sign in, see a reload, be killed without warning, and go on with the refresh token."""
    url = ready(program)
    with client(root, url) as http:
        refresh_token = sign_in(http)
        document = directory()
        document["tenants"][3]["display_name"] = "Renamed"
        (root / "directory.json").write_text(json.dumps(document))
        deadline = time.monotonic() + 15
        while "Renamed" not in http.get("/tailspin/oauth2/v2.0/deviceauth").text:
            assert time.monotonic() < deadline, "the directory was not reloaded"
            time.sleep(0.1)
    program.send_signal(signal.SIGKILL)
    program.wait()
    port = url.rpartition(":")[2]
    (root / "idp.toml").write_text(SETTINGS.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    again = subprocess.Popen(
        [sys.executable, "-c", START, str(root / "idp.toml")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        with client(root, ready(again)) as http:
            form = {"grant_type": "refresh_token", "client_id": DAEMON_CLIENT, "refresh_token": refresh_token}
            assert http.post(f"/{CONTOSO}/oauth2/v2.0/token", data=form).status_code == 200
        again.send_signal(signal.SIGTERM)
        assert again.wait(10) == 0
    finally:
        again.kill()
        again.wait()
        assert again.stdout
        again.stdout.close()


def served(url: str) -> bytes:
    """Return the certificate that a new connection gets."""
    host, _, port = url.removeprefix("https://").rpartition(":")
    return ssl.get_server_certificate((host, int(port))).encode()


def test_a_renewed_certificate_is_served_without_a_restart(root: Path, program: subprocess.Popen[str]) -> None:
    """A broken file changes nothing and is reported; a good pair reaches the next connection."""
    url = ready(program)
    folder = root / "certs" / "idp"
    before = served(url)
    (folder / "idp.pem").write_text("not a certificate")
    wait_until(lambda: "reload_refused" in (root / "log").read_text(), "the broken file was not reported")
    assert served(url) == before
    (folder / "idp.pem").unlink()  # missing files are made anew
    (folder / "idp.key").unlink()
    renew_directory(root / "certs", [])
    wait_until(lambda: served(url) != before, "the new certificate was not served")
    with client(root, url) as http:
        assert http.get("/contoso/v2.0/.well-known/openid-configuration").status_code == 200


def wait_until(condition: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"127.0.0.1:0"', '"127.0.0.1"', "listen"), ('"127.0.0.1:0"', '"127.0.0.1:99999"', "listen"),
        ('"127.0.0.1:0"', '"192.0.2.1:0"', "listen"), ('"127.0.0.1:0"', '":0"', "listen"),
        ("certs/idp/idp.pem", "certs/contoso/edge.pem", "edge.pem"), ("certs/idp/idp.key", "none.key", "idp.pem"),
        ("directory.json", "none.json", "none.json"), ("listen", "lisen", "lisen"), ("=", "", "line"),
    ],
)
def test_bad_settings_are_one_line_and_status_2(root: Path, old: str, new: str, said: str) -> None:
    """Every unusable setting is named in one line; nothing is started."""
    (root / "idp.toml").write_text(SETTINGS.replace(old, new))
    done = subprocess.run(
        [sys.executable, "-c", START, str(root / "idp.toml")], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


def test_settings_paths_are_relative_to_the_file(root: Path) -> None:
    """Wherever the program is started from, it finds its files."""
    settings = load_settings(root / "idp.toml")
    assert settings.directory == root / "directory.json"
    assert settings.address == ("127.0.0.1", 0)
    (root / "idp.toml").write_bytes(b"\xff")
    with pytest.raises(DocumentError, match="UTF-8"):
        load_settings(root / "idp.toml")
