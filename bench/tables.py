"""Results as Markdown tables, which read well in a terminal too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.figures import spread
from bench.headlines import REFERENCE, Row, headline

Cells = Sequence[str]
NOT_MEASURED = "-"
SHOWN = 8  # functions of a profile


def table(head: Cells, rows: Iterable[Cells]) -> str:
    """Return a Markdown table; the first column is text, the rest are figures."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    texts = ["| " + " | ".join(_aligned(line, widths)) + " |" for line in lines]
    rule = "|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|"
    return "\n".join([texts[0], rule, *texts[1:]])


def _aligned(line: Cells, widths: Sequence[int]) -> list[str]:
    rest = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
    return [line[0].ljust(widths[0]), *rest]


def _median(rounds: Sequence[Mapping[str, Row]], system: str, measure: str, part: str) -> float | None:
    values = [found[system][measure][part] for found in rounds if part in found.get(system, {}).get(measure, {})]
    return spread(values).median if values else None


def _pair(rounds: Sequence[Mapping[str, Row]], system: str, measure: str, digits: int) -> str:
    client, edge = (_median(rounds, system, measure, part) for part in ("client", "edge"))
    return NOT_MEASURED if client is None or edge is None else f"{client:.{digits}f} / {edge:.{digits}f}"


def _rate(rounds: Sequence[Mapping[str, Row]], system: str, measure: str, part: str) -> str:
    value = _median(rounds, system, measure, part)
    return NOT_MEASURED if value is None else f"{value:,.0f}"


def ratio_table(result: Row) -> str:
    """Return the ratios to the reference, with least and greatest round."""
    names = [name for name in result["systems"] if name != "loopback"]
    shown = ("bulk", "short_1", "short_32", "ping_p50", "ping_p99")
    return table(
        ("ratio to Envoy (min to max)", "bulk CPU", "short flow CPU, 1", "short flow CPU, 32", "ping p50", "ping p99"),
        [(name, *(_ratio(result["rounds"], name, figure) for figure in shown)) for name in names],
    )


def _ratio(rounds: Sequence[Mapping[str, Row]], system: str, figure: str) -> str:
    pairs = zip(headline(rounds, system, figure), headline(rounds, REFERENCE, figure), strict=True)
    values = [ours / theirs for ours, theirs in pairs if ours is not None and theirs]
    if not values:
        return NOT_MEASURED
    least, median, greatest = spread(values)
    return f"{median:.2f} ({least:.2f} to {greatest:.2f})"


def cost_table(result: Row, prefix: str = "") -> str:
    """Return what each system spends, client / edge; with the prefix `direct_`, on flows that no rule tunnels."""
    rounds = result["rounds"]
    names = [name for name in result["systems"] if any(prefix + "ping" in found.get(name, {}) for found in rounds)]
    digits = (("bulk_up", 2), ("bulk_down", 2), ("short_1", 0), ("short_32", 0), ("ping", 1))
    head = (
        "CPU client / edge", "bulk up, s/GiB", "bulk down, s/GiB", "short flow, 1, µs", "short flow, 32, µs",
        "round trip, µs",
    )  # fmt: skip
    return table(head, [(name, *(_pair(rounds, name, prefix + measure, n) for measure, n in digits)) for name in names])


def pace_table(result: Row, prefix: str = "") -> str:
    """Return rates and latencies: they depend on the machine and on what else it does."""
    rounds = result["rounds"]
    names = [name for name in result["systems"] if any(prefix + "ping" in found.get(name, {}) for found in rounds)]
    columns = (
        ("bulk_up", "mib_per_s"), ("bulk_down", "mib_per_s"), ("short_1", "flows_per_s"), ("short_32", "flows_per_s"),
        ("short_32", "p99_us"), ("ping", "p50_us"), ("ping", "p99_us"),
    )  # fmt: skip
    head = (
        "pace", "up, MiB/s", "down, MiB/s", "flows/s, 1", "flows/s, 32", "flow p99, 32, µs", "ping p50, µs",
        "ping p99, µs",
    )  # fmt: skip
    return table(
        head, [(name, *(_rate(rounds, name, prefix + measure, part) for measure, part in columns)) for name in names]
    )


def idle_table(result: Row) -> str:
    """Return KiB of resident memory for each idle flow, client / edge."""
    rounds = result["idle_rounds"]
    counts = [str(count) for count in result["plan"]["idle"]]
    names = [name for name in result["systems"] if any(found.get(name) for found in rounds)]

    def cell(name: str, count: str) -> str:
        client, edge = (_median(rounds, name, count, part) for part in ("client_kib", "edge_kib"))
        if client is not None and edge is not None:
            return f"{client:.1f} / {edge:.1f}"
        why = next((found[name][count].get("unmeasured") for found in rounds if count in found.get(name, {})), None)
        return f"{NOT_MEASURED} ({why})" if why else NOT_MEASURED

    return table(
        ("KiB per idle flow, client / edge", *(f"{int(count):,} flows" for count in counts)),
        [(name, *(cell(name, count) for count in counts)) for name in names],
    )


def system_table(result: Row) -> str:
    """Return who took part, and who did not and why."""
    rows = [
        (name, row["title"], row["version"], row["inbound"], row["cipher"] or NOT_MEASURED, row["checks"])
        for name, row in result["systems"].items()
    ]
    rows += [(name, f"left out: {why}", *[NOT_MEASURED] * 4) for name, why in result["left_out"].items()]
    return table(("system", "what", "version", "inbound", "TLS", "checked for each flow"), rows)


def forward_table(result: Row) -> str:
    """Return all tables of the forwarding benchmark."""
    parts = [ratio_table(result), cost_table(result), pace_table(result), idle_table(result)]
    if result["plan"]["direct"]:
        parts += ["Flows that no rule tunnels:", cost_table(result, "direct_"), pace_table(result, "direct_")]
    parts += [f"{name} is left out: {why}" for name, why in result["left_out"].items()]
    return "\n\n".join(parts)


def profile_table(result: Row) -> str:
    """Return the functions in which most samples fell, for each workload, daemon and edge side by side."""
    parts = []
    for title, programs in result["workloads"].items():
        tops = [list(found["own"].items())[:SHOWN] for found in programs.values()]
        rows = [(f"`{a}`", f"{x:.1%}", f"`{b}`", f"{y:.1%}") for (a, x), (b, y) in zip(*tops, strict=False)]
        parts.append(f"{title}:\n\n" + table(("in the daemon", "share", "in the edge", "share"), rows))
    return "\n\n".join(parts)
