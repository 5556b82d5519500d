"""A good settings file of an edge, for tests to spoil."""

from __future__ import annotations

from pathlib import Path

from tests.support.tokens import BASE, CHANNEL, ISSUER, TENANT
from tunneld.edge.settings import Settings, parse_settings

GOOD = f"""
[edge]
listen = "127.0.0.1:0"
domain = "edge.test"
records = "flows.jsonl"

[[tenant]]
name = "contoso"
id = "{TENANT}"
issuer = "{ISSUER}"
jwks_url = "{BASE}/{TENANT}/discovery/v2.0/keys"
trust = "idp.pem"
client_ca = "ours-ca.pem"
certificate = "ours-edge.pem"
key = "ours-edge.key"
profiles = ["profile.json"]

[tenant.channels]
private = "{CHANNEL}"

[connector]
proxy_protocol = ["files.example:80"]
allow = ["127.0.0.1:9009"]
nameservers = ["127.0.0.1:53"]

[connector.map]
"Files.Example.:80" = "127.0.0.1:8000"
"files.example:53/udp" = "127.0.0.1:5353"
"[2001:DB8::1]:80" = "[::1]:80"
"""


def settings(text: str = GOOD, *, base: Path = Path("/etc/tunneld")) -> Settings:
    """Return the settings in `text`, their relative paths under `base`."""
    return parse_settings(text, where="edge.toml", base=base)
