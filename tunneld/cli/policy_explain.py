"""`tunneld policy explain`: why somebody got in or did not, from the logs alone, in the order in which to look.

The order is fixed: the error code, who crossed which boundary, which side's record holds the setting, Conditional
Access, device and multifactor details, and changes of settings shortly before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.text import Text

from tunneld.cli.admin_client import AdminClient, RefusedError, find_place
from tunneld.cli.policy_options import Json, State, Tenants, console, print_json
from tunneld.model.errors import DocumentError

WINDOW = timedelta(hours=24)  # a setting that was changed a day before is still news to whoever asks
_CATEGORIES = ("CrossTenantAccessSettings", "Policy", "AuthorizationPolicy", "CrossTenantIdentitySyncSettings")


def explain(
    correlation_id: Annotated[str, typer.Argument(help="From an error page, a token error or a record.")],
    tenant: Tenants = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Explain a sign-in from the logs of each tenant that you administer; each shows its own part."""
    place, found = find_place(state), {}
    for name in place.named(tenant):
        with AdminClient(place, name) as client:
            wanted = f"correlationId eq '{_guid(correlation_id)}'"
            records = list(client.every("/auditLogs/signIns", **{"$filter": wanted}))
            if records:
                found[name] = {"signIns": records, "changes": _changes(client, records[0])}
    if not found:
        mend = "records are stored a moment after the answer; ask again, or give the id as the page shows it"
        raise DocumentError(correlation_id, "", "no sign-in has this correlation id", mend)
    if as_json:
        print_json(found)
        return
    screen = console()
    for name, part in found.items():
        for record in part["signIns"]:
            for line in _lines(name, record):
                screen.print(line)
        for change in part["changes"]:
            screen.print(Text(f"  changed: {change['activityDateTime']} {change['activityDisplayName']}", "yellow"))


def _lines(tenant: str, record: Mapping[str, Any]) -> Iterator[Text]:
    status = record["status"]
    code = status["errorCode"]
    granted = code == 0
    head = Text(f"{tenant}: ", "bold") + Text("let in" if granted else f"AADSTS{code}", "green" if granted else "red")
    yield head + Text("" if granted else f" {status.get('failureReason') or ''}")
    yield Text(
        f"  who: {record['userPrincipalName']} to {record.get('resourceDisplayName') or record.get('resourceId')}, "
        f"{record['crossTenantAccessType']}, home {record.get('homeTenantId')}, tenant {record.get('resourceTenantId')}"
    )
    for step in record.get("decisionTrace") or ():
        if step.get("effect") != "pass":
            parts = [step["step"], step["check"], f"in {step['tenant']}", step.get("setting"), step.get("source")]
            where = " ".join(part for part in parts if part)
            yield Text(f"  decided: {where}: {step['rule']}", "red")
    for policy in record.get("appliedConditionalAccessPolicies") or ():
        yield Text(f"  Conditional Access: {policy['displayName']}: {policy['result']}")
    device = record.get("deviceDetail") or {}
    if device.get("deviceId"):
        yield Text(f"  device: {device['deviceId']}, compliant {device.get('isCompliant')}")
    for detail in record.get("authenticationDetails") or ():
        result = detail.get("authenticationStepResultDetail") or ""
        yield Text(f"  method: {detail.get('authenticationMethod') or ''} {result}")
    if record.get("policyIgnored"):
        yield Text(f"  workload: {record['policyIgnored']}")


def _changes(client: AdminClient, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the changes of settings in the day before a sign-in."""
    at = datetime.fromisoformat(record["createdDateTime"])
    since = (at - WINDOW).strftime("%Y-%m-%dT%H:%M:%SZ")
    until = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    window = f"activityDateTime ge {since} and activityDateTime le {until}"
    try:
        records = list(client.every("/auditLogs/directoryAudits", **{"$filter": window, "$top": "200"}))
    except RefusedError:
        return []  # whoever may read sign-ins alone is told what those say
    return [each for each in records if each["category"] in _CATEGORIES]


def _guid(text: str) -> str:
    plain = text.strip().lower().replace("-", "")
    if len(plain) != 32 or not set(plain) <= set("0123456789abcdef"):
        raise DocumentError(text, "", "is no correlation id", "it has 32 hexadecimal digits")
    return f"{plain[:8]}-{plain[8:12]}-{plain[12:16]}-{plain[16:20]}-{plain[20:]}"
