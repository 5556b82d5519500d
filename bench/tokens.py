"""What a token costs: issued and verified per second, and the admission of a flow at the edge with a warm cache.

Everything is measured in this process and without sockets: claims and signature, the strict verification, and the
questions that an edge asks of a flow when token and key are at hand. Rounds take turns, and medians are reported.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bench import machine
from tunneld.forwarding.compile import compile_profile
from tunneld.forwarding.document import load_profile
from tunneld.idp.keys import KeyRing
from tunneld.model.verdict import Channel, Protocol
from tunneld.policy.admission import Admit, DestinationGate, Tunnel, admit_flow, admit_token
from tunneld.policy.compact_token import take_apart
from tunneld.policy.directory import DAEMON_CLIENT, Application, Assignments, Client, Tenant, User, UserType
from tunneld.policy.key_schedule import KeyPolicy
from tunneld.policy.key_set import PublishedKey
from tunneld.policy.sign_in import Grant
from tunneld.policy.token_claims import TokenInputs, access_claims, issuer
from tunneld.policy.tokens import Trust, verify

Row = dict[str, Any]

TENANT = "11111111-1111-4111-8111-111111111111"
USER = "aaaaaaaa-0000-4000-8000-000000000001"
WIKI = "eeeeeeee-0000-4000-8000-000000000001"
BASE = "https://idp.bench"
GOAL_ADMISSION_US = 40.0  # what a flow may wait for its admission before it is noticed beside a connect on loopback

_PROFILE = {
    "schema": 1, "id": "bench-private", "tenant": "bench", "version": 1, "assignments": {"users": [USER]},
    "channels": {"private": {"edge": "bench.private.edge.test:8443"}},
    "applications": [{"id": WIKI, "name": "Wiki"}],
    "rules": [{"id": "wiki", "channel": "private", "application": WIKI, "destinations": ["wiki.corp.internal"]}],
}


class Plan(NamedTuple):
    """How many operations a round has, and how many rounds there are."""

    operations: int
    rounds: int


FULL = Plan(2_000, 7)
SHORT = Plan(400, 3)


class Scene:
    """One tenant, one signed-in user, one application, and the edge's half of them."""

    def __init__(self, folder: Path) -> None:
        self.now = int(time.time())
        self.keys = KeyRing(folder, KeyPolicy(1 << 30, 1, 1))
        self.keys.advance({TENANT: ()}, self.now)
        user = User(USER, "alex@bench.example", "Alex", UserType.MEMBER, True, ("g",) * 20, frozenset("g"))
        wiki = Application(WIKI, "Wiki", Assignments(frozenset({USER})))
        tenant = Tenant(TENANT, "bench", "Bench", ("bench.example",), {USER: user}, {WIKI: wiki}, (), {})
        resource = tenant.resource(WIKI)
        assert resource is not None
        client = Client(DAEMON_CLIENT, "tunneld", (), trusted=True)
        self.grant = Grant(tenant, user, tenant, user, client, resource, ())
        self.inputs = TokenInputs(BASE, "session", "token", b"salt", self.now, 3600, ("cp1",))
        self.token = self.issue()
        key = self.keys.published_key(TENANT, self.keys.kid(TENANT))
        assert isinstance(key, PublishedKey)
        self.key, self.trust = key, Trust(TENANT, issuer(BASE, TENANT), {WIKI})
        self.claims = self.verify()
        self.tunnel = Tunnel(TENANT, Channel.PRIVATE, "channel", None, {DAEMON_CLIENT})
        profile = compile_profile(load_profile(json.dumps(_PROFILE).encode(), where="bench"))
        self.gate = DestinationGate(profile.classify, Channel.PRIVATE, {WIKI})

    def issue(self) -> str:
        """Make the claims and sign them."""
        return self.keys.sign(TENANT, access_claims(self.grant, self.inputs))

    def verify(self) -> Any:
        """Verify a token that nobody has seen before."""
        return verify(take_apart(self.token), self.key, self.trust, now=self.now)

    def admit(self) -> None:
        """Ask what an edge asks of a flow whose token was verified before."""
        grant = admit_token(self.tunnel, self.claims, user=None, applications={WIKI}, now=self.now)
        assert isinstance(grant, Admit)
        admitted = admit_flow(self.gate, grant, "wiki.corp.internal", 443, Protocol.TCP, now=self.now)
        assert isinstance(admitted, Admit)


def measure(plan: Plan) -> Row:
    """Run every round and return the result."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder))
        work: dict[str, tuple[Callable[[], Any], int]] = {
            "issue": (scene.issue, 1), "verify": (scene.verify, 1), "admit": (scene.admit, 20),
        }
        rounds = [
            {name: _microseconds(run, plan.operations * times) for name, (run, times) in work.items()}
            for _ in range(plan.rounds)
        ]
        length = len(scene.token)
    medians = {name: statistics.median(each[name] for each in rounds) for name in work}
    return {
        "machine": machine.facts(),
        "seconds": round(time.monotonic() - begin, 1),
        "plan": plan._asdict(),
        "token_characters": length,
        "issued_per_s": round(1e6 / medians["issue"]),
        "verified_per_s": round(1e6 / medians["verify"]),
        "admission_us": round(medians["admit"], 2),
        "goal_admission_us": GOAL_ADMISSION_US,
        "rounds_us": rounds,
    }


def _microseconds(run: Callable[[], Any], operations: int) -> float:
    run()
    begin = time.perf_counter_ns()
    for _ in range(operations):
        run()
    return (time.perf_counter_ns() - begin) / operations / 1000


def tokens_table(result: Row) -> str:
    """Return the result as a table."""
    return (
        "| tokens issued a second | tokens verified a second | one flow admitted, µs |\n|---|---|---|\n"
        f"| {result['issued_per_s']:,} | {result['verified_per_s']:,} | {result['admission_us']:.2f} |"
    )


def main() -> None:
    """Print one measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true")
    print(tokens_table(measure(SHORT if parser.parse_args().short else FULL)))


if __name__ == "__main__":
    main()
