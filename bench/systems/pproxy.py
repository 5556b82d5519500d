"""The pproxy pair, Python as the product is: SOCKS5 → regex rules → HTTP CONNECT over TLS, one a flow."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import machine
from bench.children import await_port, free_port, running
from bench.flows import SOCKS5, Endpoint
from bench.systems.certificates import EDGE_NAME, make_certificate
from bench.systems.system import PRIVATE_NAMES, Running, negotiated_cipher

# pproxy 2.7.9 installs uvloop where there is one and then expects an event loop that nobody makes any more.
PROGRAM = """
import asyncio
try:
    import uvloop
    uvloop.install = lambda: asyncio.set_event_loop(uvloop.new_event_loop())
except ModuleNotFoundError:
    asyncio.set_event_loop(asyncio.new_event_loop())
from pproxy.server import main
main()
"""


class PProxy:
    """Two pproxy processes."""

    name = "pproxy"
    title = "pproxy pair, HTTP CONNECT, TLS per flow"

    def missing(self) -> str | None:
        """pproxy comes from PyPI."""
        return None if machine.version("pproxy") else "pip install pproxy"

    @contextmanager
    def start(self, folder: Path, origin_port: int) -> Iterator[Running]:
        """Start edge and client. pproxy cannot map a name to another address, so it is asked for an address."""
        files = make_certificate(folder)
        rules = folder / "rules"
        rules.write_text("\n".join([*(name.replace(".", r"\.") for name in PRIVATE_NAMES[:-1]), r"127\.0\.0\.1"]))
        edge_port, client_port = free_port(), free_port()
        base = [sys.executable, "-c", PROGRAM]
        edge_command = [
            *base, "-l", f"http+ssl://127.0.0.1:{edge_port}#u:p", "--ssl", f"{files.certificate},{files.key}",
        ]  # fmt: skip
        client_command = [
            *base, "-l", f"socks5://127.0.0.1:{client_port}", "-r", f"http+ssl://127.0.0.1:{edge_port}?{rules}#u:p",
        ]  # fmt: skip
        with running(edge_command, folder / "edge.log") as edge:
            await_port(edge, edge_port, folder / "edge.log")
            with running(client_command, folder / "client.log") as client:
                await_port(client, client_port, folder / "client.log")
                yield Running(
                    tunnel=Endpoint(SOCKS5, client_port, "127.0.0.1", origin_port),
                    client=(client.pid,),
                    edge=(edge.pid,),
                    version=str(machine.version("pproxy")),
                    cipher=negotiated_cipher(edge_port, EDGE_NAME),
                    checks="100 regular expressions at the client; user and password per flow",
                    descriptors_per_flow=2,
                    notes=("the client does not verify the certificate",),
                )
