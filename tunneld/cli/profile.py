"""`tunneld profile`: check, compile and compare forwarding profiles without any program running."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tunneld.forwarding.compile import CompiledProfile, compile_profile
from tunneld.forwarding.diff import Change, diff
from tunneld.forwarding.document import ProfileDocument, load_profile
from tunneld.forwarding.lint import Finding, lint
from tunneld.forwarding.syntax import MAX_DOCUMENT
from tunneld.model.errors import DocumentError

BAD_INPUT = 2
FOUND = 1  # as diff(1) and linters have it: the command worked and has something to say

app = typer.Typer(no_args_is_help=True, help="Check, compile and compare forwarding profiles.")

Files = Annotated[list[Path], typer.Argument(metavar="FILE…", help="Profile documents, JSON or TOML; - is stdin.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def read_profile(path: Path) -> ProfileDocument:
    """Return the document in a file, or on stdin for ``-``. Raises DocumentError also where nothing can be read."""
    where = "stdin" if str(path) == "-" else str(path)
    try:
        if where == "stdin":
            return load_profile(sys.stdin.buffer.read(MAX_DOCUMENT + 1), where=where)
        with path.open("rb") as file:
            content = file.read(MAX_DOCUMENT + 1)
    except OSError as error:
        mend = "give the path of a profile document"
        raise DocumentError(where, "", error.strerror or "cannot be read", mend) from None
    return load_profile(content, where=where)


@app.command("lint")
def lint_files(files: Files, as_json: Json = False) -> None:
    """Report rules that never win, collide, take too much or leak. Exit status 1 where there is a warning."""
    found = [(path, lint(document)) for path, document in _read_all(files)]
    if as_json:
        _print_json([{"file": str(path), "findings": [each.to_json() for each in listed]} for path, listed in found])
    else:
        for path, findings in found:
            _print_findings(path, findings)
    if any(each.level == "warning" for _, findings in found for each in findings):
        raise typer.Exit(FOUND)


@app.command("compile")
def compile_files(files: Files, as_json: Json = False) -> None:
    """Compile each file as the daemon would, and say what is in it."""
    summaries = [_summary(path, document) for path, document in _read_all(files)]
    if as_json:
        _print_json(summaries)
        return
    for each in summaries:
        channels = ", ".join(f"{name} {count}" for name, count in each["rules_by_channel"].items()) or "none"
        typer.echo(
            f"{each['file']}: ok, profile {each['id']} version {each['version']} of {each['tenant']}: "
            f"{each['rules']:,} rules ({channels}), {each['destinations']:,} destinations, "
            f"compiled in {each['compile_ms']:.1f} ms"
        )


@app.command("diff")
def diff_files(
    a: Annotated[Path, typer.Argument(metavar="A", help="The profile as it is.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The profile as it shall be.")],
    as_json: Json = False,
) -> None:
    """List the destinations that take another way under B than under A. Exit status 1 where there are any."""
    before, after = (compile_profile(document) for _, document in _read_all([a, b]))
    changes = diff(before, after)
    if as_json:
        _print_json({"a": str(a), "b": str(b), "changes": [each.to_json() for each in changes]})
    else:
        _print_changes(changes)
    if changes:
        raise typer.Exit(FOUND)


@app.command("schema")
def schema(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE…]", help="Documents to check.")] = None,
    as_json: Json = False,
) -> None:
    """Print the JSON Schema of profile documents or, given files, check each against it and its references."""
    if not files:
        _print_json(profile_schema())
        return
    valid = [{"file": str(path), "valid": True} for path, _ in _read_all(files)]
    if as_json:
        _print_json(valid)
    else:
        for each in valid:
            typer.echo(f"{each['file']}: ok")


def profile_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a profile document."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **ProfileDocument.model_json_schema(by_alias=True)}


def _read_all(files: list[Path]) -> list[tuple[Path, ProfileDocument]]:
    """Read every file; where some are bad, print a line for each and stop with status 2."""
    read, bad = [], False
    for path in files:
        try:
            read.append((path, read_profile(path)))
        except DocumentError as error:
            bad = True
            typer.echo(str(error), err=True)
    if bad:
        raise typer.Exit(BAD_INPUT)
    return read


def _summary(path: Path, document: ProfileDocument) -> dict[str, Any]:
    begin = time.perf_counter()
    compiled: CompiledProfile = compile_profile(document)
    elapsed = time.perf_counter() - begin
    counts = Counter(rule.channel.value for rule in document.rules)
    return {
        "file": str(path),
        "id": compiled.id,
        "tenant": compiled.tenant,
        "version": compiled.version,
        "rules": len(document.rules),
        "rules_by_channel": dict(sorted(counts.items())),
        "destinations": len(compiled.candidates),
        "applications": len(document.applications),
        "channels": sorted(channel.value for channel in document.channels),
        "compile_ms": round(elapsed * 1000, 3),
    }


def _print_findings(path: Path, findings: list[Finding]) -> None:
    for each in findings:
        rule = f" [{each.rule}]" if each.rule else ""
        typer.echo(f"{path}: {each.path}{rule}: {each.level}: {each.kind}: {each.message}")
    counts = Counter(each.level for each in findings)
    typer.echo(f"{path}: {counts['warning']} warnings, {counts['info']} notes", err=True)


def _print_changes(changes: list[Change]) -> None:
    if not changes:
        typer.echo("no destination changes its way")
        return
    table = Table("destination", "protocol", "ports", "before", "after", box=None, pad_edge=False)
    for each in changes:
        cells = (
            each.destination,
            "/".join(each.protocols) or "all",
            ", ".join(each.ports) or "all",
            str(each.before),
            str(each.after),
        )
        table.add_row(*(escape(cell) for cell in cells))
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(table)


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
