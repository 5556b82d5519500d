"""Brings the lab up: applications, identity provider, edges and daemon, each its own process, the user signed in."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from tunneld.lab import world
from tunneld.lab.administrators import AdministratorTokens
from tunneld.lab.configuration import Configuration, write
from tunneld.lab.control import Control
from tunneld.lab.processes import Program, Programs
from tunneld.lab.sign_in import SignInError, sign_in
from tunneld.lab.state import opened

CHANNELS_TIMEOUT_S = 20.0
WATCH_S = 0.5

Say = Callable[[str], None]
Adapt = Callable[[Configuration], None]


@dataclass
class Lab:
    """A running lab."""

    configuration: Configuration
    programs: Programs
    applications: Program
    idp: Program
    edges: dict[str, Program]
    daemon: Program
    administrators: AdministratorTokens
    ready: dict[str, Any] = field(default_factory=dict)

    @property
    def proxy(self) -> str:
        """Where the daemon takes applications' traffic."""
        return self.configuration.address("proxy")

    @property
    def password(self) -> str:
        """The lab user's password."""
        return self.configuration.secrets.passwords[world.LAB_USER]


@contextmanager
def running(state: Path, say: Say, *, adapt: Adapt = lambda _: None) -> Iterator[Lab]:
    """Start everything, sign the user in and give the lab; stop everything on the way out.

    `adapt` may change the documents after they were written and before anybody reads them.
    """
    with ExitStack() as stack:
        paths = stack.enter_context(opened(state))
        say(f"state in {paths.root}")
        held = stack.enter_context(ExitStack())
        configuration = write(paths, held)
        adapt(configuration)
        say("wrote certificates, directory, profiles and settings")
        programs = stack.enter_context(Programs(paths.logs))
        lab = _start(configuration, programs, say)
        held.close()  # every port has its listener now
        _enter_home(lab, say)
        for fault in lab.administrators.renew():
            raise SignInError(fault)
        lab.ready = ready_line(lab)
        yield lab
        say("stopping")


def up(state: Path, *, say: Say, announce: Callable[[str], None]) -> None:
    """Run the lab in the foreground until SIGINT or SIGTERM; `announce` gets the one JSON line."""
    with signals_as_interrupt(), contextlib.suppress(KeyboardInterrupt), running(state, say) as lab:
        announce(json.dumps(lab.ready))
        for line in hints(lab):
            say(line)
        while True:
            time.sleep(WATCH_S)
            for fault in lab.administrators.renew():
                say(fault)
            for program in lab.programs.ended():
                say(f"{program.name} ended with status {program.exit_status()}; to start it again: {program.command}")


def ready_line(lab: Lab) -> dict[str, Any]:
    """Return the contract's line: everything a script needs to use this lab. What is not built yet is null."""
    configuration = lab.configuration
    tenants = [tenant for tenant in world.TENANTS if tenant.channels]
    return {
        "ready": True,
        "state": str(configuration.paths.root),
        "proxy": lab.proxy,
        "dns": None,
        "control": str(configuration.paths.control),
        "dashboard": None,
        "idp": configuration.idp_url,
        "ca": str(configuration.paths.bundle),
        "edges": {
            tenant.name: {
                channel: {"address": address, "sni": tenant.edge_name(channel)}
                for channel, address in configuration.edges(tenant).items()
            }
            for tenant in tenants
        },
        "apps": {tenant.name: [_app(origin) for origin in _assigned(tenant)] for tenant in tenants}
        | {world.PUBLIC: [_app(world.PUBLIC_ORIGIN), *(_app(origin) for origin in _public_origins())]},
        "refused_apps": {tenant.name: [_app(origin) for origin in _unassigned(tenant)] for tenant in tenants},
        "tenants": {tenant.name: tenant.id for tenant in world.TENANTS},
        "users": {
            tenant.upn(user): {"password": configuration.secrets.passwords[tenant.upn(user)], "tenant": tenant.name}
            for tenant in world.TENANTS for user in tenant.users if user.home is None
        },
        "admin": {tenant.name: {"token": str(lab.administrators.file(tenant.name))} for tenant in world.TENANTS},
        "canaries": configuration.secrets.canaries,
        "pids": {
            "daemon": lab.daemon.pid,
            "idp": lab.idp.pid,
            "edges": {name: program.pid for name, program in lab.edges.items()},
            "applications": lab.applications.pid,
        },
    }


