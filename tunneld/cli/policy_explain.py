"""`tunneld policy explain`: why somebody got in or did not, from one tenant's own logs."""

from __future__ import annotations

from typing import Annotated

import typer

from tunneld.cli.admin_client import AdminClient, find_place
from tunneld.cli.logs import correlation_guid
from tunneld.cli.policy_options import Json, State, Tenant, console, print_json
from tunneld.policy import triage

_CHANGES = 20  # of the audit log that are looked through


def explain(
    correlation_id: Annotated[str, typer.Argument(metavar="CORRELATION_ID", help="As in a log, an error or a flow.")],
    tenant: Tenant = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Go through a sign-in in the fixed order of questions; each line says what was looked at and what it shows."""
    wanted = correlation_guid(correlation_id)
    place = find_place(state)
    name = place.named([tenant] if tenant else None)[0]
    with AdminClient(place, name) as client:
        sign_ins = list(client.every("/auditLogs/signIns", **{"$filter": f"correlationId eq '{wanted}'"}))
        audits = client.get("/auditLogs/directoryAudits", **{"$top": str(_CHANGES)})["value"] if sign_ins else []
        workloads = client.get("/policies/workloads")["value"] if sign_ins else []
    ignoring = [one["displayName"] or one["id"] for one in workloads if not one["respectsDirectorySettings"]]
    lines = triage.explain(sign_ins[0]["tenantId"] if sign_ins else "", sign_ins, audits, ignoring)
    if as_json:
        print_json([line.to_json() for line in lines])
        return
    for number, line in enumerate(lines, 1):
        console().print(f"{number:2}. {line.looked_at}\n    {line.shows}", markup=False)
