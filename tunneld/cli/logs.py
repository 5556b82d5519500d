"""`tunneld logs`: a tenant's sign-in and audit logs over the admin API, and both as JSON lines for a SIEM."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from tunneld.cli.admin_client import AdminClient, Place, find_place
from tunneld.cli.policy_options import Json, State, Tenants, console
from tunneld.model.errors import DocumentError

app = typer.Typer(no_args_is_help=True, help="A tenant's sign-in and audit logs.")

SIGN_INS, AUDITS = "/auditLogs/signIns", "/auditLogs/directoryAudits"
_POLL_S = 1.0
_SPAN = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

User = Annotated[str | None, typer.Option("--user", metavar="NAME", help="Only this user name or object id.")]
Since = Annotated[str | None, typer.Option("--since", metavar="WHEN", help="RFC 3339, or a span: 30m, 24h, 7d.")]
Result = Annotated[str | None, typer.Option("--result", help="success or failure.")]
Correlation = Annotated[str | None, typer.Option("--correlation", metavar="ID", help="Only what belongs together.")]
Top = Annotated[int, typer.Option("--top", min=1, max=100_000, help="At most so many records, the newest.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens from now on.")]


@app.command("signins")
def signins(
    tenant: Tenants = None, user: User = None, since: Since = None, result: Result = None,
    correlation: Correlation = None, top: Top = 50, follow: Follow = False, state: State = None, as_json: Json = False,
) -> None:
    """List sign-ins, newest first: who wanted what where, and the answer."""
    parts = _common("createdDateTime", since, correlation)
    if user is not None:
        parts.append(f"userId eq {_text(user)}" if _is_guid(user) else f"userPrincipalName eq {_text(user.lower())}")
    if result is not None:
        parts.append(f"status/errorCode {'eq' if _succeeded(result) else 'ne'} 0")
    _show(find_place(state), tenant, SIGN_INS, parts, top=top, follow=follow, as_json=as_json)


@app.command("audit")
def audit(
    tenant: Tenants = None, user: User = None, since: Since = None, result: Result = None,
    correlation: Correlation = None, top: Top = 50, follow: Follow = False, state: State = None, as_json: Json = False,
) -> None:
    """List writes, newest first: who changed what. `--user` is who wrote."""
    parts = _common("activityDateTime", since, correlation)
    if user is not None:
        member = "id" if _is_guid(user) else "userPrincipalName"
        parts.append(f"initiatedBy/user/{member} eq {_text(user.lower())}")
    if result is not None:
        parts.append(f"result eq '{'success' if _succeeded(result) else 'failure'}'")
    _show(find_place(state), tenant, AUDITS, parts, top=top, follow=follow, as_json=as_json)


@app.command("export")
def export(tenant: Tenants = None, since: Since = None, state: State = None) -> None:
    """Print both logs as JSON lines, oldest first, each with `log` and `tenant`."""
    place = find_place(state)
    for name in place.named(tenant):
        found: list[tuple[str, dict[str, Any]]] = []
        for log, path, member in (("signIn", SIGN_INS, "createdDateTime"), ("audit", AUDITS, "activityDateTime")):
            with AdminClient(place, name) as client:
                records = client.every(path, **_filter(_common(member, since, None)))
                found += [(record[member], {"log": log, "tenant": name, **record}) for record in records]
        for _, line in sorted(found, key=lambda pair: pair[0]):
            _print_line(line)


def correlation_guid(text: str) -> str:
    """Return a correlation id as records write it, whether it is given as a GUID or as 32 digits (a trace id)."""
    digits = text.strip().lower().replace("-", "")
    if not re.fullmatch(r"[0-9a-f]{32}", digits):
        raise DocumentError("--correlation", "", f"{text!r} is not a correlation id", "32 hexadecimal digits or a GUID")
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _show(
    place: Place, tenants: list[str] | None, path: str, parts: list[str], *, top: int, follow: bool, as_json: bool
) -> None:
    names = place.named(tenants)
    for name in names:
        with AdminClient(place, name) as client:
            records = list(islice(client.every(path, **_filter(parts, top)), top))
        if as_json:
            for record in records:
                _print_line(record)
        elif records:
            console().print(_table(name, path, records))
        else:
            console().print(f"{name or 'this tenant'}: no record", style="dim", markup=False)
    if follow:
        for name, record in _following(place, names, path, parts):
            if as_json:
                _print_line(record)
            else:
                console().print("  ".join(filter(None, (name, *_cells(path, record)))), markup=False)


def _following(place: Place, names: list[str], path: str, parts: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield tenant and record as they are written, until interrupted."""
    member = "createdDateTime" if path == SIGN_INS else "activityDateTime"
    start = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    begun, seen = dict.fromkeys(names, start), set[str]()
    while True:
        for name in names:
            with AdminClient(place, name) as client:  # opened anew: its token is renewed meanwhile
                news = list(client.every(path, **_filter([*parts, f"{member} ge {begun[name]}"])))
            for record in reversed(news):
                begun[name] = max(begun[name], record[member])
                if record["id"] not in seen:
                    seen.add(record["id"])
                    yield name, record
        time.sleep(_POLL_S)


