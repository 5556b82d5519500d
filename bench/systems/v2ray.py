"""The v2ray pair of Debian 12: SOCKS5 → rules → trojan over TLS with its multiplexer."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.children import await_port, free_port, running
from bench.flows import SOCKS5, Endpoint
from bench.systems.certificates import EDGE_NAME, CertificateFiles, make_certificate
from bench.systems.system import PRIVATE_NAME, PRIVATE_NAMES, Running, negotiated_cipher

Json = dict[str, Any]
MUX_CONCURRENCY = 1024  # the greatest that it accepts


class V2Ray:
    """Two v2ray processes."""

    name = "v2ray"
    title = "v2ray pair, trojan, mux"

    def missing(self) -> str | None:
        """v2ray comes from Debian."""
        return None if shutil.which("v2ray") else "apt-get install v2ray"

    @contextmanager
    def start(self, folder: Path, origin_port: int) -> Iterator[Running]:
        """Start edge and client."""
        program = shutil.which("v2ray")
        assert program is not None
        files = make_certificate(folder)
        edge_port, client_port = free_port(), free_port()
        with ExitStack() as stack:
            edge = _launch(stack, program, folder / "edge", edge_config(edge_port, origin_port, files))
            await_port(edge, edge_port, folder / "edge.log")
            client = _launch(stack, program, folder / "client", client_config(client_port, edge_port))
            await_port(client, client_port, folder / "client.log")
            yield Running(
                tunnel=Endpoint(SOCKS5, client_port, PRIVATE_NAME, origin_port),
                client=(client.pid,),
                edge=(edge.pid,),
                version=_version(program),
                cipher=negotiated_cipher(edge_port, EDGE_NAME),
                checks="100 names in one rule at the client; password per connection",
                notes=("GOMAXPROCS not set: may use every core", "the client does not verify the certificate"),
            )


def _version(program: str) -> str:
    shown = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=10, check=False).stdout
    return shown.split()[1] if shown else "unknown"


def _launch(stack: ExitStack, program: str, stem: Path, config: Json) -> subprocess.Popen[bytes]:
    path = stem.with_suffix(".json")
    path.write_text(json.dumps(config))
    return stack.enter_context(running([program, "-config", path], stem.with_suffix(".log")))


def client_config(port: int, edge_port: int) -> Json:
    """Return the client's configuration."""
    edge = {
        "protocol": "trojan",
        "tag": "edge",
        "settings": {"servers": [{"address": "127.0.0.1", "port": edge_port, "password": "p"}]},
        "streamSettings": {
            "network": "tcp",
            "security": "tls",
            "tlsSettings": {"serverName": EDGE_NAME, "allowInsecure": True},
        },
        "mux": {"enabled": True, "concurrency": MUX_CONCURRENCY},
    }
    rule = {"type": "field", "domain": [f"full:{name}" for name in PRIVATE_NAMES], "outboundTag": "edge"}
    return {
        "log": {"loglevel": "error"},
        "inbounds": [{"listen": "127.0.0.1", "port": port, "protocol": "socks", "settings": {"udp": False}}],
        "outbounds": [{"protocol": "freedom", "tag": "direct"}, edge],
        "routing": {"domainStrategy": "AsIs", "rules": [rule]},
    }


def edge_config(port: int, origin_port: int, files: CertificateFiles) -> Json:
    """Return the edge's configuration: every destination is played by the origin."""
    certificate = {"certificateFile": str(files.certificate), "keyFile": str(files.key)}
    inbound = {
        "listen": "127.0.0.1",
        "port": port,
        "protocol": "trojan",
        "settings": {"clients": [{"password": "p"}]},
        "streamSettings": {"network": "tcp", "security": "tls", "tlsSettings": {"certificates": [certificate]}},
    }
    return {
        "log": {"loglevel": "error"},
        "inbounds": [inbound],
        "outbounds": [{"protocol": "freedom", "settings": {"redirect": f"127.0.0.1:{origin_port}"}}],
    }
