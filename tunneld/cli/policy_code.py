"""`tunneld policy export`, `plan` and `apply`: a tenant's policy as files, and files as its policy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from tunneld.cli.admin_client import AdminClient, Place, RefusedError, find_place
from tunneld.cli.policy_files import read_objects, write_objects
from tunneld.cli.policy_options import Folders, Json, State, Tenants, console, print_json
from tunneld.cli.policy_reports import plan_lines
from tunneld.journal.files import write_atomic
from tunneld.model.errors import DocumentError
from tunneld.policy.plan import Action, MemberChange, Step, plan

FOUND = 3  # `plan` has something to do; 1 and 2 already mean that it failed and that the input is bad

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of policy files: DIR/TENANT/KIND/NAME.json.")]
Prune = Annotated[bool, typer.Option("--prune", help="Also delete what is in no file.")]


@dataclass(frozen=True)
class TenantPlan:
    """What has to happen in one tenant. `tags` stand for the state that the plan was made against."""

    tenant: str
    steps: tuple[Step, ...]
    tags: Mapping[tuple[str, str], str]

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> TenantPlan:
        """Return the plan that `to_json` wrote."""
        steps = tuple(
            Step(
                Action(step["action"]), step["kind"], step["id"], step["name"], step["body"],
                tuple(MemberChange(**member) for member in step["members"]), step["file"] or "",
            )
            for step in saved["steps"]
        )
        tags = {(step["kind"], step["id"]): step["etag"] for step in saved["steps"] if step["etag"]}
        return cls(saved["tenant"], steps, tags)

    def to_json(self) -> dict[str, Any]:
        """Return the plan for a file or a script."""
        return {
            "tenant": self.tenant,
            "steps": [
                {
                    "action": str(step.action), "kind": step.kind, "id": step.id, "name": step.name,
                    "file": step.where or None, "etag": self.tags.get((step.kind, step.id)),
                    "members": [{"path": each.path, "old": each.old, "new": each.new} for each in step.members],
                    "body": None if step.body is None else dict(step.body),
                }
                for step in self.steps
            ],
        }

    def changes(self) -> list[dict[str, Any]]:
        """Return the steps as the API takes them."""
        return [
            {"kind": step.kind, "id": step.id, "body": None if step.body is None else dict(step.body),
             "etag": self.tags.get((step.kind, step.id))}
            for step in self.steps
        ]  # fmt: skip

    def place_of(self, target: str) -> tuple[str, str]:
        """Return the file, and the member in it, that a refusal is about."""
        name, _, member = target.partition(": ")
        for step in self.steps:
            if name == f"{step.kind}/{step.id}":
                return step.where or name, member
        # A contradiction names its member alone: it is in the one file that has such a member, if there is one.
        files = {step.where for step in self.steps if step.where and target.split(".")[0] in (step.body or {})}
        return (files.pop(), target) if len(files) == 1 else (self.tenant, target)


def export(directory: Directory, tenant: Tenants = None, state: State = None) -> None:
    """Write every policy object of a tenant as one readable JSON file. What was exported plans nothing."""
    place = find_place(state)
    for name in place.named(tenant):
        with AdminClient(place, name) as client:
            now = client.get("/policies/export")
        folder = directory / (name or now["name"])
        try:
            written = write_objects(folder, now["value"])
        except OSError as error:
            mend = "name a folder that can be written"
            raise DocumentError(str(folder), "", error.strerror or "cannot be written", mend) from None
        typer.echo(f"{folder}: {len(written)} objects")


def show_plan(
    directory: Directory,
    tenant: Folders = None,
    prune: Prune = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Keep the plan, for `apply FILE`.")] = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Show what `apply` would do, as a diff. Exit status 0: nothing; 3: something; 2: a file is bad.

    What somebody changed in the tenant since the files were written shows as a change back: that is the drift.
    """
    place = find_place(state)
    plans = plans_of(place, directory, tenants_of(place, directory, tenant), prune=prune)
    for each in plans:
        _send(place, each, dry_run=True)
    if out is not None:
        write_atomic(out, json.dumps([each.to_json() for each in plans], indent=1).encode())
    _show(plans, as_json)
    if any(each.steps for each in plans):
        raise typer.Exit(FOUND)


