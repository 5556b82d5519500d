"""What the benchmark needs to know of a system: how to start it, where to connect, and whose cost to count."""

from __future__ import annotations

import socket
import ssl
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.flows import Endpoint

# Every rule-based system gets the same number of rules, the one that is asked for last, so that none wins by
# having nothing to look through. Real profiles have tens to hundreds of segments.
RULE_COUNT = 100
PRIVATE_NAMES = tuple(f"db.team-{number:03}.corp.test" for number in range(RULE_COUNT))
PRIVATE_NAME = PRIVATE_NAMES[-1]
PUBLIC_NAME = "public.example.test"


@dataclass(frozen=True, slots=True)
class Running:
    """A started system. `direct` is where the same client sends a destination that no rule tunnels."""

    tunnel: Endpoint
    client: tuple[int, ...]
    edge: tuple[int, ...]
    version: str
    cipher: str | None
    checks: str
    direct: Endpoint | None = None
    descriptors_per_flow: int = 1  # of the process that needs most of them; 2 with a connection to the edge for each
    notes: tuple[str, ...] = field(default=())


class System(Protocol):
    """One entry of the comparison."""

    name: str
    title: str

    def missing(self) -> str | None:
        """Return what must be installed first, None when the system can run here."""

    def start(self, folder: Path, origin_port: int) -> AbstractContextManager[Running]:
        """Start the system in an empty folder; flows end at the origin's port. It stops with the block."""


def negotiated_cipher(port: int, server_name: str, alpn: str | None = None) -> str:
    """Return TLS version and cipher that the server picks.

    Go and Python servers choose by their own order, so what they grant to this client they grant to their own. In
    TLS 1.3 the choice is known before a client certificate is asked for.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols([alpn])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=server_name) as secure,
    ):
        cipher = secure.cipher()
        return f"{secure.version()} {cipher[0] if cipher else 'unknown'}"
