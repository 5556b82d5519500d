"""`tunneld policy whatif` and `lint`: what a policy would do to whom, before anybody meets it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tunneld.cli import policy_reports
from tunneld.cli.admin_client import AdminClient, Place, RefusedError, find_place
from tunneld.cli.logs import moment
from tunneld.cli.policy_code import load_candidate
from tunneld.cli.policy_files import read_body
from tunneld.cli.policy_options import Json, State, Tenant, Tenants, console, print_json
from tunneld.model.errors import DocumentError

FOUND = 3  # as `tunneld policy plan`: it worked and has something to say


def whatif(
    user: Annotated[str | None, typer.Option("--user", "-u", help="Sign-in name or object id.")] = None,
    tenant: Tenant = None,
    application: Annotated[
        str, typer.Option("--application", "-a", help="Application or channel, by name or id. Default: the directory.")
    ] = "directory",
    visit: Annotated[
        str | None, typer.Option("--visit", metavar="T", help="The tenant that is visited. Default: --tenant.")
    ] = None,
    ip: Annotated[str, typer.Option("--ip", help="Client address.")] = "",
    country: Annotated[str, typer.Option("--country", help="Two letters.")] = "",
    platform: Annotated[str, typer.Option("--platform", help="android, iOS, windows, macOS or linux.")] = "",
    client_app: Annotated[str, typer.Option("--client-app", help="Graph's clientAppTypes.")] = "browser",
    method: Annotated[
        list[str] | None, typer.Option("--method", help="Method done at home; may be given again. Default: password.")
    ] = None,
    resource_method: Annotated[
        list[str] | None, typer.Option("--resource-method", help="Method done at the visited tenant.")
    ] = None,
    compliant: Annotated[bool, typer.Option("--compliant-device", help="On a compliant device.")] = False,
    hybrid: Annotated[bool, typer.Option("--hybrid-device", help="On a hybrid-joined device.")] = False,
    risk: Annotated[str, typer.Option("--risk", help="Sign-in risk: none, low, medium or high.")] = "none",
    user_risk: Annotated[str, typer.Option("--user-risk", help="User risk: none, low, medium or high.")] = "none",
    direct_connect: Annotated[bool, typer.Option("--direct-connect", help="Without an object there.")] = False,
    pending: Annotated[bool, typer.Option("--pending", help="The invitation is not accepted yet.")] = False,
    with_: Annotated[
        Path | None, typer.Option("--with", metavar="PATH", help="Under these changes too: a file or a policy folder.")
    ] = None,
    replay: Annotated[
        Path | None, typer.Option("--replay", metavar="DIR", help="Ask the recorded sign-ins again of this policy.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="Replay from then on: RFC 3339, or a span: 24h, 7d.")
    ] = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Decide a sign-in that nobody makes, or ask recorded ones again of a changed policy. Nothing is written.

    With --replay: who would gain or lose what. Exit status 3 when somebody would.
    """
    place = find_place(state)
    name = place.named([tenant] if tenant else None)[0]
    if replay is not None:
        _replay(place, name, replay, since, as_json)
        return
    if user is None:
        raise DocumentError("--user", "", "missing", "say who signs in, or replay recorded sign-ins with --replay DIR")
    devices = {"isCompliant": compliant, "isHybridJoined": hybrid} if compliant or hybrid else None
    question: dict[str, Any] = {
        "user": user, "application": application, "ipAddress": ip, "country": country,
        "devicePlatform": platform, "clientAppType": client_app, "methodsAtHome": method or ["password"],
        "methodsAtResource": resource_method or [], "device": devices, "signInRiskLevel": risk,
        "userRiskLevel": user_risk, "redeemed": not pending,
        "accessType": "b2bDirectConnect" if direct_connect else "b2bCollaboration",
    } | ({"tenant": visit} if visit else {})  # fmt: skip
    body = {"signIn": question, "candidate": _candidate(place, name, with_) if with_ else []}
    with AdminClient(place, name) as client:
        answer = _asked(client, "/policies/whatIf", body)
    if as_json:
        print_json(answer)
    else:
        console().print(policy_reports.decision(answer))


def lint(tenant: Tenants = None, state: State = None, as_json: Json = False) -> None:
    """Look for policies that lock people out, or that nobody can satisfy. Exit status 3 where there is a finding."""
    place = find_place(state)
    found = {}
    for name in place.named(tenant):
        with AdminClient(place, name) as client:
            found[name] = client.get("/policies/lint")["value"]
    if as_json:
        print_json(found)
    else:
        for name, rows in found.items():
            console().print(policy_reports.findings(name, rows))
    if any(found.values()):
        raise typer.Exit(FOUND)


def _replay(place: Place, tenant: str, directory: Path, since: str | None, as_json: bool) -> None:
    body: dict[str, Any] = {"candidate": _candidate(place, tenant, directory)}
    with AdminClient(place, tenant) as client:
        answer = _asked(client, "/policies/replay", body | ({"since": moment(since)} if since else {}))
    if as_json:
        print_json(answer)
    else:
        console().print(policy_reports.comparison(answer))
    if answer["value"]:
        raise typer.Exit(FOUND)


def _asked(client: AdminClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask a question. What it names and nobody knows is bad input: DocumentError with the member."""
    try:
        return client.post(path, body)
    except RefusedError as refused:
        if refused.status not in (400, 404):
            raise
        sentence = refused.sentence.removeprefix(f"{refused.target}: ")
        raise DocumentError(refused.target or "whatif", "", sentence, "see `tunneld policy whatif --help`") from None


def _candidate(place: Place, tenant: str, path: Path) -> list[dict[str, Any]]:
    """Return the changes of a policy folder, or of one file: KIND/NAME.json, as an export writes it."""
    if path.is_dir():
        return load_candidate(place, path, tenant)
    body, kind = read_body(path), path.resolve().parent.name
    with AdminClient(place, tenant) as client:
        kinds = client.get("/policies/export")["kinds"]
    if kind not in kinds:
        raise DocumentError(str(path), "", f"{kind!r} is no kind of policy object", "keep the file in a folder KIND/")
    key = kinds[kind]["key"]
    if not isinstance(body.get(key), str):
        raise DocumentError(str(path), key, "the object's id is missing", "write it into the file")
    return [{"kind": kind, "id": body[key], "body": body}]
