"""`tunneld reasons`: the vocabulary of refusals, ends and verdicts."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tunneld.model.reasons import Reason


def reasons(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False) -> None:
    """List every reason with its kind and sentence.

    The same names stand in flow records, logs, `proxy-status`, receipts and sign-in refusals.
    """
    if as_json:
        rows = [{"reason": each.value, "kind": each.kind.value, "sentence": each.sentence} for each in Reason]
        typer.echo(json.dumps(rows))
        return
    width = max(len(each.value) for each in Reason)
    for each in Reason:
        typer.echo(f"{each.value:{width}}  {each.kind.value:15}  {each.sentence}")
