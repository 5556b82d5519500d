"""The commands of a running daemon. Tables for people, `--json` for scripts; both from the same answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tunneld.cli import tables
from tunneld.cli.daemon_client import DaemonClient, RefusedError
from tunneld.client.explain import Surroundings, explanation, parse_destination, right_now, verdict_of
from tunneld.forwarding.compile import compile_profile
from tunneld.forwarding.document import load_profile
from tunneld.model.errors import DocumentError, PeerProtocolError

FAILED = 1
WIDE = 200
BAD_REQUESTS = {"malformed_request", "name_invalid", "name_too_long", "port_invalid", "unsupported_protocol"}

State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        help="State directory of the daemon. Default: $TUNNELD_STATE, else ~/.local/state/tunneld.",
        metavar="DIR",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of a table.")]


def status(state: State = None, as_json: Json = False) -> None:
    """Show the active tenant, its channels and its profile."""
    _show(DaemonClient(state).get("/v1/status"), as_json, tables.status)


def tenants(state: State = None, as_json: Json = False) -> None:
    """List the tenants that the user may switch to."""
    _show(DaemonClient(state).get("/v1/tenants"), as_json, tables.tenants)


def health(state: State = None, as_json: Json = False) -> None:
    """Check what a flow depends on, in the order in which to mend it. Exit status 1 if something is wrong."""
    answer = DaemonClient(state).get("/v1/health")
    _show(answer, as_json, tables.health)
    if not answer["healthy"]:
        raise typer.Exit(FAILED)


def flows(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with every flow that opens or ends.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=0, help="Only the newest N.", metavar="N")] = None,
    only: Annotated[
        str | None, typer.Option("--only", help="Only flows that are active, closed, terminated or refused.")
    ] = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """List flows, live and closed, with rule and reason: with --json one line a flow."""
    query = {"follow": "1" if follow else "0"}
    query |= {} if limit is None else {"limit": str(limit)}
    query |= {} if only is None else {"state": only}
    lines = _asking(DaemonClient(state).lines("GET", "/v1/flows", params=query, patient=follow))
    if as_json:
        for line in lines:
            typer.echo(json.dumps(line))
    elif follow:
        for line in lines:
            typer.echo(tables.flow_line(line))
    else:
        _console().print(tables.Flows(list(lines)))


def login(
    device: Annotated[
        bool, typer.Option("--device", help="Show a code to type on another device instead of opening a page here.")
    ] = False,
    step_up: Annotated[
        str | None,
        typer.Option(
            "--step-up", help="Sign in more strongly, as this application of the active tenant asks.",
            metavar="APPLICATION",
        ),
    ] = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Sign in with the home account, in a browser."""
    asked = {"device": device} if step_up is None else {"device": device, "application": step_up}
    result = _long_work(DaemonClient(state), "/v1/login", asked, as_json)
    if result.get("reason") is not None:
        _fail(f"not signed in: {result['reason']}", result.get("detail"))
    if step_up is not None and not as_json:
        typer.echo(f"{result['application']} is open to {result['username']} now")
    elif not as_json:
        typer.echo(f"signed in as {result['username']}; the active tenant is {result['tenant']}")


def logout(state: State = None, as_json: Json = False) -> None:
    """Sign out: forget every token, drop every tunnel."""
    answer = DaemonClient(state).post("/v1/logout")
    if as_json:
        typer.echo(json.dumps(answer))
    elif answer["username"] is None:
        typer.echo("nobody was signed in")
    else:
        typer.echo(f"{answer['username']} is signed out")


def switch(
    tenant: Annotated[str, typer.Argument(help="Short name or id, as `tunneld tenants` lists it.")],
    state: State = None,
    as_json: Json = False,
) -> None:
    """Switch to another tenant and print the receipt. Exit status 0 committed, 1 not."""
    receipt = _long_work(DaemonClient(state), "/v1/switch", {"tenant": tenant}, as_json)
    if not as_json:
        _console().print(tables.receipt(receipt))
    if not receipt.get("committed"):
        raise typer.Exit(FAILED)


def explain(
    destination: Annotated[
        str | None, typer.Argument(help="HOST or HOST:PORT, with /udp for UDP; port 443 unless given.", metavar="DEST")
    ] = None,
    flow: Annotated[str | None, typer.Option("--flow", help="Id of a flow, live or closed.", metavar="ID")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Ask as if this tenant were active.")] = None,
    profile: Annotated[
        Path | None, typer.Option("--profile", help="Ask this profile document; no daemon is needed.", metavar="FILE")
    ] = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Say where a destination goes, by which rule, and on what every other rule lost."""
    if (destination is None) == (flow is None):
        raise DocumentError("explain", "", "one of DEST and --flow is needed", "write `tunneld explain host:port`")
    if profile is not None and destination is not None:
        answer = _explain_offline(profile, destination)
    else:
        try:
            answer = DaemonClient(state).get("/v1/explain", destination=destination, flow=flow, tenant=tenant)
        except RefusedError as error:
            raise _bad_input(error) from None
    _show(answer, as_json, tables.explanation)


def _explain_offline(path: Path, destination: str) -> dict[str, Any]:
    try:
        text = path.read_bytes()
    except OSError as error:
        mend = "give the path of a profile document"
        raise DocumentError(str(path), "", f"cannot be read: {error.strerror}", mend) from None
    compiled = compile_profile(load_profile(text, where=str(path)))
    try:
        asked = parse_destination(destination)
    except PeerProtocolError as error:
        raise DocumentError(destination, "", str(error), "write host:port or host:port/udp") from None
    now = right_now(verdict_of(compiled, asked), asked, Surroundings())
    return explanation(compiled, asked) | {"tenant": compiled.tenant, "now": now}


def _long_work(client: DaemonClient, path: str, body: dict[str, Any], as_json: bool) -> dict[str, Any]:
    """Show every page that has to be answered on stderr, and return the result; with JSON, print it as well."""
    result: dict[str, Any] = {"reason": "internal_error", "detail": "the daemon ended the answer early"}
    for line in _asking(client.lines("POST", path, json=body, patient=True)):
        kind = line.pop("type", None)
        if kind == "interaction":
            code = f" and type the code {line['user_code']}" if line.get("user_code") else ""
            print(f"open {line['url']}{code}", file=sys.stderr, flush=True)  # noqa: T201 - not part of the answer
        else:
            result = line
    if as_json:
        typer.echo(json.dumps(result))
    return result


def _asking(lines: Any) -> Any:
    """Yield `lines`, with what the daemon calls malformed turned into bad input."""
    try:
        yield from lines
    except RefusedError as error:
        raise _bad_input(error) from None


def _bad_input(error: RefusedError) -> Exception:
    return DocumentError("request", "", str(error), "see --help") if error.reason in BAD_REQUESTS else error


def _show(answer: dict[str, Any], as_json: bool, table: Any) -> None:
    if as_json:
        typer.echo(json.dumps(answer))
    else:
        _console().print(table(answer))


def _console() -> Console:
    """Return the terminal, or lines long enough for a pager or a file that has no width."""
    # What the daemon reports is text: a destination in brackets is not a style.
    width = None if sys.stdout.isatty() else WIDE
    return Console(width=width, markup=False, emoji=False, highlight=False)


def _fail(message: str, detail: str | None) -> None:
    typer.echo(f"tunneld: {message}" + (f" ({detail})" if detail else ""), err=True)
    raise typer.Exit(FAILED)
