"""`tunneld policy sync`, `ghosts` and `offboard`: the external users of a tenant."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tunneld.cli import policy_reports
from tunneld.cli.admin_client import AdminClient, Place, RefusedError, find_place
from tunneld.cli.policy_options import Json, State, Tenant, Tenants, console, print_json
from tunneld.model.errors import DocumentError

FAILED = 1
POLL_S = 0.2
_JOBS = "/tenantRelationships/synchronizationJobs"


def sync(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The tenant to synchronize to: id, or its name.")],
    tenant: Tenant = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what a cycle would do.")] = False,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Run one cycle of cross-tenant synchronization from --tenant to TARGET now, and show its report."""
    place = find_place(state)
    name = place.named([tenant] if tenant else None)[0]
    key = _tenant_id(place, target)
    with AdminClient(place, name) as client:
        try:
            answer = client.post(f"{_JOBS}/{key}/{'plan' if dry_run else 'start'}")
        except RefusedError as refused:
            if refused.status != 404:
                raise
            mend = f"create one first: POST {_JOBS}"
            raise DocumentError(target, "", f"{name or 'this tenant'} has no synchronization job to it", mend) from None
        if not dry_run:
            answer = _follow(client, key, quiet=as_json)
    if as_json:
        print_json(answer)
    else:
        console().print(policy_reports.synchronization(answer))
    if answer["status"] == "failed":
        raise typer.Exit(FAILED)


def ghosts(
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="Unseen for so many days.")] = 30,
    tenant: Tenants = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """List the guests whom nobody has seen for so long, or ever."""
    place, found = find_place(state), {}
    for name in place.named(tenant):
        with AdminClient(place, name) as client:
            found[name] = client.get("/reports/ghostGuests", days=str(days))
    if as_json:
        print_json(found)
    else:
        for name, answer in found.items():
            console().print(policy_reports.ghosts(name, answer))


def offboard(
    user: Annotated[str, typer.Argument(help="User principal name or object id.")],
    tenant: Tenant = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Disable a user, end their sessions and take back what was given, at once and all together."""
    place = find_place(state)
    name = place.named([tenant] if tenant else None)[0]
    with AdminClient(place, name) as client:
        found = [one for one in client.every("/users") if user.lower() in (one["id"], one["userPrincipalName"].lower())]
        if not found:
            raise DocumentError(user, "", f"no such user in {name}", "give the name or the object id")
        answer = client.post(f"/users/{found[0]['id']}/offboard")
    if as_json:
        print_json(answer)
    else:
        typer.echo(
            f"{found[0]['userPrincipalName']} is disabled and signed out; taken back: "
            f"assignments {answer['assignmentsRemoved']}, invitations {answer['invitationsWithdrawn']}"
        )


def _tenant_id(place: Place, target: str) -> str:
    """Return a tenant's id; a lab's tenant may be called by its name."""
    if not target or target not in place.tokens:
        return target
    with AdminClient(place, target) as client:
        (organization,) = client.get("/organization")["value"]
    return str(organization["id"])


def _follow(client: AdminClient, target: str, *, quiet: bool) -> dict[str, Any]:
    """Show how a cycle gets on until it has ended, and return its report."""
    columns = (TextColumn("synchronizing"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console(), transient=True, disable=quiet) as bar:
        task = bar.add_task("", total=None)
        while True:
            answer = client.get(f"{_JOBS}/{target}/status")
            bar.update(task, completed=answer["done"], total=answer["total"] or None)
            if answer["status"] not in ("running", "notRun"):
                return answer
            time.sleep(POLL_S)
