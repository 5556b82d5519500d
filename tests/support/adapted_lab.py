"""A lab whose origins belong to the test, with a rule for every behaviour that a test wants to see.

In each tenant with a private channel the names below reach one origin of the test's own. The home tenant's names end
in `contoso.internal`, those of both resource tenants in `corp.internal`: the same name is another origin in each.
"""

from __future__ import annotations

import json
import signal
import socket
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.support.origins import Origin, origins
from tunneld.journal.files import write_atomic
from tunneld.lab import world
from tunneld.lab.configuration import Configuration
from tunneld.lab.control import Control
from tunneld.lab.documents import toml_text
from tunneld.lab.processes import Program
from tunneld.lab.up import Lab, running

PORT = 7000
SUFFIX = {"contoso": "contoso.internal", "fabrikam": "corp.internal", "woodgrove": "corp.internal"}
RULES: dict[str, dict[str, Any]] = {
    "cut": {},
    "soft": {"hardening": "bypass"},
    "keep": {"on_switch": "keep"},
    "drain": {"on_switch": "drain:2"},
    "past": {"action": "bypass"},
}
"""What the rule for the name says; the rest is `terminate` and `block`."""

DIRECT = "direct.example"
NOWHERE = "nowhere.example"
CLOSED = "closed.example"


class AdaptedLab:
    """The lab, its origins by tenant (and `direct`), and the daemon's control socket."""

    def __init__(self, lab: Lab, made: Mapping[str, Origin]) -> None:
        self.lab = lab
        self.origins = made
        self.proxy = lab.proxy
        self.paths = lab.configuration.paths
        self.control = Control(self.paths.control)

    def profile(self, tenant: str) -> Path:
        """Return where the tenant's profile lies."""
        return self.lab.configuration.file(f"profile-{tenant}.json")

    def status(self) -> dict[str, Any]:
        return self.control.get("/v1/status")

    def flows(self, query: str = "") -> list[dict[str, Any]]:
        """Return flow records, the newest first."""
        return self.control.records(f"/v1/flows{query}")

    def switch(self, tenant: str) -> dict[str, Any]:
        """Ask for a switch and return its receipt, whatever it says."""
        *_, receipt = self.control.lines("/v1/switch", {"tenant": tenant})
        return receipt

    def go_to(self, tenant: str) -> None:
        """Make `tenant` the active one unless it is."""
        if self.status()["tenant"] != tenant:
            receipt = self.switch(tenant)
            assert receipt["committed"], receipt

    def kill_edge(self, tenant: str) -> None:
        """Give a tenant's edge no chance to say anything."""
        self.kill(self.lab.edges[tenant])

    def kill(self, program: Program) -> None:
        """Kill a program outright and wait until it is gone."""
        program.send(signal.SIGKILL)
        program.stop()

    def start_edge(self, tenant: str) -> Program:
        """Start a tenant's edge again after it was killed, and return when it serves."""
        file = self.lab.configuration.file(f"edge-{tenant}.toml")
        program = self.lab.programs.start(f"edge-{tenant}", "edge", "--config", str(file))
        self.lab.edges[tenant] = program
        program.wait_ready()
        return program

    def start_daemon(self) -> Program:
        """Start the daemon again after it ended, and return when it serves."""
        file = self.lab.configuration.file("daemon.toml")
        program = self.lab.programs.start("daemon", "run", "--config", str(file))
        self.lab.daemon = program
        program.wait_ready()
        return program

    def restart_daemon(self) -> None:
        """Stop the daemon in order and start it again."""
        self.lab.daemon.send(signal.SIGTERM)
        self.lab.daemon.stop()
        self.start_daemon()

    def start_idp(self) -> Program:
        """Start the identity provider again after it was killed, and return when it serves."""
        program = self.lab.programs.start("idp", "idp", "--config", str(self.lab.configuration.file("idp.toml")))
        self.lab.idp = program
        program.wait_ready()
        return program

    def log(self, program: str) -> str:
        return (self.paths.logs / f"{program}.log").read_text()

    def tracebacks(self) -> list[str]:
        """Return the logs with a traceback in them."""
        logs = sorted(self.paths.logs.glob("*.log"))
        return [path.name for path in logs if "Traceback" in path.read_text()]


