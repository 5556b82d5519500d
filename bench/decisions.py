"""What a sign-in decision costs: microseconds of CPU with 1, 100 and 10,000 partners and a hundred policies.

Each number of partners is measured in a process of its own, and the numbers take turns over several rounds. The
decisions are those of a busy tenant: its own people, guests of partners, guests of nobody in particular, and some who
are refused. All of them pass every step up to the one that ends them, with the hundred Conditional Access policies of
a large organization in force.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

from bench import machine, results
from tunneld.policy.directory import (
    DAEMON_CLIENT,
    Application,
    Assignments,
    Client,
    Directory,
    ExternalState,
    Tenant,
    User,
    UserType,
)
from tunneld.policy.facts import MethodUse, SessionFacts, Surroundings
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, ObjectRef
from tunneld.policy.overlay import put_objects
from tunneld.policy.sign_in import Grant, SessionProof, SignInRequest, evaluate

Row = dict[str, Any]

POLICIES = 100
DECISIONS = 5_000  # timed at a time
PEOPLE = 50  # of each home tenant that is asked for
NOW = 1_000_000
RESOURCE = "22222222-0000-4000-8000-000000000000"
APP = "eeeeeeee-0000-4000-8000-000000000001"
EVERYBODY = Assignments(user_types=frozenset({"member", "guest"}))


class Plan(NamedTuple):
    """How many partners, and how often."""

    sizes: tuple[int, ...]
    rounds: int


FULL = Plan((1, 100, 10_000), 5)
SHORT = Plan((1, 100, 10_000), 2)


def measure(plan: Plan) -> Row:
    """Run every round and return the result."""
    begin = time.monotonic()
    rounds = [{size: _in_child(size) for size in plan.sizes} for _ in range(plan.rounds)]
    sizes = {
        size: {name: round(statistics.median(each[size][name] for each in rounds), 2) for name in rounds[0][size]}
        for size in plan.sizes
    }
    small, large = sizes[plan.sizes[0]], sizes[plan.sizes[-1]]
    for row in sizes.values():
        row["per_second"] = round(1e6 / row["decision_us"])
    return {
        "machine": machine.facts(),
        "seconds": round(time.monotonic() - begin, 1),
        "plan": {
            "sizes": list(plan.sizes), "rounds": plan.rounds, "policies": POLICIES, "decisions": DECISIONS,
        },
        "sizes": {str(size): row for size, row in sizes.items()},
        "growth": {
            "from": plan.sizes[0], "to": plan.sizes[-1],
            "decision_us": round(large["decision_us"] / small["decision_us"], 2),
        },
        "rounds": rounds,
    }


def _in_child(partners: int) -> Row:
    """Measure in a fresh process, whose heap and caches know nothing of the other sizes."""
    command = [sys.executable, "-m", "bench.decisions", "--child", str(partners)]
    done = subprocess.run(command, cwd=machine.REPOSITORY, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"measuring {partners} partners failed: {done.stderr[-2000:]}")
    found: Row = json.loads(done.stdout)
    return found


def measure_decisions(partners: int) -> Row:
    """Return the CPU time of a decision, and of putting the partners in, for one number of partners."""
    begin = time.process_time()
    directory = make_directory(partners)
    put = time.process_time() - begin
    questions = list(islice(cycle(make_questions(directory)), DECISIONS))
    granted = sum(isinstance(evaluate(question, directory, NOW), Grant) for question in questions)
    assert 0.4 * DECISIONS < granted < 0.9 * DECISIONS, f"{granted} of {DECISIONS} granted: not the mix that is meant"
    gc.collect()
    times = []
    for _ in range(5):
        begin_ns = time.process_time_ns()
        for question in questions:
            evaluate(question, directory, NOW)
        times.append((time.process_time_ns() - begin_ns) / DECISIONS / 1000)
    return {"decision_us": round(statistics.median(times), 2), "put_s": round(put, 3)}


def partner_id(number: int) -> str:
    """Return the id of a partner tenant."""
    return f"{number:08x}-0000-4000-8000-00000000000a"


def make_directory(partners: int) -> Directory:
    """Return a directory with one tenant that is visited, one partner's people and those of no partner."""
    visitors = (partner_id(0), partner_id(partners))  # the same questions whatever the number: a partner, a stranger
    guests: dict[str, User] = {}
    tenants: dict[str, Tenant] = {}
    for tenant_id in visitors:
        people = {}
        for number in range(PEOPLE):
            user = _user(f"{tenant_id[:8]}-1111-4000-8000-{number:012x}", UserType.MEMBER)
            people[user.oid] = user
            guest = _user(f"{tenant_id[:8]}-2222-4000-8000-{number:012x}", UserType.GUEST, (tenant_id, user.oid))
            guests[guest.oid] = guest
        tenants[tenant_id] = Tenant(tenant_id, tenant_id, tenant_id, (), people, {}, (), {})
    own = [_user(f"ffffffff-3333-4000-8000-{number:012x}", UserType.MEMBER) for number in range(PEOPLE)]
    application = Application(APP, "App", EVERYBODY)
    users = {**guests, **{user.oid: user for user in own}}
    tenants[RESOURCE] = Tenant(RESOURCE, "resource", "Resource", (), users, {APP: application}, (), {})
    visits = {guest.home: ((RESOURCE, guest.oid),) for guest in guests.values() if guest.home is not None}
    clients = {DAEMON_CLIENT: Client(DAEMON_CLIENT, "tunneld", (), trusted=True)}
    return put_objects(Directory(tenants, {}, clients, visits, {}), _changes(partners))


