"""How plans, decisions and reports read on a terminal. Nothing here decides anything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tunneld.policy.plan import Action, Step

SIGNS = {Action.CREATE: ("+", "green"), Action.CHANGE: ("~", "yellow"), Action.DELETE: ("-", "red")}
EFFECTS = {"pass": "green", "block": "red", "interrupt": "yellow", "report": "cyan"}
CHANGES = {"gains": "green", "loses": "red", "refusedOtherwise": "yellow"}


def plan_lines(tenant: str, steps: Sequence[Step]) -> Iterator[Text]:
    """Yield a plan as a diff: a line an object, a line a member that differs."""
    if not steps:
        yield Text(f"{tenant}: nothing to do", "dim")
        return
    counts = {action: sum(step.action is action for step in steps) for action in Action}
    yield Text(
        f"{tenant}: {counts[Action.CREATE]} to create, {counts[Action.CHANGE]} to change, "
        f"{counts[Action.DELETE]} to delete", "bold",
    )
    for step in steps:
        sign, colour = SIGNS[step.action]
        name = step.id if step.name == step.id else f"{step.name} ({step.id})"
        yield Text(f"{sign} {step.kind} {name}", colour)
        for member in step.members:
            if step.action is Action.CREATE:
                yield Text(f"    {member.path}: {_value(member.new)}")
            else:
                yield Text(f"    {member.path}: {_value(member.old)} → {_value(member.new)}")


def decision(answer: Mapping[str, Any]) -> RenderableType:
    """Return a what-if answer: what happens, why, and each step that was looked at."""
    parts: list[RenderableType] = [_verdict("now", answer)]
    candidate = answer.get("withCandidate")
    if candidate:
        parts.append(_verdict("with the candidate", candidate))
    shown = candidate or answer
    parts += [Text(), _trace(shown["decisionTrace"])]
    if shown["appliedConditionalAccessPolicies"]:
        parts += [Text(), _policies(shown["appliedConditionalAccessPolicies"])]
    return Group(*parts)


def comparison(answer: Mapping[str, Any]) -> RenderableType:
    """Return a replay's report: the counts, then who gains or loses what, and by which step."""
    summary = answer["summary"]
    head = Text(
        f"{summary['signInsReplayed']} sign-ins asked again, {summary['signInsUnchanged']} unchanged; "
        f"{summary['usersLosing']} people lose, {summary['usersGaining']} gain, "
        f"{summary['usersRefusedOtherwise']} are refused otherwise",
        "bold",
    )
    if not answer["value"]:
        return Group(head, Text("nobody gains or loses anything", "dim"))
    table = _table("change", "who", "tenant", "application", "sign-ins", "before", "after")
    for row in answer["value"]:
        table.add_row(
            Text(row["change"], CHANGES[row["change"]]), row["userPrincipalName"], row["tenant"], row["application"],
            str(row["count"]), row["before"], row["after"],
        )
    cut = [Text("and more rows than are shown", "dim")] if answer["truncated"] else []
    return Group(head, Text(), table, *cut)


def ghosts(tenant: str, answer: Mapping[str, Any]) -> RenderableType:
    """Return the guests whom nobody has seen."""
    if not answer["value"]:
        return Text(f"{tenant}: no guest is unseen for {answer['days']} days", "dim")
    table = _table("guest", "state", "last sign-in", "days", "object id")
    for row in answer["value"]:
        days = "never" if row["daysSinceLastSignIn"] is None else str(row["daysSinceLastSignIn"])
        state = row["externalUserState"] or ("enabled" if row["accountEnabled"] else "disabled")
        table.add_row(row["userPrincipalName"], state, row["lastSignInDateTime"] or "-", days, row["id"])
    return Group(Text(f"{tenant}: unseen for {answer['days']} days", "bold"), table)


def synchronization(answer: Mapping[str, Any]) -> RenderableType:
    """Return the report of a cycle or of a dry run."""
    counts = ", ".join(f"{count} {action}" for action, count in sorted(answer["counts"].items()) if count)
    head = Text(f"{answer['status']}: {counts or 'nobody'}", "bold")
    steps = [step for step in answer["steps"] if step["action"] != "skip"]
    if answer.get("error"):
        return Group(head, Text(answer["error"], "red"))
    if not steps:
        return Group(head, Text("nothing to do", "dim"))
    table = _table("action", "account", "because")
    for step in steps:
        table.add_row(step["action"], step["name"], step["reason"])
    return Group(head, table)


def findings(tenant: str, rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return a linter's findings."""
    if not rows:
        return Text(f"{tenant}: nothing found", "dim")
    table = _table("severity", "rule", "about", "what is wrong", "mend")
    for row in rows:
        about = ", ".join([*row["policies"], *row["lockedOut"]])
        colour = "red" if row["severity"] == "lockout" else "yellow"
        table.add_row(Text(row["severity"], colour), row["rule"], about, row["message"], row["mend"])
    return Group(Text(tenant, "bold"), table)


def _verdict(title: str, answer: Mapping[str, Any]) -> Text:
    granted = answer["decision"] == "grant"
    line = Text(f"{title}: ") + Text("granted" if granted else "refused", "green" if granted else "red")
    if not granted:
        line += Text(f", AADSTS{answer['errorCode']} ({answer['reason']}): {answer['failureReason']}")
        line += Text(f"\n  decided by {answer['decidedBy']}")
        interaction = answer.get("interaction")
        if interaction:
            line += Text(f"\n  the user could still do this: {interaction['task']} at {interaction['place']}", "yellow")
    return line


def _trace(steps: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("step", "check", "tenant", "effect", "setting", "from", "rule")
    for step in steps:
        table.add_row(
            step["step"], step["check"], step["tenant"], Text(step["effect"], EFFECTS.get(step["effect"], "")),
            step.get("setting", ""), step.get("source", ""), step["rule"],
        )
    return table


def _policies(policies: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("Conditional Access policy", "result", "controls")
    for policy in policies:
        controls = [*policy["enforcedGrantControls"], *policy["enforcedSessionControls"]]
        table.add_row(policy["displayName"], policy["result"], ", ".join(controls))
    return table


def _value(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= 400 else f"{text[:400]}…"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
