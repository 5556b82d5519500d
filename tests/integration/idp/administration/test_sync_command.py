"""`tunneld policy sync` against a running identity provider: rehearsal, cycle, progress bar, JSON, refusal."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.idp.test_program import SETTINGS, START, client, ready, sign_in
from tests.integration.idp.world import BOB, CONTOSO, FABRIKAM, TAILSPIN, directory
from tunneld.policy.directory import DAEMON_CLIENT

CONSENT = {"inboundAllowed": True, "outboundAllowed": True}


def agreed() -> dict[str, Any]:
    """Return the directory in which contoso pushes Bob to fabrikam, and Alex administers contoso."""
    document = directory()
    contoso, fabrikam = document["tenants"][:2]
    contoso["users"][0]["roles"] = ["Global Administrator"]
    contoso["objects"] = {
        "crossTenantAccessPartner": [{"tenantId": FABRIKAM, "automaticUserConsentSettings": CONSENT}],
        "synchronizationJob": [{"id": FABRIKAM, "scope": {"users": [BOB]}}],
    }
    fabrikam["objects"] = {
        "crossTenantAccessPartner": [{"tenantId": CONTOSO, "automaticUserConsentSettings": CONSENT}],
        "identitySynchronization": [{"tenantId": CONTOSO, "userSyncInbound": {"isSyncAllowed": True}}],
    }
    return document


@pytest.fixture
def environment(prepared: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Run the program, sign Alex in, and give the environment in which he administers contoso."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    (tmp_path / "directory.json").write_text(json.dumps(agreed()))
    (tmp_path / "idp.toml").write_text(SETTINGS)
    with (tmp_path / "log").open("w") as log, subprocess.Popen(
        [sys.executable, "-c", START, str(tmp_path / "idp.toml")], stdout=subprocess.PIPE, stderr=log, text=True
    ) as program:
        try:
            url = ready(program)
            with client(tmp_path, url) as http:
                form = {"grant_type": "refresh_token", "client_id": DAEMON_CLIENT, "refresh_token": sign_in(http)}
                token = http.post("/contoso/oauth2/v2.0/token", data=form).json()["access_token"]
            (tmp_path / "token").write_text(token)
            yield {
                **os.environ, "TUNNELD_IDP": url, "TUNNELD_IDP_CA": str(tmp_path / "certs" / "idp" / "ca.pem"),
                "TUNNELD_ADMIN_TOKEN_FILE": str(tmp_path / "token"), "TERM": "xterm",
            }
        finally:
            program.kill()


def sync(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tunneld", "policy", "sync", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def on_a_terminal(environment: dict[str, str], *words: str) -> str:
    """Run the command on a terminal of its own and return what a person sees."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tunneld", "policy", "sync", *words]
    with subprocess.Popen(command, env=environment, stdout=theirs, stderr=theirs) as program:
        os.close(theirs)
        seen = b""
        try:
            while part := os.read(ours, 4096):
                seen += part
        except OSError:  # Linux: EIO once the other end is closed
            pass
        assert program.wait(60) == 0, seen.decode()
    os.close(ours)
    return seen.decode()


def test_rehearse_run_and_run_again(environment: dict[str, str]) -> None:
    """A rehearsal creates nobody, the cycle does, the next has nothing to do; a bar for people, JSON for programs."""
    rehearsed = sync(environment, FABRIKAM, "--dry-run")
    assert rehearsed.returncode == 0, rehearsed.stderr
    assert "create" in rehearsed.stdout
    assert "bob@contoso.example" in rehearsed.stdout
    first = sync(environment, FABRIKAM, "--json")
    assert (first.returncode, first.stderr) == (0, "")  # nothing but the document: no bar
    report = json.loads(first.stdout)
    assert (report["status"], report["dryRun"], report["counts"]["create"]) == ("succeeded", False, 1)
    assert (report["done"], report["total"]) == (1, 1)
    seen = on_a_terminal(environment, FABRIKAM)
    assert "synchronizing" in seen
    assert "nothing to do" in seen
    refused = sync(environment, TAILSPIN)
    assert refused.returncode == 2
    assert "no synchronization job to it" in refused.stderr
    assert "Traceback" not in refused.stderr
