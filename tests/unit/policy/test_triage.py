"""The triage: a fixed order of questions, answered from one tenant's records alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.integration.idp.world import ALEX, CONTOSO, FABRIKAM
from tests.unit.policy.test_sign_in_record import split
from tunneld.cli import logs, policy_explain
from tunneld.cli.main import build
from tunneld.model.errors import DocumentError
from tunneld.policy.trace import TraceStep
from tunneld.policy.triage import explain

CHANGE = {
    "id": "a1", "activityDateTime": "2026-03-01T09:29:00Z", "activityDisplayName": "Update a partner",
    "result": "success", "initiatedBy": {"user": {"userPrincipalName": "bob@contoso.example"}, "app": None},
    "resultReason": "", "targetResources": [{"id": "t1", "displayName": "Contoso"}], "correlationId": "x",
}
LATER = {**CHANGE, "id": "a2", "activityDateTime": "2026-03-01T09:31:00Z", "activityDisplayName": "Too late"}
INBOUND = TraceStep("S5", "resource inbound", "fabrikam", "block", "users here", "b2bCollaborationInbound", "partner")


def lines(tenant: str, record: dict[str, Any], **more: Any) -> dict[str, str]:
    return {line.looked_at: line.shows for line in explain(tenant, [record], [CHANGE, LATER], **more)}


def test_each_side_says_whose_setting_it_was() -> None:
    found = split(500213, last=INBOUND)
    here, there = lines(FABRIKAM, found[FABRIKAM]), lines(CONTOSO, found[CONTOSO])
    assert here["whose setting decided"].startswith("this tenant's")
    assert here["S5 resource inbound of fabrikam"] == "block: users here, b2bCollaborationInbound (partner)"
    assert there["whose setting decided"] == f"the resource tenant's, {FABRIKAM}: its own record has the setting"
    assert "S5 resource inbound of fabrikam" not in there
    assert there["appliedConditionalAccessPolicies"].startswith("not shown here")
    assert here["audit log"] == "2026-03-01T09:29:00Z Update a partner by bob@contoso.example: success"
    assert lines(FABRIKAM, found[FABRIKAM], workloads=["Sites"])["workloads"].startswith("Sites: ")


def test_the_order_of_questions_is_fixed() -> None:
    asked = [line.looked_at for line in explain(FABRIKAM, [split()[FABRIKAM]], [])]
    assert asked == [
        "status.errorCode", "crossTenantAccessType", "homeTenantId, resourceTenantId, resourceId",
        "whose setting decided", "S5 resource inbound of fabrikam", "S9 policies of fabrikam",
        "appliedConditionalAccessPolicies", "deviceDetail", "authenticationDetails", "audit log", "workloads",
    ]
    assert explain(FABRIKAM, [], [])[0].shows.startswith("none with this correlation id")


class Fake:
    """An admin API of one tenant: what was asked, and what it answers."""

    asked: list[tuple[str, str]] = []

    def __init__(self, place: object, tenant: str) -> None:
        self.name = tenant

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def every(self, path: str, **query: str) -> list[dict[str, Any]]:
        self.asked.append((path, query.get("$filter", "")))
        return [split(500213, last=INBOUND)[FABRIKAM]] if path.endswith("signIns") else [CHANGE]

    def get(self, path: str, **query: str) -> dict[str, Any]:
        if path.startswith("/auditLogs"):
            self.asked.append((path, query["$filter"]))
        workload = {"id": "w", "displayName": "Sites", "respectsDirectorySettings": False}
        return {"value": [workload] if path.endswith("workloads") else [CHANGE]}


class Place:
    def named(self, wanted: list[str] | None) -> list[str]:
        return wanted or ["fabrikam"]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> type[Fake]:
    Fake.asked = []
    for module in (logs, policy_explain):
        monkeypatch.setattr(module, "AdminClient", Fake)
        monkeypatch.setattr(module, "find_place", lambda state: Place())
    return Fake


def run(*words: str) -> str:
    done = CliRunner().invoke(build(words[0]), list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_commands_ask_for_what_was_wanted(api: type[Fake]) -> None:
    spelled = "0123456789abcdef0123456789abcdef"
    output = run("logs", "signins", "--user", "O'Neil@x.example", "--result", "failure",
                 "--since", "2026-03-01T10:00:00+01:00", "--correlation", spelled)
    assert "500213" in output
    run("logs", "signins", "--user", ALEX, "--json")
    run("logs", "audit", "--user", "bob@contoso.example", "--result", "success")
    guid = "01234567-89ab-cdef-0123-456789abcdef"
    assert api.asked == [
        ("/auditLogs/signIns", f"createdDateTime ge 2026-03-01T09:00:00Z and correlationId eq '{guid}' and "
         "userPrincipalName eq 'o''neil@x.example' and status/errorCode ne 0"),
        ("/auditLogs/signIns", f"userId eq '{ALEX}'"),
        ("/auditLogs/directoryAudits",
         "initiatedBy/user/userPrincipalName eq 'bob@contoso.example' and result eq 'success'"),
    ]


def test_export_is_in_the_order_of_time(api: type[Fake]) -> None:
    exported = [json.loads(line) for line in run("logs", "export").splitlines()]
    assert [(line["log"], line["tenant"]) for line in exported] == [("audit", "fabrikam"), ("signIn", "fabrikam")]


def test_explain_prints_every_line(api: type[Fake]) -> None:
    output = run("policy", "explain", "0" * 32)
    assert "500213" in output
    assert "Sites" in output
    answers = json.loads(run("policy", "explain", "0" * 32, "--json"))
    assert answers[0].keys() == {"tenant", "lookedAt", "shows"}


def test_explain_asks_for_the_changes_before_the_sign_in_however_many_came_later(api: type[Fake]) -> None:
    run("policy", "explain", "0" * 32)
    then = split(500213, last=INBOUND)[FABRIKAM]["createdDateTime"]
    (asked,) = [words for path, words in api.asked if path == "/auditLogs/directoryAudits"]
    assert asked.startswith("activityDateTime ge 2026-02-28T09:30:00Z and")
    assert f"activityDateTime le {then} and" in asked


def test_explain_of_a_sign_in_that_nobody_has_is_one_line(api: type[Fake], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "every", lambda *_, **__: [])
    with pytest.raises(DocumentError, match="no sign-in has this correlation id"):
        run("policy", "explain", "0" * 32)