def _user(oid: str, kind: UserType, home: tuple[str, str] | None = None) -> User:
    groups = (f"dddddddd-0000-4000-8000-{int(oid[-2:], 16) % 20:012x}",)
    state = ExternalState.ACCEPTED if home else None
    return User(oid, f"{oid}@x.example", oid, kind, True, groups, frozenset(groups), home=home, external_state=state)


def _changes(partners: int) -> list[Change]:
    """Every partner has settings of its own; each third one lets only some in."""
    changes = []
    for number in range(partners):
        body: Row = {"tenantId": partner_id(number), "inboundTrust": {"isMfaAccepted": number % 4 != 3}}
        if number % 3 == 0:
            body["b2bCollaborationInbound"] = {
                "usersAndGroups": {"accessType": "allowed", "targets": [
                    {"target": f"{number:08x}-1111-4000-8000-{person:012x}", "targetType": "user"}
                    for person in range(0, PEOPLE, 2)
                ]},
                "applications": {"accessType": "allowed", "targets": [
                    {"target": "AllApplications", "targetType": "application"},
                ]},
            }
        changes.append(_change("crossTenantAccessPartner", partner_id(number), body))
    return changes + [_change("conditionalAccessPolicy", body["id"], body) for body in map(_policy, range(POLICIES))]


def _change(kind: str, object_id: str, body: Row) -> Change:
    return Change(ObjectRef(RESOURCE, kind, object_id), KINDS[kind].model.model_validate(body))


def _policy(number: int) -> Row:
    """A large tenant's policies: a few about everybody, most about one group, one application or one kind of guest."""
    users: Row = {"includeGroups": [f"dddddddd-0000-4000-8000-{number % 20:012x}"]}
    if number % 10 == 0:
        users = {"includeUsers": ["All"], "excludeGroups": ["dddddddd-0000-4000-8000-000000000013"]}
    elif number % 10 == 5:
        users = {"includeGuestsOrExternalUsers": {
            "guestOrExternalUserTypes": "b2bCollaborationGuest", "externalTenants": {"membershipKind": "all"},
        }}
    applications = ["All"] if number % 2 else [f"eeeeeeee-0000-4000-8000-{number:012x}"]
    return {
        "id": f"cccccccc-0000-4000-8000-{number:012x}", "displayName": f"Policy {number}",
        "state": "enabledForReportingButNotEnforced" if number % 7 == 3 else "enabled",
        "conditions": {
            "users": users, "applications": {"includeApplications": applications}, "clientAppTypes": ["all"],
            **({"platforms": {"includePlatforms": ["windows", "macOS"]}} if number % 3 == 1 else {}),
        },
        "grantControls": {"operator": "OR", "builtInControls": ["mfa", "compliantDevice"]},
    }


def make_questions(directory: Directory) -> list[SignInRequest]:
    """Return one question for each person who may ask."""
    facts = SessionFacts(
        home=(MethodUse("password", NOW - 100), MethodUse("softwareOath", NOW - 90)),
        registered_home=frozenset({"password", "softwareOath"}),
    )
    around = Surroundings("192.0.2.7", "DE", "linux", "mobileAppsAndDesktopClients")
    proof = SessionProof(NOW - 100, revoked=False, lifetime_s=3600)
    return [
        SignInRequest(RESOURCE, DAEMON_CLIENT, APP, (tenant.id, user.oid), proof, False, facts, around)
        for tenant in directory.tenants.values() for user in tenant.users.values() if user.home is None
    ]


def decisions_table(result: Row) -> str:
    """Return the result as a Markdown table."""
    lines = ["| partners | decisions a second | one decision, µs | putting them in, s |", "|---|---|---|---|"]
    lines += [
        f"| {int(size):,} | {row['per_second']:,} | {row['decision_us']:.1f} | {row['put_s']:.3f} |"
        for size, row in result["sizes"].items()
    ]
    growth = result["growth"]
    lines.append(f"\nFrom {growth['from']:,} to {growth['to']:,} partners: x {growth['decision_us']:.2f}.")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, or measure one number of partners for it."""
    parser = argparse.ArgumentParser(prog="python -m bench.decisions", description=__doc__)
    parser.add_argument("--short", action="store_true", help="the form for every commit: under a minute")
    parser.add_argument("--out", type=Path, help="write the result here instead of where the form belongs")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.child is not None:
        print(json.dumps(measure_decisions(chosen.child)))
        return 0
    result = measure(SHORT if chosen.short else FULL)
    print(decisions_table(result))
    folder = results.LATEST if chosen.short else results.COMMITTED
    results.write(chosen.out or folder / "decisions.json", result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
