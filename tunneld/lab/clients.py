"""Real clients for the demo: curl where there is one, else httpx, and a plain socket for flows that stay open."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

TIMEOUT_S = 15.0
MAX_ANSWER = 64 * 1024  # the head of a CONNECT answer; curl itself stops at 300 KiB


@dataclass(frozen=True)
class Answer:
    """What a client got: an HTTP answer, or why there was none."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: str = ""

    @property
    def canary(self) -> str | None:
        """Whose application answered."""
        return self.headers.get("x-canary")

    @property
    def json(self) -> dict[str, Any]:
        """The application's introduction of itself."""
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document

    def __str__(self) -> str:
        parts = [f"status {self.status}" if self.status else "no answer"]
        parts += [f"canary {self.canary}"] if self.canary else []
        parts += [f"proxy-status: {self.headers['proxy-status']}"] if "proxy-status" in self.headers else []
        return ", ".join([*parts, self.error] if self.error else parts)


class WebClient:
    """Fetches pages through the daemon's proxy."""

    def __init__(self, proxy: str, ca: Path) -> None:
        self._proxy = proxy
        self._ca = ca
        self._curl = shutil.which("curl")

    @property
    def name(self) -> str:
        """What it is, for the report."""
        return "curl" if self._curl else "httpx"

    def get(self, url: str, *, socks: bool = False) -> Answer:
        """Fetch `url` through the HTTP proxy, or through SOCKS5 where asked and curl is there."""
        if self._curl is None:
            return self._with_httpx(url)
        proxy = f"{'socks5h' if socks else 'http'}://{self._proxy}"
        with tempfile.TemporaryDirectory() as place:
            head, body = Path(place, "head"), Path(place, "body")
            command = [
                self._curl, "-sS", "--noproxy", "", "-x", proxy, "--cacert", str(self._ca),
                "--max-time", str(TIMEOUT_S), "-D", str(head), "-o", str(body), "-w", "%{json}", url,
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            said = json.loads(done.stdout or "{}")
            headers = _headers(head.read_text("latin-1")) if head.exists() else {}
            return Answer(
                status=said.get("http_code") or said.get("http_connect") or 0,
                headers=headers,
                body=body.read_bytes() if body.exists() else b"",
                error=done.stderr.strip(),
            )

    def _with_httpx(self, url: str) -> Answer:
        context = ssl.create_default_context(cafile=str(self._ca))
        try:
            with httpx.Client(
                proxy=f"http://{self._proxy}", verify=context, trust_env=False, timeout=TIMEOUT_S
            ) as client:
                response = client.get(url)
        except httpx.HTTPError as error:
            return Answer(0, error=f"httpx: {error}")
        return Answer(response.status_code, dict(response.headers), response.content)


class OpenFlow:
    """One TCP flow through the proxy that the caller keeps open (HTTP CONNECT, RFC 9110 §9.3.6)."""

    def __init__(self, proxy: str, host: str, port: int) -> None:
        address, _, proxy_port = proxy.rpartition(":")
        self._socket = socket.create_connection((address, int(proxy_port)), timeout=TIMEOUT_S)
        self._socket.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode("ascii"))
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self._socket.recv(1)  # a byte at a time: what follows the head belongs to the flow
            if not piece or len(head) > MAX_ANSWER:
                raise ConnectionError(f"the proxy closed: {head[:200]!r}")
            head += piece
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise ConnectionError(head.decode("latin-1").splitlines()[0])

    def __enter__(self) -> OpenFlow:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def exchange(self, message: bytes) -> bytes:
        """Send a message and return what comes back first."""
        self._socket.sendall(message)
        return self._socket.recv(len(message) + 256)

    def upload(self, content: bytes) -> bytes:
        """Send everything, half-close, and return all that the other side has to say."""
        self._socket.sendall(content)
        self._socket.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: self._socket.recv(65536), b""))

    def ending(self, timeout: float) -> str:
        """Wait for the end and name it: `reset`, `closed`, or `still open`."""
        self._socket.settimeout(timeout)
        try:
            while self._socket.recv(65536):
                pass
        except ConnectionResetError:
            return "reset"
        except TimeoutError:
            return "still open"
        return "closed"


def _headers(text: str) -> dict[str, str]:
    """Return the headers of the last answer in a dump; a proxy's own answer to CONNECT stands before it."""
    headers: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("HTTP/"):
            headers = {}
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return headers