def apply(
    what: Annotated[Path, typer.Argument(metavar="DIR|PLAN", help="Folder of policy files, or a plan of --out.")],
    tenant: Folders = None,
    prune: Prune = False,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Make the tenants what the files say. Everything of a tenant happens at once, or nothing.

    All tenants are checked before the first is changed; then they are changed one after the other, in the order of
    their names or of --tenant. Somebody else's change since the plan is refused, never overwritten.
    """
    place = find_place(state)
    names = place.named(tenant)
    plans = [each for each in read_plan(what) if each.tenant in names] if what.is_file() else plans_of(
        place, what, tenants_of(place, what, tenant), prune=prune
    )
    for each in plans:
        _send(place, each, dry_run=True)
    _show(plans, as_json)
    for each in plans:
        if each.steps:
            _send(place, each, dry_run=False)
            if not as_json:
                typer.echo(f"{each.tenant}: applied {len(each.steps)}")


def plans_of(place: Place, directory: Path, tenants: Sequence[str], *, prune: bool) -> list[TenantPlan]:
    """Return what differs between the files and each tenant. Raises DocumentError for a bad file."""
    found = []
    for tenant in tenants:
        with AdminClient(place, tenant) as client:
            now = client.get("/policies/export")
        name, kinds = tenant or now["name"], now["kinds"]
        wanted = read_objects(directory / name, {kind: about["key"] for kind, about in kinds.items()})
        current = {(entry["kind"], entry["id"]): entry["body"] for entry in now["value"]}
        steps = tuple(
            step for step in plan(current, wanted, prune=prune)
            if step.action is not Action.DELETE or kinds[step.kind]["deletable"]
        )
        tags = {(entry["kind"], entry["id"]): entry["etag"] for entry in now["value"]}
        found.append(TenantPlan(tenant, steps, tags))
    return found


def tenants_of(place: Place, directory: Path, wanted: list[str] | None) -> list[str]:
    """Return the tenants that are named, else those that have a folder. A folder of nobody raises DocumentError."""
    names = place.named(wanted)
    if wanted or "" in names:
        return names
    known = ", ".join(sorted(names))
    folders = {path.name for path in directory.glob("*") if path.is_dir() and not path.name.startswith(".")}
    for stranger in sorted(folders - set(names)):
        raise DocumentError(str(directory / stranger), "", "is no tenant of the lab", f"rename it to one of: {known}")
    if not folders:
        raise DocumentError(str(directory), "", "no tenant's folder in it", "write one with `tunneld policy export`")
    return [name for name in names if name in folders]


def read_plan(path: Path) -> list[TenantPlan]:
    """Return the plan in a file. Raises DocumentError."""
    try:
        return [TenantPlan.of(saved) for saved in json.loads(path.read_bytes())]
    except OSError as error:
        raise DocumentError(str(path), "", error.strerror or "cannot be read") from None
    except (ValueError, LookupError, TypeError, RecursionError):
        raise DocumentError(str(path), "", "is no plan", "make one with `tunneld policy plan DIR --out FILE`") from None


def _send(place: Place, each: TenantPlan, *, dry_run: bool) -> None:
    """Have a plan checked, or done. Raises DocumentError with the file for what the API refuses."""
    if not each.steps:
        return
    with AdminClient(place, each.tenant) as client:
        try:
            client.post("/policies/apply", {"changes": each.changes(), "dryRun": dry_run})
        except RefusedError as refused:
            if refused.status not in (400, 404, 409, 412):
                raise
            where, member = each.place_of(refused.target)
            raise DocumentError(where, member, str(refused)) from None


def _show(plans: Sequence[TenantPlan], as_json: bool) -> None:
    if as_json:
        print_json([each.to_json() for each in plans])
        return
    screen = console()
    for each in plans:
        for line in plan_lines(each.tenant, each.steps):
            screen.print(line)


def load_candidate(place: Place, directory: Path, tenant: str, *, prune: bool = False) -> list[dict[str, Any]]:
    """Return the changes that a folder of files stands for, as the what-if and replay calls take them."""
    (found,) = plans_of(place, directory, [tenant], prune=prune)
    return [{name: value for name, value in change.items() if name != "etag"} for change in found.changes()]
