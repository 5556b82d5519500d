"""The identity provider as a program of its own on loopback, for clients that others wrote."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.integration.idp.world import Browser, directory, prepare

MSAL_CLIENT = "99999999-0000-4000-8000-00000000000a"


@dataclass
class RunningIdp:
    """A started provider: where it is, whom to trust, and its files."""

    url: str
    trust: Path
    root: Path

    def browser(self) -> Browser:
        context = ssl.create_default_context(cafile=str(self.trust))
        return Browser(httpx.AsyncClient(base_url=self.url, verify=context, timeout=20, trust_env=False))


def directory_document() -> dict[str, Any]:
    """Return the usual directory with one more client, as somebody registers a program of their own."""
    document = directory()
    document["clients"] = [{"id": MSAL_CLIENT, "name": "MSAL", "redirect_uris": ["http://127.0.0.1/callback"]}]
    return document


@contextmanager
def running_idp(root: Path, document: dict[str, Any], **settings: Any) -> Iterator[RunningIdp]:
    """Start the program over files in `root`, and end it in order."""
    prepare(root)
    (root / "directory.json").write_text(json.dumps(document))
    config = root / "idp.json"
    config.write_text(json.dumps({
        "listen": "127.0.0.1:0", "certificate": "certs/idp/idp.pem", "key": "certs/idp/idp.key",
        "directory": "directory.json", "state": "state/idp.sqlite", **settings,
    }))
    with (root / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tunneld", "idp", "--config", str(config)], stdout=subprocess.PIPE, stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (root / "log").read_text()
        yield RunningIdp(json.loads(line)["url"], root / "certs" / "idp" / "ca.pem", root)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, (root / "log").read_text()
        process.stdout.close()
