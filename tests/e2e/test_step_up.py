"""Multifactor authentication reaches the edge as an authentication context: demanded, refused with a mend, met."""

from __future__ import annotations

import base64
import html
import json
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import urljoin

import httpx
import pytest

from tests.integration.idp.world import PageForm
from tests.support.adapted_lab import AdaptedLab, adapted_lab, edit_json
from tests.support.running_lab import tunneld, wait_until
from tunneld.idp.totp import code_at
from tunneld.lab import world
from tunneld.lab.identity_story import Administrators

PORTAL = "http://portal.contoso.internal/"
CONTEXT = {"id": "c1", "displayName": "Strong", "description": "A second factor", "isAvailable": True}
MFA_FOR_C1 = {
    "displayName": "MFA for c1", "state": "enabled",
    "conditions": {
        "users": {"includeUsers": ["All"]},
        "applications": {"includeAuthenticationContextClassReferences": ["c1"]},
        "clientAppTypes": ["all"],
    },
    "grantControls": {"operator": "OR", "builtInControls": ["mfa"]},
}  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdaptedLab]:
    with adapted_lab(tmp_path_factory.mktemp("lab") / "s") as running:
        yield running


def curl(lab: AdaptedLab) -> subprocess.CompletedProcess[str]:
    """Ask for the portal's page through the proxy."""
    return subprocess.run(
        ["curl", "-sS", "-f", "--noproxy", "", "--max-time", "10", "-x", f"http://{lab.proxy}", PORTAL],
        capture_output=True, text=True, timeout=20, check=False,
    )


def answer_the_pages(lab: AdaptedLab, url: str) -> None:
    """Sign in, register an authenticator app when the page asks for one, and come back to the daemon."""
    context = ssl.create_default_context(cafile=str(lab.paths.bundle))
    with httpx.Client(verify=context, trust_env=False, timeout=20) as browser:
        page = browser.get(url)
        for _ in range(10):
            if page.is_redirect:
                page = browser.get(urljoin(str(page.url), page.headers["location"]))
                continue
            if page.url.scheme == "http":
                assert page.status_code == 200
                return
            form = PageForm(page.text)
            fields = form.fields | {"action": form.buttons[0]}
            if "sign_in" in form.buttons:
                fields |= {"action": "sign_in", "username": world.LAB_USER, "password": lab.lab.password}
            elif "register" in form.buttons:
                seed = re.search(r'<code id="seed">([A-Z2-7 ]+)</code>', html.unescape(page.text))
                assert seed
                key = base64.b32decode(seed[1].replace(" ", ""))
                fields |= {"action": "register", "code": code_at(key, int(time.time()) // 30)}
            page = browser.post(urljoin(str(page.url), form.action), data=fields)
    raise AssertionError(page.text)


def test_an_application_that_demands_a_second_factor(lab: AdaptedLab) -> None:
    """Works, is refused with what to do, and works again after the step-up; nothing is restarted in between."""
    application = world.CONTOSO.segment_id("workplace")
    admin = Administrators(lab.lab.configuration, lab.lab.administrators)
    with admin.http:
        admin.call("contoso", "POST", "/identity/conditionalAccess/authenticationContextClassReferences", CONTEXT)
        admin.call("contoso", "POST", "/identity/conditionalAccess/policies", MFA_FOR_C1)
    assert curl(lab).returncode == 0

    def demand(document: dict[str, object]) -> None:
        document["version"] = 2
        for each in document["applications"]:  # type: ignore[attr-defined]
            if each["id"] == application:
                each["authentication_context"] = "c1"

    edit_json(lab.profile("contoso"), demand)
    wait_until(lambda: curl(lab).returncode != 0 and lab.flows()[0]["reason"] == "interaction_required")
    flow = lab.flows()[0]
    assert flow["detail"].startswith("run: tunneld login --step-up "), flow
    state = str(lab.paths.root)
    told = tunneld("explain", "--flow", flow["flow_id"], state=state)
    assert "tunneld login --step-up" in told.stdout, told.stdout + told.stderr
    assert "step-up" in tunneld("status", state=state).stdout
    name = lab.status()["step_up"][0]["name"]
    with subprocess.Popen(
        [sys.executable, "-m", "tunneld", "login", "--step-up", name, "--json", "--state", state],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as command:  # fmt: skip
        assert command.stderr is not None
        opened = re.match(r"open (https://\S+)", command.stderr.readline())
        assert opened
        answer_the_pages(lab, opened[1])
        out, errors = command.communicate(timeout=20)
    assert command.returncode == 0, out + errors
    assert json.loads(out)["application"] == name
    assert curl(lab).returncode == 0
    assert lab.status()["step_up"] == []
    assert lab.tracebacks() == []