@contextmanager
def adapted_lab(state: Path, *, daemon: Mapping[str, Mapping[str, Any]] | None = None) -> Iterator[AdaptedLab]:
    """Run a lab with the test's origins; `daemon` overrides keys of the daemon's settings, by section."""
    names = [*SUFFIX, "direct"]
    with origins(**{name: f"canary-{name}" for name in names}) as made, black_hole() as nowhere:

        def adapt(configuration: Configuration) -> None:
            for tenant in world.TENANTS:
                if tenant.name in SUFFIX:
                    _adapt_profile(configuration, tenant)
                    _adapt_edge(configuration, tenant, made[tenant.name].address, nowhere)
            _adapt_daemon(configuration, made["direct"].address, nowhere, daemon or {})

        with running(state, lambda _: None, adapt=adapt) as lab:
            adapted = AdaptedLab(lab, made)
            with adapted.control:
                yield adapted


def edit_json(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON document on disk in the way an editor does: by a rename over it."""
    document = json.loads(path.read_text())
    change(document)
    write_atomic(path, json.dumps(document, indent=1).encode())


def rule(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the rule of a profile document for one of the test's names."""
    found: dict[str, Any] = next(each for each in document["rules"] if each["id"] == f"test-{name}")
    return found


def _adapt_profile(configuration: Configuration, tenant: world.Tenant) -> None:
    def add(document: dict[str, Any]) -> None:
        document["rules"] += [
            {
                "id": f"test-{name}", "channel": "private", "application": tenant.segment_id("engineering"),
                "destinations": [f"{name}.{SUFFIX[tenant.name]}"], "ports": [f"{PORT}-{PORT + 9}"],
                "protocols": ["tcp"], "action": "tunnel", **says,
            }
            for name, says in RULES.items()
        ]  # fmt: skip

    edit_json(configuration.file(f"profile-{tenant.name}.json"), add)


def _adapt_edge(configuration: Configuration, tenant: world.Tenant, origin: str, nowhere: str) -> None:
    def add(document: dict[str, Any]) -> None:
        places = document["connector"]["map"]
        places |= {f"{name}.{SUFFIX[tenant.name]}:{PORT}": origin for name in RULES}
        places[f"cut.{SUFFIX[tenant.name]}:{PORT + 1}"] = closed_address()
        places[f"cut.{SUFFIX[tenant.name]}:{PORT + 2}"] = nowhere

    _edit_toml(configuration.file(f"edge-{tenant.name}.toml"), add)


def _adapt_daemon(
    configuration: Configuration, origin: str, nowhere: str, more: Mapping[str, Mapping[str, Any]]
) -> None:
    def add(document: dict[str, Any]) -> None:
        document["hosts"] |= {
            DIRECT: origin, CLOSED: closed_address(), NOWHERE: nowhere,
            **{f"{name}.{SUFFIX['contoso']}": origin for name in ("soft", "past")},
        }  # fmt: skip
        for section, keys in more.items():
            document.setdefault(section, {}).update(keys)

    _edit_toml(configuration.file("daemon.toml"), add)


def _edit_toml(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = tomllib.loads(path.read_text())
    change(document)
    write_atomic(path, toml_text(document).encode())


@contextmanager
def black_hole() -> Iterator[str]:
    """Give an address whose kernel answers no SYN any more: its queue of connections is full, and nobody accepts."""
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            knocking = waiting.enter_context(socket.socket())
            knocking.setblocking(False)
            knocking.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def closed_address() -> str:
    """Return an address on which nobody listens: port 9 (discard) of a loopback address of its own."""
    return "127.9.9.9:9"