def hints(lab: Lab) -> list[str]:
    """Return the lines that tell a person what to type next, in another terminal."""
    own = lab.configuration.address(f"origin/{world.HOME}/yours")
    return [
        "",
        f"ready: {world.LAB_USER} is signed in, {world.HOME} is the active tenant",
        f"  export TUNNELD_STATE={lab.configuration.paths.root}",
        f"  curl -x http://{lab.proxy} http://portal.contoso.internal/",
        "  tunneld explain portal.contoso.internal:80",
        "  tunneld switch fabrikam",
        f"  curl -x http://{lab.proxy} http://portal.corp.internal/",
        f"  your own program on {own} is http://yours.contoso.internal/ through the tunnel",
        f"  to sign in by hand: {world.LAB_USER}, password {lab.password}",
        f"  logs in {lab.programs.logs}; Ctrl-C stops everything",
    ]


def _start(configuration: Configuration, programs: Programs, say: Say) -> Lab:
    """Start all programs at once (ports are known beforehand) and wait for each ready line."""
    file = configuration.file
    applications = programs.start("applications", "lab", "applications", "--config", str(file("applications.json")))
    idp = programs.start("idp", "idp", "--config", str(file("idp.toml")))
    edges = {
        tenant.name: programs.start(f"edge-{tenant.name}", "edge", "--config", str(file(f"edge-{tenant.name}.toml")))
        for tenant in world.TENANTS if tenant.channels
    }
    for program in (applications, idp, *edges.values()):
        program.wait_ready()
        say(f"{program.name} is ready (pid {program.pid})")
    daemon = programs.start("daemon", "run", "--config", str(file("daemon.toml")))
    daemon.wait_ready()
    say(f"daemon is ready (pid {daemon.pid})")
    return Lab(configuration, programs, applications, idp, edges, daemon, AdministratorTokens(configuration))


def _enter_home(lab: Lab, say: Say) -> None:
    """Sign in unless an earlier run's session still holds, go back to the home tenant, wait for its channels."""
    with Control(lab.configuration.paths.control) as control:
        status = control.get("/v1/status")
        if status["tenant"] is None:
            say(f"signing in {world.LAB_USER} on the real sign-in page")
            _sign_in(lab, control)
        elif status["tenant"] != world.HOME:
            say(f"switching back from {status['tenant']}")
            for _ in control.lines("/v1/switch", {"tenant": world.HOME}):
                pass
        _await_channels(control)


def _sign_in(lab: Lab, control: Control) -> None:
    result: dict[str, Any] = {}
    for line in control.lines("/v1/login", {"device": False}):
        if line.get("type") == "interaction":
            ca = lab.configuration.paths.bundle
            sign_in(line["url"], username=world.LAB_USER, password=lab.password, ca=ca)
        else:
            result = line
    if result.get("error") or result.get("reason"):
        raise SignInError(f"the daemon was not signed in: {json.dumps(result)}")


def _await_channels(control: Control) -> None:
    deadline = time.monotonic() + CHANNELS_TIMEOUT_S
    while True:
        status = control.get("/v1/status")
        states = {name: channel["state"] for name, channel in (status.get("channels") or {}).items()}
        if status["tenant"] == world.HOME and states and set(states.values()) == {"connected"}:
            return
        if time.monotonic() > deadline:
            raise SignInError(f"{world.HOME} is not connected after {CHANNELS_TIMEOUT_S:.0f} s: {states or status}")
        time.sleep(0.05)


def _app(origin: world.Origin) -> dict[str, str]:
    destination = f"{origin.host}:{origin.port}"
    return {"name": origin.name, "destination": destination, "protocol": origin.protocol, "kind": origin.kind}


def _listed(tenant: world.Tenant) -> list[world.Origin]:
    return [origin for origin in tenant.origins if origin.private and origin.kind != "own"]


def _assigned(tenant: world.Tenant) -> list[world.Origin]:
    allowed = {segment.key for segment in tenant.segments if segment.assigned}
    return [origin for origin in _listed(tenant) if origin.segment in allowed]


def _unassigned(tenant: world.Tenant) -> list[world.Origin]:
    return [origin for origin in _listed(tenant) if origin not in _assigned(tenant)]


def _public_origins() -> list[world.Origin]:
    return [origin for tenant in world.TENANTS for origin in tenant.origins if not origin.private]


@contextmanager
def signals_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end the lab as Ctrl-C does; once stopping, a second signal does not cut the stopping short."""

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
