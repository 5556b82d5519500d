"""The identity provider as a program on loopback, and a person with Debian's Chromium in front of it."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.integration.idp.world import DIRECTORY_SCOPE, PASSWORD, Verifier
from tunneld.idp.totp import code_at
from tunneld.policy.directory import DAEMON_CLIENT

START = "import sys; from pathlib import Path; from tunneld.idp.server import run; sys.exit(run(Path(sys.argv[1])))"
SETTINGS = """
listen = "127.0.0.1:{port}"
public_url = "https://localhost:{port}"
certificate = "certs/idp/idp.pem"
key = "certs/idp/idp.key"
directory = "directory.json"
state = "state/idp.sqlite"
"""
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--no-proxy-server", "--window-size=1000,900",
)


class _Client(BaseHTTPRequestHandler):
    """The program that sent the person: its redirect URI answers, and that is all."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.end_headers()
        self.wfile.write(b"back at the program")

    def do_POST(self) -> None:
        """Show what was posted, for the answers that come as a form."""
        posted = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.end_headers()
        self.wfile.write(b"posted: " + posted)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def client_program() -> Iterator[str]:
    """Run a redirect URI on loopback and give it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Client)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/callback"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Site:
    """The running provider."""

    root: Path
    base: str
    callback: str
    process: subprocess.Popen[str]
    pkce: Verifier = field(default_factory=Verifier)

    def http(self) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.root / "certs" / "idp" / "ca.pem"))
        return httpx.Client(base_url=self.base, verify=context, trust_env=False)

    def address(self, tenant: str, **changes: str) -> str:
        parameters = {
            "client_id": DAEMON_CLIENT, "response_type": "code", "redirect_uri": self.callback,
            "scope": DIRECTORY_SCOPE, "state": "st-1", "code_challenge": self.pkce.challenge,
            "code_challenge_method": "S256",
        } | changes
        return f"{self.base}/{tenant}/oauth2/v2.0/authorize?{urlencode(parameters)}"

    def redeem(self, tenant: str, code: str) -> dict[str, Any]:
        fields = {
            "client_id": DAEMON_CLIENT, "grant_type": "authorization_code", "code": code, "redirect_uri": self.callback,
            "code_verifier": self.pkce.verifier,
        }
        with self.http() as http:
            body: dict[str, Any] = http.post(f"/{tenant}/oauth2/v2.0/token", data=fields).json()
        return body


@contextmanager
def running_site(prepared: Path, root: Path, document: dict[str, Any]) -> Iterator[Site]:
    """Start the program over a copy of `prepared`, with a host name in its URL: passkeys need one."""
    shutil.copytree(prepared, root, dirs_exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (root / "directory.json").write_text(json.dumps(document))
    (root / "idp.toml").write_text(SETTINGS.format(port=port))
    with client_program() as callback, (root / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", START, str(root / "idp.toml")], stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            assert process.stdout
            assert json.loads(process.stdout.readline())["ready"], (root / "log").read_text()
            yield Site(root, f"https://localhost:{port}", callback, process)
            assert "internal_error" not in (root / "log").read_text()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()  # type: ignore[union-attr]


@contextmanager
def chromium(site: Site, profile: Path) -> Iterator[webdriver.Chrome]:
    """Start a browser that trusts the provider's certificate, by the hash of its key, and nothing else beside."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    certificate = x509.load_pem_x509_certificate((site.root / "certs/idp/idp.pem").read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pin = base64.b64encode(hashlib.sha256(key).digest()).decode()
    for flag in (*FLAGS, f"--user-data-dir={profile}", f"--ignore-certificate-errors-spki-list={pin}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


@dataclass
class Person:
    """Somebody who reads pages and presses buttons."""

    driver: webdriver.Chrome
    site: Site
    shots: Path

    def open(self, tenant: str, **changes: str) -> None:
        self.driver.get(self.site.address(tenant, **changes))

    @property
    def text(self) -> str:
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    @property
    def heading(self) -> str:
        return str(self.driver.find_element(By.TAG_NAME, "h1").text)

    def type(self, field_id: str, text: str) -> None:
        element = self.driver.find_element(By.ID, field_id)
        element.clear()
        element.send_keys(text)

    def press(self, action: str) -> None:
        """Press a button and wait for the page after it."""
        button = self.driver.find_element(By.CSS_SELECTOR, f"button[value={action}]")
        before = self.driver.find_element(By.TAG_NAME, "html")
        button.click()
        WebDriverWait(self.driver, 15).until(lambda driver: driver.find_element(By.TAG_NAME, "html") != before)

    def sign_in(self, user: str = "alex@contoso.example", password: str = PASSWORD) -> None:
        self.type("username", user)
        self.type("password", password)
        self.press("sign_in")

    def arrived(self) -> dict[str, str]:
        """Return the parameters with which the person came back to the program."""
        WebDriverWait(self.driver, 15).until(lambda driver: driver.current_url.startswith(self.site.callback))
        return dict(parse_qsl(urlsplit(self.driver.current_url).query))

    def shoot(self, name: str) -> Path:
        path = self.shots / f"{name}.png"
        assert self.driver.save_screenshot(str(path))
        return path

    def complaints(self) -> list[str]:
        """Return what the browser's console says, such as violations of the content policy."""
        return [line["message"] for line in self.driver.get_log("browser") if "favicon" not in line["message"]]


def code_of(seed_text: str, step: int) -> str:
    """Return the code that an app would show which was given the key on the page."""
    return code_at(base64.b32decode(seed_text.replace(" ", "")), step)
