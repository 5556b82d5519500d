"""What people see of the daemon's answers. Nothing here decides anything."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from tunneld.model.reasons import reason_named

NARROW = 120  # below this a table of flows is columns of single letters
CONTINUED = " " * 11  # under the state: after the time and two spaces

_EDGE = re.compile(r"\b([0-9a-f]{8})(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(\.[a-z]+)\.[^\s:]+")
_FRACTION = re.compile(r"(T\d\d:\d\d:\d\d)\.\d+")

GOOD, BAD, DIM = "green", "red", "dim"
COLOURS = {
    "connected": GOOD, "connecting": "yellow", "degraded": "yellow", "unreachable": BAD, "unauthenticated": BAD,
    "disconnected": BAD, "tunnel": GOOD, "direct": "cyan", "block": BAD, "active": GOOD, "terminated": BAD,
    "refused": BAD, "won": GOOD,
}  # fmt: skip


def status(answer: dict[str, Any]) -> RenderableType:
    facts = _grid()
    facts.add_row("state", _coloured(answer["state"]))
    facts.add_row("organization", answer["organization"] or "-")
    facts.add_row("tenant", f"{answer['tenant'] or '-'} (home: {answer['home'] or '-'}), epoch {answer['epoch']}")
    facts.add_row("user", answer["user"] or "nobody; run `tunneld login`")
    profile = answer["profile"]
    facts.add_row("profile", _profile(profile) if profile else "none")
    facts.add_row("flows", str(answer["flows"]))
    for waiting in answer["step_up"]:
        facts.add_row("step-up", f"{waiting['name']}: run tunneld login --step-up {shlex.quote(waiting['name'])}")
    if not answer["channels"]:
        return facts
    channels = _table("channel", "state", "since", "edge")
    for name, channel in answer["channels"].items():
        why = f"\nreason: {channel['reason']}" if channel["reason"] else ""
        row = (name, _coloured(channel["state"]), _short(channel["since"]), _short(channel["edge"]) + why)
        channels.add_row(*row)
    return Group(facts, Text(), channels)


def tenants(answer: dict[str, Any]) -> RenderableType:
    table = _table("", "name", "organization", "user type", "id")
    for tenant in answer["tenants"]:
        mark = "●" if tenant["active"] else ""
        kind = "home" if tenant["home"] else tenant["user_type"].lower()
        table.add_row(mark, tenant["name"], tenant["display_name"], kind, tenant["id"])
    if not answer["guest_access_enabled"]:
        return Group(table, Text("External user access is off on this machine: no other tenant is looked for.", DIM))
    return table


def health(answer: dict[str, Any]) -> RenderableType:
    table = _table("", "check", "detail")
    for check in answer["checks"]:
        table.add_row(Text("ok", GOOD) if check["ok"] else Text("NO", BAD), check["check"], _short(check["detail"]))
    return table


class Flows:
    """Flows as a table where the terminal is wide enough for it, else in lines that are not cut inside a word."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        table = _flow_table(self._lines)
        width = options.max_width
        natural = Measurement.get(console, options.update(width=10 * width), table).maximum
        if width >= NARROW and natural <= width:
            yield table
        else:
            yield from _flow_lines(self._lines, width)


def _flow_table(lines: list[dict[str, Any]]) -> Table:
    table = _table(
        "begin", "state", "destination", "action", "tenant", "channel", "rule", "sent", "received", "reason", "flow id"
    )
    for flow in lines:
        table.add_row(
            _time(flow["begin"]), _coloured(flow["state"]), f"{flow['destination']}:{flow['port']}",
            _coloured(flow["action"] or "-"), f"{flow['tenant'] or '-'}/{flow['epoch']}", flow["channel"] or "-",
            flow["rule_id"] or "-", str(flow["bytes_sent"]), str(flow["bytes_received"]), flow["reason"] or "",
            flow["flow_id"],
        )  # fmt: skip
    return table


def _flow_lines(lines: list[dict[str, Any]], width: int) -> Iterator[Text]:
    """Yield one aligned line a flow; where some do not fit, the second half of each stands below the first."""
    firsts = _aligned(
        (f"{flow['begin'][11:19]}Z", flow["state"], f"{flow['destination']}:{flow['port']}",
         f"{flow['action'] or '-'}/{flow['channel'] or '-'}", f"{flow['tenant'] or '-'}/{_or_dash(flow['epoch'])}")
        for flow in lines
    )  # fmt: skip
    seconds = _aligned(
        (flow["reason"] or "-", f"{flow['bytes_sent']}/{flow['bytes_received']}", flow["flow_id"]) for flow in lines
    )
    pairs = list(zip(firsts, seconds, strict=True))
    fits = all(len(first) + 2 + len(second) <= width for first, second in pairs)
    for flow, (first, second) in zip(lines, pairs, strict=True):
        line = Text(f"{first}  {second}" if fits else f"{first.rstrip()}\n{CONTINUED}{second}")
        line.stylize(COLOURS.get(flow["state"], ""), len(CONTINUED), len(CONTINUED) + len(flow["state"]))
        yield line


