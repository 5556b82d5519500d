"""Writes the generated parts of bench/README.md from the result files; what people wrote around them stays."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bench import results
from bench.classify import classify_table
from bench.decisions import decisions_table
from bench.goals import (
    Goal,
    classify_goals,
    decisions_goals,
    forward_goals,
    goal_table,
    switch_goals,
    tokens_goals,
)
from bench.headlines import Row
from bench.switch import switch_table
from bench.tables import cost_table, idle_table, pace_table, profile_table, ratio_table, system_table
from bench.tokens import tokens_table

RESULTS = ("forward", "switch", "classify", "decisions", "tokens", "profile")
README = results.BENCH / "README.md"
NOTHING = "_Not measured yet._"


def fill(text: str, blocks: Mapping[str, str]) -> str:
    """Replace what lies between each block's markers. Raises KeyError for a block that the text has no place for."""
    for name, body in blocks.items():
        start, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        pattern = re.compile(re.escape(start) + r".*?" + re.escape(end), re.DOTALL)
        places = pattern.findall(text)
        if len(places) != 1:
            raise KeyError(f"{name}: {len(places)} places in the text")
        text = text.replace(places[0], f"{start}\n{body}\n{end}")
    return text


def blocks(found: Mapping[str, Row | None]) -> dict[str, str]:
    """Return every generated part, from the results that there are."""
    forward, switch, classify, decisions, tokens, profile = (found.get(name) for name in RESULTS)
    goals: list[Goal] = []
    goals += forward_goals(forward) if forward else []
    goals += classify_goals(classify) if classify else []
    goals += decisions_goals(decisions) if decisions else []
    goals += tokens_goals(tokens) if tokens else []
    goals += switch_goals(switch) if switch else []
    return {
        "machine": _machine(forward) if forward else NOTHING,
        "goals": goal_table(goals) if goals else NOTHING,
        "systems": system_table(forward) if forward else NOTHING,
        "ratios": ratio_table(forward) if forward else NOTHING,
        "costs": f"{cost_table(forward)}\n\n{pace_table(forward)}" if forward else NOTHING,
        "idle": idle_table(forward) if forward else NOTHING,
        "direct": _direct(forward) if forward else NOTHING,
        "classify": classify_table(classify) if classify else NOTHING,
        "decisions": decisions_table(decisions) if decisions else NOTHING,
        "tokens": tokens_table(tokens) if tokens else NOTHING,
        "switch": _switch(switch) if switch else NOTHING,
        "profile": profile_table(profile) if profile else NOTHING,
    }


def _direct(result: Row) -> str:
    return "\n\n".join((cost_table(result, "direct_"), pace_table(result, "direct_")))


def _machine(result: Row) -> str:
    machine = result["machine"]
    libraries = ", ".join(f"{name} {number}" for name, number in machine["libraries"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; Linux {machine['kernel']}; "
        f"Python {machine['python']}; {machine['openssl']}; {libraries}. Commit `{machine['commit']}`, "
        f"{machine['time']}; {len(result['rounds'])} rounds in {result['seconds']} s, load average at the end "
        f"{machine['load_average']}."
    )


def _switch(result: Row) -> str:
    cold = ", ".join(f"{row['whole_ms']:.0f} ms" for row in result["cold"])
    return (
        f"{switch_table(result)}\n\n{result['plan']['switches']} switches a row, there and back; the first two, when "
        f"tokens and connections had to be made, took {cold}. Commit `{result['machine']['commit']}`."
    )


def write(folder: Path = results.COMMITTED, readme: Path = README) -> None:
    """Bring the README up to date with the result files in the folder."""
    found = {name: results.read(folder / f"{name}.json") for name in RESULTS}
    readme.write_text(fill(readme.read_text(), blocks(found)))


if __name__ == "__main__":
    write()
