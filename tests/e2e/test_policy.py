"""Policy from the command line against a running lab: files out, a plan, a block that is seen before it is made."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.running_lab import RunningLab
from tunneld.lab import world
from tunneld.lab.identity_story import BLOCKED

PARTNER = "crossTenantAccessPartner"


@pytest.fixture
def exported(lab: RunningLab, tmp_path: Path) -> Iterator[Path]:
    """Fabrikam's policy in files; the lab gets it back afterwards."""
    policy(lab, "export", str(tmp_path / "before"))
    policy(lab, "export", str(tmp_path / "p"))
    yield tmp_path / "p"
    policy(lab, "apply", str(tmp_path / "before"), "--prune")


def policy(lab: RunningLab, command: str, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command as fabrikam's administrator."""
    done = lab.tunneld("policy", command, *arguments, "--tenant", "fabrikam")
    assert done.returncode == status, done.stdout + done.stderr
    return done


def write(folder: Path, body: dict[str, Any]) -> Path:
    path = folder / "fabrikam" / PARTNER / "contoso.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(body))
    return path


def test_an_export_plans_nothing(lab: RunningLab, exported: Path) -> None:
    """Also with --prune."""
    assert "nothing to do" in policy(lab, "plan", str(exported)).stdout
    assert "nothing to do" in policy(lab, "plan", str(exported), "--prune").stdout


def test_a_block_is_seen_before_it_is_made_and_met_afterwards(lab: RunningLab, exported: Path) -> None:
    """Plan, what-if, replay, apply, drift of a plan that was kept, and the decision from then on."""
    lab.switch("fabrikam")
    lab.switch("contoso")
    write(exported, {"tenantId": world.CONTOSO.id, "b2bCollaborationInbound": BLOCKED})
    kept = exported.parent / "plan.json"
    planned = policy(lab, "plan", str(exported), "--out", str(kept), status=3).stdout
    assert "1 to create, 0 to change, 0 to delete" in planned
    question = ("--user", world.LAB_USER, "--application", "private", "--with", str(exported), "--json")
    answer = json.loads(policy(lab, "whatif", *question).stdout)
    assert (answer["decision"], answer["withCandidate"]["errorCode"]) == ("grant", 500213)
    replayed = policy(lab, "whatif", "--replay", str(exported), status=3).stdout
    assert world.LAB_USER in replayed
    assert "loses" in replayed
    assert "applied 1" in policy(lab, "apply", str(kept)).stdout
    assert "nothing to do" in policy(lab, "apply", str(exported)).stdout
    assert "policyDrift" in policy(lab, "apply", str(kept), status=2).stderr
    now = json.loads(policy(lab, "whatif", *question[:4], "--json").stdout)
    assert (now["decision"], now["errorCode"]) == ("deny", 500213)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{", "line 1"), ("[]", "not a JSON object"), ('{"tenantId": 3}', "tenantId"),
        ('{"tenantId": "x", "tenantId": "y"}', "written twice"),
        (json.dumps({"tenantId": world.CONTOSO.id, "surplus": 1}), "surplus"),
        (json.dumps({"tenantId": world.CONTOSO.id, "b2bCollaborationInbound": {
            **BLOCKED, "applications": {**BLOCKED["applications"], "accessType": "allowed"},
        }}), "conflictingAccess"),
    ],
)
def test_a_bad_file_is_one_line_with_its_name(lab: RunningLab, exported: Path, body: str, words: str) -> None:
    """Exit status 2, file and place; nothing is applied."""
    path = write(exported, {})
    path.write_text(body)
    done = policy(lab, "apply", str(exported), status=2)
    assert done.stderr.count("\n") == 1
    assert str(path) in done.stderr
    assert words in done.stderr


def test_reports(lab: RunningLab) -> None:
    """Lint and ghosts answer for a tenant whose policy is as it was written."""
    assert json.loads(policy(lab, "lint", "--json").stdout) == {"fabrikam": []}
    found = json.loads(policy(lab, "ghosts", "--days", "30", "--json").stdout)["fabrikam"]
    assert found["days"] == 30
    assert "correlation" in policy(lab, "explain", "x", status=2).stderr
