"""`tunneld certs`: make or renew the authorities and certificates of a lab."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tunneld.journal.authorities import Step, TenantNames, edge_name, renew_directory
from tunneld.journal.timestamps import rfc3339
from tunneld.model.errors import DocumentError
from tunneld.model.verdict import Channel

_TENANT = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9-]{0,62})=(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?::(?P<channels>[a-z,]+))?"
)


def certs(
    directory: Annotated[Path, typer.Argument(help="Where they go; made with mode 0700.", metavar="DIR")],
    tenant: Annotated[
        list[str] | None,
        typer.Option(help="NAME=GUID[:CHANNEL,…], once for each tenant. Default: the lab's tenants.", metavar="TENANT"),
    ] = None,
    domain: Annotated[str | None, typer.Option(help="Domain of the edges. Default: the lab's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make or renew the lab's authorities and certificates.

    What is valid is kept. Authorities live 30 days and edge certificates 7; both are renewed in the last third.
    """
    # The lab's modules know the lab's tenants; nobody who names their own needs them.
    from tunneld.lab import world

    edge_domain = domain or world.EDGE_DOMAIN
    if tenant:
        tenants = [_tenant(text, edge_domain) for text in tenant]
    else:
        tenants = [
            _names(each.name, each.id, each.channels or (Channel.PRIVATE.value,), edge_domain)
            for each in world.TENANTS
        ]
    steps = renew_directory(directory, tenants)
    typer.echo(json.dumps(_report(directory, steps)) if as_json else _table(directory, steps))


def _tenant(text: str, domain: str) -> TenantNames:
    match = _TENANT.fullmatch(text)
    if match is None:
        raise DocumentError("--tenant", "", f"{text!r} is not NAME=GUID", "write contoso=<32 lower-case hex digits>")
    channels = (match["channels"] or ",".join(Channel)).split(",")
    unknown = [name for name in channels if name not in list(Channel)]
    if unknown:
        raise DocumentError("--tenant", text, f"{unknown[0]!r} is no channel", f"write {', '.join(Channel)}")
    return _names(match["name"], match["id"], channels, domain)


def _names(name: str, tenant_id: str, channels: Sequence[str], domain: str) -> TenantNames:
    return TenantNames(name, tuple(edge_name(tenant_id, channel, domain) for channel in channels))


def _report(directory: Path, steps: list[Step]) -> dict[str, object]:
    certificates = [
        {
            "path": str(step.path),
            "outcome": step.outcome,
            "because": step.because or None,
            "not_after": rfc3339(step.not_after.timestamp()),
        }
        for step in steps
    ]
    return {"directory": str(directory), "bundle": str(directory / "bundle.pem"), "certificates": certificates}


def _table(directory: Path, steps: list[Step]) -> str:
    width = max(len(str(step.path.relative_to(directory))) for step in steps)
    lines = [
        f"{step.outcome:8} {step.path.relative_to(directory)!s:{width}}  until {step.not_after:%Y-%m-%d %H:%M} UTC"
        + (f"  ({step.because})" if step.because else "")
        for step in steps
    ]
    return "\n".join([*lines, f"bundle   {directory / 'bundle.pem'}"])