def _aligned(rows: Iterator[tuple[str, ...]]) -> list[str]:
    cells = list(rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]


def flow_line(flow: dict[str, Any]) -> str:
    """Return one flow as one line, for following."""
    where = f"{flow['tenant'] or '-'}/{flow['epoch']} {flow['channel'] or '-'} {flow['rule_id'] or '-'}"
    size = f"{flow['bytes_sent']}>{flow['bytes_received']}<"
    return (
        f"{_time(flow['begin'])} {flow['state']:10} {flow['action'] or '-':7} {flow['destination']}:{flow['port']} "
        f"{where} {size} {flow['reason'] or '-'} {flow['flow_id']}"
    )


def receipt(answer: dict[str, Any]) -> RenderableType:
    facts = _grid()
    done = Text("committed", GOOD) if answer.get("committed") else Text(f"not committed: {answer['reason']}", BAD)
    facts.add_row("switch", Text(f"{answer.get('from') or '-'} → {answer.get('to') or '-'}  ") + done)
    if answer.get("detail"):
        facts.add_row("because", answer["detail"])
    if not answer.get("committed"):
        return facts
    phases, counts = answer["phases"], answer["flows"]
    facts.add_row("epoch", str(answer["epoch"]))
    facts.add_row("times", "  ".join(f"{name[:-3]} {ms:.1f} ms" for name, ms in phases.items() if ms is not None))
    facts.add_row("flows", "  ".join(f"{count} {name}" for name, count in counts.items()))
    after = answer["old_epoch_bytes_after_commit"]
    shown = "unknown: an edge did not answer" if after is None else f"{after} (counted by the edges)"
    facts.add_row("bytes after the commit", shown)
    return facts


def explanation(answer: dict[str, Any]) -> RenderableType:
    facts = _grid()
    asked = f"{answer['destination']}:{answer['port']}/{answer['protocol']}"
    flow = answer.get("flow")
    refused = flow is not None and flow["state"] == "refused"
    facts.add_row(asked, _coloured("refused" if refused else answer["verdict"] or "-"))
    facts.add_row("reason", answer["reason"] or "-")
    if flow is not None and flow.get("detail"):
        facts.add_row("because", flow["detail"])
    rule = answer["rule"]
    if answer.get("now"):
        facts.add_row("a flow now:", _now(answer["now"]))
    facts.add_row("rule", _rule(rule) if rule else "none matched")
    if rule and rule["application"]:
        facts.add_row("application", rule["application"])
    facts.add_row("channel", f"{answer['channel'] or '-'} {answer.get('channel_state') or ''}".rstrip())
    facts.add_row("tenant", f"{answer['tenant'] or '-'}, epoch {_or_dash(answer['epoch'])}")
    if answer.get("token_state"):
        facts.add_row("token", answer["token_state"])
    parts: list[RenderableType] = [facts]
    for title, rows in (("candidates", answer["candidates"]), ("near misses", answer.get("near_misses"))):
        if rows:
            table = _table(title, "outcome", "because")
            for row in rows:
                table.add_row(row["rule"], _coloured(row.get("outcome", "missed")), row["because"])
            parts += [Text(), table]
    return Group(*parts)


def _profile(profile: dict[str, Any]) -> str:
    age = "of the last run" if profile["age_s"] is None else f"{profile['age_s']:.0f} s old"
    return f"{profile['id']} version {profile['version']}, {age}"


def _now(now: dict[str, str]) -> Text:
    reason = reason_named(now["reason"])
    sentence = f": {reason.sentence}" if reason else ""
    return _coloured(now["outcome"]) + f", {now['reason']}{sentence}"


def _rule(rule: dict[str, Any]) -> str:
    return rule["id"] if rule["priority"] is None else f"{rule['id']} (priority {rule['priority']})"


def _short(text: str) -> str:
    """Return `text` with times to the second and edges as tenant and channel: the whole is in the JSON."""
    return _EDGE.sub(r"\1…\2", _FRACTION.sub(r"\1", text))


def _coloured(word: str) -> Text:
    return Text(word, COLOURS.get(word, ""))


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)


def _time(text: str) -> str:
    """Return the time of day of an RFC 3339 text, to the millisecond."""
    return text[11:23]


def _grid() -> Table:
    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(style=DIM)
    grid.add_column(overflow="fold")
    return grid


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