_SIGN_IN_COLUMNS = ("time", "user", "type", "access", "resource", "code", "reason", "correlation")
_AUDIT_COLUMNS = ("time", "activity", "by", "target", "result", "reason", "correlation")


def _table(name: str, path: str, records: list[dict[str, Any]]) -> Table:
    table = Table(title=name, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in _SIGN_IN_COLUMNS if path == SIGN_INS else _AUDIT_COLUMNS:
        table.add_column(column, overflow="fold", no_wrap=column == "correlation")
    for record in records:
        table.add_row(*_cells(path, record))
    return table


def _cells(path: str, one: dict[str, Any]) -> tuple[str, ...]:
    """Return what a line of the log shows of a record."""
    if path == SIGN_INS:
        status = one["status"]
        return (
            one["createdDateTime"][:19], one["userPrincipalName"], one["userType"], one["crossTenantAccessType"],
            one["resourceDisplayName"] or one["resourceId"], str(status["errorCode"]),
            status["failureReason"] or "", one["correlationId"],
        )  # fmt: skip
    by = one["initiatedBy"]
    who = (by["user"] or {}).get("userPrincipalName") or (by["app"] or {}).get("displayName") or ""
    targets = ", ".join(target["displayName"] or target["id"] for target in one["targetResources"])
    return (
        one["activityDateTime"][:19], one["activityDisplayName"], who, targets, one["result"], one["resultReason"],
        one["correlationId"],
    )


def _common(member: str, since: str | None, correlation: str | None) -> list[str]:
    parts = []
    if since is not None:
        parts.append(f"{member} ge {moment(since)}")
    if correlation is not None:
        parts.append(f"correlationId eq '{correlation_guid(correlation)}'")
    return parts


def _filter(parts: list[str], top: int = 999) -> dict[str, str]:
    query = {"$top": str(min(top, 999))}
    return query | ({"$filter": " and ".join(parts)} if parts else {})


def moment(text: str) -> str:
    """Return a time as filters write it, from RFC 3339 or a span back from now. Raises DocumentError."""
    span = _SPAN.fullmatch(text)
    if span is not None:
        then = datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])})
        return then.strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        raise DocumentError("--since", "", f"{text!r} is no time", "2026-03-01T09:30:00Z, or 24h") from None
    return then.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _succeeded(result: str) -> bool:
    words: dict[str, Literal[True, False]] = {"success": True, "failure": False}
    if result not in words:
        raise DocumentError("--result", "", f"{result!r} is neither success nor failure")
    return words[result]


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"  # OData 4.01 URL Conventions §5.1.1.6


def _is_guid(text: str) -> bool:
    return re.fullmatch(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text) is not None


def _print_line(record: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(record, separators=(",", ":")) + "\n")
    sys.stdout.flush()
