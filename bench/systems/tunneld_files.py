"""The files of a small world for the measured product: one tenant, one user, an edge with two channels, 100 rules."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from bench.children import free_port
from bench.systems.system import PRIVATE_NAME, PRIVATE_NAMES, PUBLIC_NAME
from tunneld.journal.authorities import TenantNames, edge_name, renew_directory
from tunneld.lab.documents import toml_text
from tunneld.policy.passwords import hash_password

Json = dict[str, Any]
TENANT = "bench"
DOMAIN = "edge.tunneld.test"
USER = "user@bench.example"
CHANNELS = ("private", "internet")
FLOWS = 12_000  # above the 10,000 idle ones; the default leaves room for other users of the descriptors


class World(NamedTuple):
    """What was written and what it takes to use it."""

    folder: Path
    idp_port: int
    edge_port: int
    proxy_port: int
    edge_name: str
    password: str

    @property
    def state(self) -> Path:
        """The daemon's state directory, with its control socket."""
        return self.folder / "state"

    @property
    def authorities(self) -> Path:
        """PEM file with every authority."""
        return self.folder / "certs" / "bundle.pem"


def write_world(folder: Path, origin_port: int) -> World:
    """Write certificates, directory, profile and the settings of the three programs into the folder."""
    ids = {name: str(uuid4()) for name in ("tenant", "user", "group", "application", *CHANNELS)}
    names = {channel: edge_name(ids["tenant"], channel, DOMAIN) for channel in CHANNELS}
    world = World(folder, free_port(), free_port(), free_port(), names["private"], secrets.token_urlsafe(12))
    renew_directory(folder / "certs", [TenantNames(TENANT, tuple(names.values()))])
    documents: dict[str, Json] = {
        "profile.json": _profile(world, ids, names, origin_port),
        "directory.json": _directory(world, ids),
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document))
    settings = {
        "idp.toml": _idp(world),
        "edge.toml": _edge(world, ids, origin_port),
        "daemon.toml": _daemon(world, origin_port),
    }
    for name, document in settings.items():
        (folder / name).write_text(toml_text(document))
    return world


def _profile(world: World, ids: Mapping[str, str], names: Mapping[str, str], origin_port: int) -> Json:
    private = [
        {
            "id": name.split(".")[1],
            "channel": "private",
            "application": ids["application"],
            "destinations": [name],
            "ports": [origin_port],
            "protocols": ["tcp"],
        }
        for name in PRIVATE_NAMES
    ]
    internet = {"id": "web", "channel": "internet", "application": ids["application"], "destinations": ["*.web.test"]}
    return {
        "schema": 1,
        "id": "bench",
        "tenant": TENANT,
        "version": 1,
        "assignments": {"groups": [ids["group"]]},
        "channels": {
            channel: {
                "edge": f"{names[channel]}:443",
                "audience": ids[channel],
                "address": f"127.0.0.1:{world.edge_port}",
            }
            for channel in CHANNELS
        },
        "applications": [{"id": ids["application"], "name": "Databases", "kind": "enterprise"}],
        "rules": [*private, internet],
    }


def _directory(world: World, ids: Mapping[str, str]) -> Json:
    certs = world.folder / "certs" / TENANT
    user = {
        "oid": ids["user"],
        "upn": USER,
        "display_name": "User",
        "user_type": "member",
        "groups": [ids["group"]],
        "state": "active",
        "password_hash": hash_password(world.password, salt=secrets.token_bytes(16), cost=(2**10, 8, 1)),
    }
    assigned = {"users": [], "groups": [ids["group"]]}
    tenant = {
        "id": ids["tenant"],
        "name": TENANT,
        "display_name": "Bench",
        "domains": ["bench.example"],
        "ca_certificate": str(certs / "ca.pem"),
        "ca_key": str(certs / "ca.key"),
        "forwarding_profiles": [str(world.folder / "profile.json")],
        "applications": [{"id": ids["application"], "name": "Databases", "assignments": assigned}],
        "groups": [{"id": ids["group"], "name": "everybody"}],
        "users": [user],
    }
    return {"tenants": [tenant]}


def _idp(world: World) -> Json:
    certs = world.folder / "certs" / "idp"
    return {
        "listen": f"127.0.0.1:{world.idp_port}",
        "certificate": str(certs / "idp.pem"),
        "key": str(certs / "idp.key"),
        "directory": str(world.folder / "directory.json"),
        "state": str(world.folder / "idp.sqlite"),
    }


def _edge(world: World, ids: Mapping[str, str], origin_port: int) -> Json:
    certs = world.folder / "certs"
    base = f"https://127.0.0.1:{world.idp_port}/{ids['tenant']}"
    tenant = {
        "name": TENANT,
        "id": ids["tenant"],
        "issuer": f"{base}/v2.0",
        "jwks_url": f"{base}/discovery/v2.0/keys",
        "trust": str(certs / "idp" / "ca.pem"),
        "client_ca": str(certs / TENANT / "ca.pem"),
        "certificate": str(certs / TENANT / "edge.pem"),
        "key": str(certs / TENANT / "edge.key"),
        "profiles": [str(world.folder / "profile.json")],
        "channels": {channel: ids[channel] for channel in CHANNELS},
    }
    return {
        "edge": {
            "listen": f"127.0.0.1:{world.edge_port}",
            "domain": DOMAIN,
            "records": str(world.folder / "flows.jsonl"),
        },
        "connector": {"map": {f"{PRIVATE_NAME}:{origin_port}": f"127.0.0.1:{origin_port}"}},
        "limits": dict.fromkeys(("flows", "flows_per_user", "flows_per_application"), FLOWS),
        "tenant": [tenant],
    }


def _daemon(world: World, origin_port: int) -> Json:
    return {
        "daemon": {"state": str(world.state), "proxy": f"127.0.0.1:{world.proxy_port}", "home_tenant": TENANT},
        "idp": {
            "url": f"https://127.0.0.1:{world.idp_port}",
            "ca": str(world.folder / "certs" / "idp" / "ca.pem"),
        },
        "trust": {"ca": str(world.authorities)},
        "hosts": {PUBLIC_NAME: f"127.0.0.1:{origin_port}"},
        "limits": {"flows": FLOWS},
    }
