"""Make a large, realistic forwarding profile: `python forwarding_profiles/generate.py [RULES] > profile.json`.

The same number of rules and seed give the same profile, so that tests and benchmarks make it when they need it and
nothing of 3 MiB is kept in the repository. The mix is that of a company that moved off a VPN: mostly single names on
443, some wildcards, networks of every size that overlap each other, ranges, a little IPv6, a few Quick Access rules
that cover nearly everything, an Internet channel with exceptions and a Microsoft channel.
"""

from __future__ import annotations

import json
import sys
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Any

SEED = 20240229
DEPARTMENTS = ("finance", "hr", "sales", "plant", "lab", "it", "legal", "logistics")
REGIONS = ("eu", "us", "apac")
SERVICES = ("app", "api", "db", "git", "wiki", "portal", "report", "build", "mail", "files")
DOMAIN = "corp.contoso.example"

# (weight, ports): most private applications speak TLS on one port.
PORTS: tuple[tuple[int, list[int | str]], ...] = (
    (40, [443]),
    (20, [80, 443]),
    (8, [22]),
    (6, [3389]),
    (5, [1433, 1521, 3306, 5432]),
    (6, ["8000-8100"]),
    (5, [443, 8443, "9000-9010", "10000-10100"]),
    (3, ["49152-65535"]),
    (7, []),
)
PROTOCOLS = ((72, ["tcp"]), (23, ["tcp", "udp"]), (5, ["udp"]))
PREFIXES = ((30, 32), (25, 29), (30, 26), (12, 24), (2, 20), (1, 16))
PRIORITIES = ((10, 100), (20, 200), (15, 500), (55, 1000))
FORMS = ((52, "names"), (14, "wildcards"), (20, "networks"), (10, "ranges"), (4, "ipv6"))


def make_profile(rules: int, seed: int = SEED) -> dict[str, Any]:
    """Return a profile document with exactly this many rules."""
    random = Random(seed)
    applications = max(1, rules // 5)
    return {
        "schema": 1,
        "id": f"contoso-{rules}",
        "tenant": "contoso",
        "version": 1,
        "assignments": {"user_types": ["member"]},
        "channels": {
            channel: {"edge": f"contoso.{channel}.edge.tunneld.test:443"}
            for channel in ("private", "internet", "microsoft")
        },
        "applications": [
            *({"id": f"app-{number}", "name": f"Application {number}"} for number in range(applications)),
            {"id": "quick", "name": "Quick Access", "kind": "quick_access"},
        ],
        "rules": [_rule(random, number, applications) for number in range(rules)],
        "private_dns": {"suffixes": [DOMAIN]},
    }


def _rule(random: Random, number: int, applications: int) -> dict[str, Any]:
    rule: dict[str, Any] = {"id": f"rule-{number:06}"}
    draw = random.random()
    if draw < 0.88:
        quick = random.random() < 0.003
        rule |= {"channel": "private", "application": "quick" if quick else f"app-{random.randrange(applications)}"}
        if quick:
            return rule | {"destinations": [f"*.{random.choice(DEPARTMENTS)}.{DOMAIN}", f"10.{number % 256}.0.0/16"]}
    elif draw < 0.96:
        rule |= {"channel": "internet", "action": _pick(random, ((60, "tunnel"), (30, "bypass"), (10, "block")))}
    else:
        rule |= {"channel": "microsoft", "action": _pick(random, ((80, "tunnel"), (20, "bypass")))}
    rule["priority"] = _pick(random, PRIORITIES)
    rule["destinations"] = _destinations(random, number, public=draw >= 0.88)
    rule["ports"] = _pick(random, PORTS)
    rule["protocols"] = _pick(random, PROTOCOLS)
    return rule


def _destinations(random: Random, number: int, *, public: bool) -> list[str]:
    form = _pick(random, FORMS)
    count = random.choice((1, 1, 1, 2, 3))
    if form == "names":
        return [_name(random, f"{number}-{each}" if each else str(number), public=public) for each in range(count)]
    if form == "wildcards":
        return [f"*.{_name(random, str(number), public=public)}"]
    if form == "networks":
        return [_network(random, public=public) for _ in range(count)]
    if form == "ranges":
        first = _address(random, public=public)
        return [f"{IPv4Address(first)}-{IPv4Address(first + random.randrange(1, 200))}"]
    return [f"{IPv6Address((0xFD00_00C0 << 96) | (random.getrandbits(32) << 64))}/64"]


def _name(random: Random, unique: str, *, public: bool) -> str:
    service = random.choice(SERVICES)
    if public:
        return f"{service}-{unique}.cloud.example"
    return f"{service}-{unique}.{random.choice(REGIONS)}.{random.choice(DEPARTMENTS)}.{DOMAIN}"


def _address(random: Random, *, public: bool) -> int:
    return (198 << 24 | 18 << 16) + random.getrandbits(17) if public else (10 << 24) + random.getrandbits(24) % 0xFFFF00


def _network(random: Random, *, public: bool) -> str:
    prefix = _pick(random, PREFIXES)
    address = _address(random, public=public) >> (32 - prefix) << (32 - prefix)
    return f"{IPv4Address(address)}/{prefix}"


def _pick(random: Random, table: tuple[tuple[int, Any], ...]) -> Any:
    return random.choices([value for _, value in table], [weight for weight, _ in table])[0]


def main() -> None:
    """Print a profile with as many rules as the first argument says; 10,000 without one."""
    rules = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    json.dump(make_profile(rules), sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
