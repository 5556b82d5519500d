"""The pictures: ratios and costs of the forwarding systems, growth of classification."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.figures import paired_ratios, spread
from bench.headlines import OURS, REFERENCE, Row, headline

RATIOS = (
    ("bulk", "bulk,\nCPU per GiB"),
    ("short_1", "short flow,\nCPU, 1 alone"),
    ("short_32", "short flow,\nCPU, 32 together"),
    ("ping_p50", "64-byte echo,\np50"),
)
COLOURS = {
    OURS: "#0b6e4f", "tunneld-http": "#6fbf9b", REFERENCE: "#b0413e", "sing-box": "#3b5b92", "sing-box-mux": "#8fa8d4",
    "v2ray": "#7a4f9a", "pproxy": "#c98b2b",
}  # fmt: skip
OTHER = "#888888"


def matplotlib_missing() -> bool:
    """Tell whether pictures cannot be drawn here."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        return True
    return False


def _figure(columns: int, size: tuple[float, float]) -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "tunneld"  # the same picture from the same figures, byte by byte
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["font.size"] = 9
    from matplotlib import pyplot

    return pyplot.subplots(1, columns, figsize=size, layout="constrained")


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=110)
    pyplot.close(figure)


def draw_forward(result: Row, path: Path) -> None:
    """Draw ratios to the reference with their range, and CPU of client and edge apart."""
    names = [name for name in result["systems"] if name != "loopback"]
    figure, (left, middle, right) = _figure(3, (16, 5.2))
    _draw_ratios(left, result, names)
    _draw_parts(middle, result, names, ("bulk_up", "bulk_down"), "CPU-seconds per GiB, mean of up and down")
    _draw_parts(right, result, names, ("short_32",), "µs of CPU per short flow, 32 at a time")
    machine = result["machine"]
    figure.suptitle(
        f"Forwarding on {machine['cores']} cores, medians of {len(result['rounds'])} interleaved rounds "
        f"(commit {machine['commit']})"
    )
    _save(figure, path)


def _draw_ratios(axes: Any, result: Row, names: Sequence[str]) -> None:
    others = [name for name in names if name != REFERENCE]
    width = 0.8 / max(1, len(others))
    for place, name in enumerate(others):
        for group, (figure, _) in enumerate(RATIOS):
            values = paired_ratios(
                headline(result["rounds"], name, figure), headline(result["rounds"], REFERENCE, figure)
            )
            if not values:
                continue
            least, median, greatest = spread(values)
            middle = group + place * width - 0.4 + width / 2
            axes.bar(
                middle, median - 1, width * 0.92, bottom=1, color=COLOURS.get(name, OTHER),
                yerr=[[median - least], [greatest - median]], error_kw={"elinewidth": 0.8, "capsize": 1.5},
                label=name if group == 0 else None,
            )  # fmt: skip
    axes.axhline(1.0, color="black", linewidth=1)
    axes.margins(y=0.15)
    axes.set_yscale("log", base=2)
    axes.set_yticks([0.5, 0.7, 1, 1.4, 2, 4, 8, 16], ["0.5", "0.7", "1", "1.4", "2", "4", "8", "16"])
    axes.set_xticks(range(len(RATIOS)), [label for _, label in RATIOS])
    axes.set_ylabel("ratio to the Envoy pair of the same round")
    axes.legend(fontsize=8, loc="upper left")
    axes.set_title("Ratio to Envoy, down is better\n(bar: median, line: least to greatest round)")


def _draw_parts(axes: Any, result: Row, names: Sequence[str], measures: Sequence[str], title: str) -> None:
    client = [_median(result, name, measures, "client") for name in names]
    edge = [_median(result, name, measures, "edge") for name in names]
    colours = [COLOURS.get(name, OTHER) for name in names]
    axes.barh(names, client, color=colours, label="client")
    axes.barh(names, edge, left=client, color=colours, alpha=0.55, label="edge")
    for place, (a, b) in enumerate(zip(client, edge, strict=True)):
        axes.text(a + b, place, f" {a:.3g} + {b:.3g}", va="center", fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.set_title(f"{title}\n(solid: client, pale: edge)")


def _median(result: Row, name: str, measures: Sequence[str], part: str) -> float:
    totals = []
    for found in result["rounds"]:
        rows = [found[name][measure] for measure in measures]
        if all(part in row for row in rows):
            totals.append(sum(row[part] for row in rows) / len(rows))
    return spread(totals).median if totals else 0.0


def draw_classify(result: Row, path: Path) -> None:
    """Draw the cost of a decision over the number of rules, and what compiling takes."""
    figure, (left, right) = _figure(2, (11, 4.5))
    sizes = sorted(map(int, result["sizes"]))
    rows = [result["sizes"][str(size)] for size in sizes]
    lines = (("uncached_hit", "#b0413e", "-"), ("uncached_miss", "#b0413e", "--"), ("cached_hit", "#0b6e4f", "-"),
             ("cached_miss", "#0b6e4f", "--"))  # fmt: skip
    for name, colour, style in lines:
        left.plot(sizes, [row[f"{name}_ns"] for row in rows], style, color=colour, marker="o", ms=4, label=name)
    for goal, colour in ((1000, "#0b6e4f"), (5000, "#b0413e")):
        left.axhline(goal, color=colour, linewidth=0.8, linestyle=":")
        left.text(sizes[0], goal * 1.05, f"goal {goal:,} ns", fontsize=8, color=colour)
    left.set(xscale="log", yscale="log", xlabel="rules", ylabel="ns of CPU per decision", title="One decision")
    left.legend(fontsize=8)
    for name, colour in (("load_s", "#8fa8d4"), ("compile_s", "#3b5b92")):
        right.plot(sizes, [row[name] for row in rows], color=colour, marker="o", ms=4, label=name.removesuffix("_s"))
    right.set(xscale="log", yscale="log", xlabel="rules", ylabel="seconds of CPU", title="Making a profile ready")
    right.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(True, which="major", alpha=0.3)
    figure.suptitle(f"Classification (commit {result['machine']['commit']})")
    _save(figure, path)
