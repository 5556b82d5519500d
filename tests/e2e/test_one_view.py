"""Identity and network in one view: from an application's flow to the sign-in that let it through."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx

from tests.support.running_lab import RunningLab, lab_up, wait_until
from tunneld.lab import world

TRAFFIC, SIGN_INS = "/networkAccess/logs/traffic", "/auditLogs/signIns"


def graph(lab: RunningLab, tenant: str, path: str, wanted: str = "") -> list[dict[str, Any]]:
    """Return a page of the admin API, as an administrator of `tenant`."""
    token = Path(lab.line["admin"][tenant]["token"]).read_text().strip()
    answer = httpx.get(
        f"{lab.line['idp']}/v1.0{path}", params={"$filter": wanted} if wanted else {},
        headers={"authorization": f"Bearer {token}"}, trust_env=False,
        verify=ssl.create_default_context(cafile=lab.line["ca"]),
    )
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["value"]
    return found


def fetch(lab: RunningLab) -> str:
    """Fetch a page of fabrikam's as its guest and return the flow's correlation id."""
    done = lab.curl("http://portal.corp.internal/")
    assert lab.canary("fabrikam") in done.stdout, done.stderr
    wait_until(lambda: lab.flows("--limit", "1")[0]["state"] == "closed")
    return str(lab.flows("--limit", "1")[0]["correlation_id"])


def test_from_a_guest_s_flow_to_its_sign_in(tmp_path: Path) -> None:
    """The flow that asked for the token shares its id with the sign-in; each flow names the sign-in by its token."""
    with lab_up(tmp_path / "s") as lab:  # of its own: in a lab that was used before, the token is at hand
        lab.switch("fabrikam")
        flows = [fetch(lab), fetch(lab)]

        def entries() -> list[dict[str, Any]]:
            found = {entry["correlationId"]: entry for entry in graph(lab, "fabrikam", TRAFFIC)}
            return [found[flow] for flow in flows if flow in found and found[flow]["signIn"]]

        wait_until(lambda: len(entries()) == 2)
        first, second = entries()
        assert first["signIn"] == second["signIn"]
        assert first["signIn"]["correlationId"].replace("-", "") == flows[0]
        for entry in (first, second):
            assert (entry["homeTenantId"], entry["crossTenantAccessType"]) == (world.CONTOSO.id, "b2bCollaboration")
            assert (entry["destinationFQDN"], entry["action"]) == ("portal.corp.internal", "allow")
        (record,) = graph(lab, "fabrikam", SIGN_INS, f"uniqueTokenIdentifier eq '{first['uniqueTokenIdentifier']}'")
        assert record["id"] == first["signIn"]["id"]
        assert (record["userId"], record["resourceId"]) == (first["userId"], first["applicationId"])
        # Home has its own record under the same id, and nothing of the traffic.
        (at_home,) = graph(lab, "contoso", SIGN_INS, f"correlationId eq '{first['signIn']['correlationId']}'")
        assert (at_home["resourceTenantId"], at_home["uniqueTokenIdentifier"]) == (record["resourceTenantId"], None)
        assert not {entry["correlationId"] for entry in graph(lab, "contoso", TRAFFIC)} & set(flows)
