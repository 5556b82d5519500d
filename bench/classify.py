"""What a decision costs: nanoseconds for hit and miss, cached and not, from 10 to 100,000 rules; compile time; memory.

The rules come from `forwarding_profiles/generate.py`, the flows from the rules. Each number of rules is measured in a
process of its own, and the numbers take turns over several rounds, so that a busy minute spoils none of them alone.
Every host is a fresh string, as it is when it comes from a socket: Python keeps the hash of a string it has seen.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Sequence
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from bench import machine, results
from forwarding_profiles.generate import DOMAIN, SEED, make_profile
from tunneld.forwarding.candidates import CompiledRule
from tunneld.forwarding.classifier import Classifier
from tunneld.forwarding.compile import CompiledProfile, compile_profile
from tunneld.forwarding.destinations import Destination, Form, parse_destination
from tunneld.forwarding.document import load_profile
from tunneld.model.verdict import Protocol

Row = dict[str, Any]
Flow = tuple[str, int, Protocol]

DISTINCT = 1000  # destinations that a busy machine's programs talk to in an hour
DRAWN = 40_000  # flows timed at a time
MIX = {"name": 55, "wildcard": 20, "IPv4": 20, "IPv6": 5}  # what flows ask for, in hundredths


class Plan(NamedTuple):
    """How many rules, how often, and up to how many rules memory is traced (which takes five times as long)."""

    sizes: tuple[int, ...]
    rounds: int
    traced: int


FULL = Plan((10, 1_000, 10_000, 100_000), 5, 100_000)
SHORT = Plan((10, 1_000, 10_000), 2, 1_000)


def measure(plan: Plan) -> Row:
    """Run every round and return the result."""
    begin = time.monotonic()
    rounds = [{size: _in_child("times", size) for size in plan.sizes} for _ in range(plan.rounds)]
    memory = {size: _in_child("memory", size) for size in plan.sizes if 100 <= size <= plan.traced}
    sizes = {size: _summary([each[size] for each in rounds], memory.get(size)) for size in plan.sizes}
    small, large = sizes[plan.sizes[0]], sizes[plan.sizes[-1]]
    growth = {name: round(large[name] / small[name], 2) for name in small if name.endswith("_ns")}
    return {
        "machine": machine.facts(),
        "seconds": round(time.monotonic() - begin, 1),
        "plan": {"sizes": list(plan.sizes), "rounds": plan.rounds, "distinct_destinations": DISTINCT, "flows": DRAWN},
        "sizes": {str(size): row for size, row in sizes.items()},
        "growth": {"from": plan.sizes[0], "to": plan.sizes[-1], **growth},
        "rounds": rounds,
    }


def _summary(rows: Sequence[Row], memory: Row | None) -> Row:
    """Return the medians over the rounds."""
    medians = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    return {
        **{name: round(value, 4 if name.endswith("_s") else 0) for name, value in medians.items()},
        **(memory or {}),
    }


def _in_child(what: str, size: int) -> Row:
    """Measure in a fresh process, whose heap and caches know nothing of the other sizes."""
    command = [sys.executable, "-m", "bench.classify", "--child", what, "--rules", str(size)]
    done = subprocess.run(command, cwd=machine.REPOSITORY, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"measuring {size} rules failed: {done.stderr[-2000:]}")
    found: Row = json.loads(done.stdout)
    return found


def measure_times(size: int) -> Row:
    """Return compile times in seconds and decision times in nanoseconds of CPU for one number of rules."""
    text = _profile_text(size)
    begin = time.process_time()
    document = load_profile(text, where="made.json")
    loaded = time.process_time()
    profile = compile_profile(document)
    compiled = time.process_time()
    gc.collect()
    row = {"load_s": loaded - begin, "compile_s": compiled - loaded}
    uncached, cached = Classifier(profile, cache_size=0), Classifier(profile)
    for name, flows in (("hit", _hits(profile)), ("miss", _misses(profile))):
        drawn = _draw(flows)
        cold, warm, bare = ([] for _ in range(3))
        for _ in range(5):
            bare.append(_ns(_nothing, _fresh(drawn)))
            cold.append(_ns(uncached.classify, _fresh(drawn)))
            _ns(cached.classify, _fresh(drawn))  # fills the cache the first time
            warm.append(_ns(cached.classify, _fresh(drawn)))
        row[f"uncached_{name}_ns"] = statistics.median(cold) - statistics.median(bare)
        row[f"cached_{name}_ns"] = statistics.median(warm) - statistics.median(bare)
    return row


def measure_memory(size: int) -> Row:
    """Return the bytes per rule of the document, of the index, and of the peak while both are made."""
    text = _profile_text(size)
    gc.collect()
    tracemalloc.start()
    document = load_profile(text, where="made.json")
    gc.collect()
    after_load, peak_load = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    profile = compile_profile(document)
    gc.collect()
    after_compile, peak_compile = tracemalloc.get_traced_memory()
    assert len(profile.rules) == size
    return {
        "document_bytes_per_rule": round(after_load / size),
        "index_bytes_per_rule": round((after_compile - after_load) / size),
        "peak_bytes_per_rule": round(max(peak_load, peak_compile) / size),
    }


def _nothing(host: str, port: int, protocol: Protocol) -> None:
    """The cost of the loop and of a call, which is not the classifier's."""


