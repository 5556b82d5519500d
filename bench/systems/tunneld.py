"""The product: identity provider, edge and daemon as a user runs them, every feature on."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.children import ChildError, running, tail
from bench.flows import HTTP, SOCKS5, Endpoint
from bench.systems.system import PRIVATE_NAME, PUBLIC_NAME, Running, negotiated_cipher
from bench.workload import read_line

READY_TIMEOUT = 45.0
CHANNELS_TIMEOUT = 20.0
CHECKS = (
    "classified by 101 rules; token of the application verified by key and certificate (cached); destination must "
    "belong to the application; a flow record on each side"
)


class Tunneld:
    """Three processes; the identity provider takes no part in a flow and is not counted."""

    def __init__(self, *, inbound: str = SOCKS5, prefix: Mapping[str, Sequence[str]] | None = None) -> None:
        self.inbound = inbound
        self.prefix = prefix or {}  # program → what is put before the module: a profiler
        self.name = "tunneld" if inbound == SOCKS5 else "tunneld-http"
        self.title = "tunneld pair, own HTTP/2 tunnel" + (", HTTP CONNECT in" if inbound == HTTP else "")

    def missing(self) -> str | None:
        """The product is missing only in a broken installation."""
        return None if importlib.util.find_spec("tunneld.cli.run") else "pip install -e ."

    @contextmanager
    def start(self, folder: Path, origin_port: int) -> Iterator[Running]:
        """Write a small world, start the three programs and sign in on the real page."""
        from bench.systems.tunneld_files import write_world
        from tunneld import __version__

        world = write_world(folder, origin_port)
        with ExitStack() as stack:
            self._program(stack, folder, "idp", "idp")
            edge = self._program(stack, folder, "edge", "edge")
            daemon = self._program(stack, folder, "run", "daemon")
            sign_in_and_connect(world.state / "control.sock", world.password, world.authorities)
            yield Running(
                tunnel=Endpoint(self.inbound, world.proxy_port, PRIVATE_NAME, origin_port),
                direct=Endpoint(self.inbound, world.proxy_port, PUBLIC_NAME, origin_port),
                client=(daemon.pid,),
                edge=(edge.pid,),
                version=__version__,
                cipher=negotiated_cipher(world.edge_port, world.edge_name, "h2"),
                checks=CHECKS,
            )

    def _program(self, stack: ExitStack, folder: Path, command: str, name: str) -> subprocess.Popen[bytes]:
        line = [
            sys.executable,
            *self.prefix.get(name, ()),
            "-m",
            "tunneld",
            command,
            "--config",
            str(folder / f"{name}.toml"),
        ]
        log = folder / f"{name}.log"
        child = stack.enter_context(running(line, log, piped=True))
        try:
            read_line(child, READY_TIMEOUT, f"tunneld {command}")
        except ChildError as error:
            raise ChildError(f"{error}: {tail(log)}") from None
        return child


def sign_in_and_connect(socket: Path, password: str, authorities: Path) -> None:
    """Sign the user in and wait until every channel is connected."""
    from bench.systems.tunneld_files import USER
    from tunneld.lab.control import Control
    from tunneld.lab.sign_in import sign_in
    from tunneld.model.errors import TunneldError

    try:
        with Control(socket) as control:
            for line in control.lines("/v1/login", {"device": False}):
                if line.get("type") == "interaction":
                    sign_in(line["url"], username=USER, password=password, ca=authorities)
            deadline = time.monotonic() + CHANNELS_TIMEOUT
            while True:
                status = control.get("/v1/status")
                states = [channel["state"] for channel in (status["channels"] or {}).values()]
                if states and set(states) == {"connected"}:
                    return
                if time.monotonic() > deadline:
                    raise ChildError(f"the daemon is not connected: {status}")
                time.sleep(0.05)
    except TunneldError as error:
        raise ChildError(f"the daemon was not signed in: {error}") from None
