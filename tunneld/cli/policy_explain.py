"""`tunneld policy explain`: why somebody got in or did not, from the logs of each tenant that is administered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from tunneld.cli.admin_client import AdminClient, Place, find_place
from tunneld.cli.logs import correlation_guid
from tunneld.cli.policy_options import Json, State, Tenants, console, print_json
from tunneld.model.errors import DocumentError
from tunneld.policy import triage

_CHANGES = 100  # newest changes of the day before that are looked through
_NO_SETTINGS = ("Device", "KeyManagement")  # categories that a sign-in itself writes, or a clock


def explain(
    correlation_id: Annotated[str, typer.Argument(metavar="CORRELATION_ID", help="As in a log, an error or a flow.")],
    tenant: Tenants = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Go through a sign-in in the fixed order of questions; each line says what was looked at and what it shows."""
    wanted = correlation_guid(correlation_id)
    place = find_place(state)
    found = {name: lines for name in place.named(tenant) if (lines := _lines(place, name, wanted))}
    if not found:
        mend = "take one from `tunneld logs signins`, or ask as the other tenant's administrator"
        raise DocumentError(correlation_id, "", "no sign-in has this correlation id", mend)
    if as_json:
        print_json([{"tenant": name, **line.to_json()} for name, lines in found.items() for line in lines])
        return
    for name, lines in found.items():
        console().print(f"as {name} has it" if name else "as this tenant has it", style="bold", markup=False)
        for number, line in enumerate(lines, 1):
            console().print(f"{number:2}. {line.looked_at}\n    {line.shows}", markup=False)


def _lines(place: Place, tenant: str, wanted: str) -> list[Any]:
    """Return what one tenant's logs say of a sign-in; nothing where it has no record of it."""
    with AdminClient(place, tenant) as client:
        sign_ins = list(client.every("/auditLogs/signIns", **{"$filter": f"correlationId eq '{wanted}'"}))
        if not sign_ins:
            return []
        audits = client.get("/auditLogs/directoryAudits", **_changes_before(sign_ins))["value"]
        workloads = client.get("/policies/workloads")["value"]
    ignoring = [one["displayName"] or one["id"] for one in workloads if not one["respectsDirectorySettings"]]
    return list(triage.explain(sign_ins[0]["tenantId"], sign_ins, audits, ignoring))


def _changes_before(sign_ins: list[dict[str, Any]]) -> dict[str, str]:
    """Return the query for what was changed in the day before the sign-in, however long ago that is."""
    end = max(str(one["createdDateTime"]) for one in sign_ins)
    begin = (datetime.fromisoformat(end) - timedelta(days=1)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    others = [f"category ne '{category}'" for category in _NO_SETTINGS]
    parts = [f"activityDateTime ge {begin}", f"activityDateTime le {end}", *others]
    return {"$top": str(_CHANGES), "$filter": " and ".join(parts)}