def _ns(classify: Any, flows: list[Flow]) -> float:
    begin = time.process_time_ns()
    for host, port, protocol in flows:
        classify(host, port, protocol)
    return (time.process_time_ns() - begin) / len(flows)


def _draw(flows: list[Flow]) -> list[Flow]:
    """Draw many flows from the distinct ones; the n-th destination is as popular as 1/n, as in traces of DNS."""
    weights = [1 / rank for rank in range(1, len(flows) + 1)]
    return Random(7).choices(flows, weights, k=DRAWN)


def _fresh(flows: list[Flow]) -> list[Flow]:
    return [(host.encode().decode(), port, protocol) for host, port, protocol in flows]


def _profile_text(size: int) -> str:
    """Return a profile that has rules of every form, also where it has ten, so that all sizes see the same flows."""
    for seed in count(SEED):
        made = make_profile(size, seed)
        if {_form(parse_destination(each)) for rule in made["rules"] for each in rule["destinations"]} == MIX.keys():
            return json.dumps(made)
    raise AssertionError("an endless loop ended")


def _form(destination: Destination) -> str:
    return f"IPv{destination.version}" if destination.version else destination.form.name.lower()


def _hits(profile: CompiledProfile) -> list[Flow]:
    """Return flows that rules match: to their names, below their wildcards, into their blocks."""
    random = Random(1)
    targets: dict[str, list[tuple[CompiledRule, Destination]]] = {form: [] for form in MIX}
    for compiled in profile.rules.values():
        for destination in compiled.rule.destinations:
            targets[_form(destination)].append((compiled, destination))
    flows: list[Flow] = []
    for form in random.choices(list(MIX), list(MIX.values()), k=DISTINCT):
        compiled, destination = random.choice(targets[form])
        first, last = random.choice(compiled.merged) if compiled.merged else (443, 443)
        flow = (_host_of(random, destination), random.randint(first, last), random.choice(compiled.rule.protocols))
        assert profile.classify(*flow).rule_id is not None
        flows.append(flow)
    return flows


def _host_of(random: Random, destination: Destination) -> str:
    if destination.form is Form.NAME:
        return destination.text
    if destination.form is Form.WILDCARD:
        return f"host-{random.randrange(50)}.{destination.text}"
    address = random.randint(destination.start, destination.end)
    return str(ip_address(address if destination.version == 4 else address.to_bytes(16, "big")))


def _misses(profile: CompiledProfile) -> list[Flow]:
    """Return flows that no rule matches: public names and addresses, and unknown names of the company itself."""
    random = Random(2)
    flows: list[Flow] = []
    while len(flows) < DISTINCT:
        number = random.randrange(65_536)
        names = (
            f"www.site-{number}.example",
            f"cdn-{number}.eu-west.assets.provider.example",
            f"unknown-{number}.eu.{DOMAIN}",
        )
        address = f"203.0.{number % 256}.{number % 250}"
        hosts = {"name": names[0], "wildcard": random.choice(names), "IPv4": address, "IPv6": f"2001:db8:{number:x}::1"}
        form = random.choices(list(MIX), list(MIX.values()))[0]
        flow = (hosts[form], random.choice((80, 443)), random.choice((Protocol.TCP, Protocol.TCP, Protocol.UDP)))
        if profile.classify(*flow).rule_id is None:
            flows.append(flow)
    return flows


def classify_table(result: Row) -> str:
    """Return the result as a Markdown table."""
    lines = [
        "| rules | uncached hit / miss, ns | cached hit / miss, ns | load, s | compile, s | bytes a rule |",
        "|---|---|---|---|---|---|",
    ]
    for size, row in result["sizes"].items():
        memory = ""
        if "index_bytes_per_rule" in row:
            memory = f"document {row['document_bytes_per_rule']:,}, index {row['index_bytes_per_rule']:,}"
        lines.append(
            f"| {int(size):,} | {row['uncached_hit_ns']:,.0f} / {row['uncached_miss_ns']:,.0f} "
            f"| {row['cached_hit_ns']:,.0f} / {row['cached_miss_ns']:,.0f} "
            f"| {row['load_s']:.3f} | {row['compile_s']:.3f} | {memory} |"
        )
    growth = result["growth"]
    lines.append(
        f"\nFrom {growth['from']:,} to {growth['to']:,} rules: uncached hit x {growth['uncached_hit_ns']:.2f}, "
        f"miss x {growth['uncached_miss_ns']:.2f}, cached hit x {growth['cached_hit_ns']:.2f}, "
        f"miss x {growth['cached_miss_ns']:.2f}."
    )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, or measure one number of rules for it."""
    parser = argparse.ArgumentParser(prog="python -m bench.classify", description=__doc__)
    parser.add_argument("--short", action="store_true", help="the form for every commit: under a minute")
    parser.add_argument("--out", type=Path, help="write the result here instead of where the form belongs")
    parser.add_argument("--child", choices=("times", "memory"), help=argparse.SUPPRESS)
    parser.add_argument("--rules", type=int, default=10_000, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.child:
        print(json.dumps(measure_times(chosen.rules) if chosen.child == "times" else measure_memory(chosen.rules)))
        return 0
    result = measure(SHORT if chosen.short else FULL)
    print(classify_table(result))
    folder = results.LATEST if chosen.short else results.COMMITTED
    results.write(chosen.out or folder / "classify.json", result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
