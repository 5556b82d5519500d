"""`tunneld policy sync`, `ghosts` and `offboard`: the external users of a tenant."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tunneld.cli import policy_reports
from tunneld.cli.admin_client import AdminClient, find_place
from tunneld.cli.policy_options import Json, State, Tenant, Tenants, console, print_json
from tunneld.model.errors import DocumentError

FAILED = 1
POLL_S = 0.2
_JOBS = "/tenantRelationships/synchronizationJobs"


def sync(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The tenant that is synchronized to, by id.")],
    tenant: Tenant = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what a cycle would do.")] = False,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Run one cycle of cross-tenant synchronization from --tenant to TARGET now, and show its report."""
    place = find_place(state)
    name = place.named([tenant] if tenant else None)[0]
    with AdminClient(place, name) as client:
        if dry_run:
            answer = client.post(f"{_JOBS}/{target}/plan")
        else:
            client.post(f"{_JOBS}/{target}/start")
            answer = _follow(client, target, quiet=as_json)
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
            f"{found[0]['userPrincipalName']} is disabled and signed out; {answer['assignmentsRemoved']} assignments "
            f"and {answer['invitationsWithdrawn']} invitations were taken back"
        )


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
