"""Writes every document of the lab into its state directory: the same files that a user would write by hand."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunneld.journal.authorities import TenantNames, renew_directory
from tunneld.journal.files import write_atomic
from tunneld.lab import world
from tunneld.lab.documents import toml_text
from tunneld.lab.ports import reserve
from tunneld.lab.profiles import profile_document
from tunneld.lab.state import Secrets, StatePaths, load_secrets
from tunneld.policy.passwords import hash_password

APPLICATIONS = "applications"  # also the name of their authority in the certificate directory
# Lab passwords are random, so that guessing is hopeless at any cost: a cheap hash keeps the start short.
QUICK_COST = (2**10, 8, 1)


@dataclass(frozen=True)
class Configuration:
    """What was written: addresses, secrets and the file that each program is started with."""

    paths: StatePaths
    ports: dict[str, int]
    secrets: Secrets

    def address(self, name: str) -> str:
        """Where a listener is: `idp`, `proxy`, `edge/<tenant>/<channel>`, `origin/<tenant>/<name>`."""
        return f"127.0.0.1:{self.ports[name]}"

    def edges(self, tenant: world.Tenant) -> dict[str, str]:
        """Where the tenant's edge for each channel is: an address of its own, in one process a tenant."""
        return {channel: self.address(f"edge/{tenant.name}/{channel}") for channel in tenant.channels}

    def file(self, name: str) -> Path:
        """The settings file of a program."""
        return self.paths.lab / name

    @property
    def idp_url(self) -> str:
        """Base address of the identity provider: by name, since a passkey never belongs to an IP address."""
        return f"https://localhost:{self.ports['idp']}"


def write(paths: StatePaths, held: ExitStack) -> Configuration:
    """Write certificates, directory, profiles and settings, keeping what is still good of an earlier run.

    `held` keeps the ports; close it once the programs listen on them.
    """
    users = [tenant.upn(user) for tenant in world.TENANTS for user in tenant.users if user.home is None]
    names = [tenant.name for tenant in world.TENANTS] + [world.PUBLIC]
    kept = load_secrets(paths.lab / "secrets.json", users=users, tenants=names)
    configuration = Configuration(paths, reserve(list(_port_names()), paths.lab / "ports.json", held), kept)
    renew_directory(paths.certificates, list(_certificate_names()))
    for tenant in world.TENANTS:
        if tenant.channels:
            document = profile_document(tenant, configuration.edges(tenant))
            _write_json(paths.lab / f"profile-{tenant.name}.json", document)
            _write(paths.lab / f"edge-{tenant.name}.toml", toml_text(_edge_settings(configuration, tenant)))
    _write_json(paths.lab / "directory.json", _directory(configuration))
    _write_json(paths.lab / "applications.json", _applications(configuration))
    _write(paths.lab / "idp.toml", toml_text(_idp_settings(configuration)))
    _write(paths.lab / "daemon.toml", toml_text(_daemon_settings(configuration)))
    return configuration


def _port_names() -> Iterable[str]:
    yield from ("idp", "proxy", f"origin/{world.PUBLIC}/{world.PUBLIC_ORIGIN.name}")
    for tenant in world.TENANTS:
        yield from (f"edge/{tenant.name}/{channel}" for channel in tenant.channels)
        yield from (f"origin/{tenant.name}/{origin.name}" for origin in tenant.origins)


def _certificate_names() -> Iterable[TenantNames]:
    for tenant in world.TENANTS:
        channels = tenant.channels or ("private",)
        yield TenantNames(tenant.name, tuple(tenant.edge_name(channel) for channel in channels))
    hosts = {origin.host for tenant in world.TENANTS for origin in tenant.origins if origin.kind == "tls"}
    yield TenantNames(APPLICATIONS, tuple(sorted(hosts)))


def _applications(configuration: Configuration) -> dict[str, Any]:
    owned = [(tenant.name, origin) for tenant in world.TENANTS for origin in tenant.origins if origin.kind != "own"]
    everything = [*owned, (world.PUBLIC, world.PUBLIC_ORIGIN)]
    return {"listeners": [_listener(configuration, owner, origin) for owner, origin in everything]}


def _listener(configuration: Configuration, owner: str, origin: world.Origin) -> dict[str, Any]:
    # A site of the Internet or Microsoft channel belongs to no tenant: reached direct, its answer is no leak.
    tagged = owner if origin.private else world.PUBLIC
    listener = {
        "name": origin.name,
        "tenant": tagged if tagged != world.PUBLIC else None,
        "canary": configuration.secrets.canaries[tagged],
        "kind": origin.kind,
        "port": configuration.ports[f"origin/{owner}/{origin.name}"],
    }
    if origin.kind == "tls":
        place = configuration.paths.certificates / APPLICATIONS
        listener |= {"certificate": str(place / "edge.pem"), "key": str(place / "edge.key")}
    return listener


def _directory(configuration: Configuration) -> dict[str, Any]:
    return {"tenants": [_directory_tenant(configuration, tenant) for tenant in world.TENANTS]}


def _directory_tenant(configuration: Configuration, tenant: world.Tenant) -> dict[str, Any]:
    paths = configuration.paths
    groups = sorted({group for user in tenant.users for group in user.groups})
    return {
        "id": tenant.id,
        "name": tenant.name,
        "display_name": tenant.display_name,
        "domains": [tenant.domain],
        "cloud": tenant.cloud,
        "ca_certificate": str(paths.certificates / tenant.name / "ca.pem"),
        "ca_key": str(paths.certificates / tenant.name / "ca.key"),
        "forwarding_profiles": [str(paths.lab / f"profile-{tenant.name}.json")] if tenant.channels else [],
        "applications": [
            {
                "id": tenant.segment_id(segment.key),
                "name": segment.name,
                "assignments": {"users": [], "groups": [tenant.group_id(name) for name in segment.assigned]},
            }
            for segment in tenant.segments
        ],
        "groups": [{"id": tenant.group_id(name), "name": name} for name in groups],
        "users": [_directory_user(configuration, tenant, user) for user in tenant.users],
    }


def _directory_user(configuration: Configuration, tenant: world.Tenant, user: world.User) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "oid": tenant.user_id(user.name),
        "upn": tenant.upn(user),
        "display_name": user.name.title(),
        "user_type": user.user_type,
        "groups": [tenant.group_id(name) for name in user.groups],
        "state": "active",
        "roles": list(user.roles),
    }
    if user.home is None:
        password = configuration.secrets.passwords[tenant.upn(user)]
        return entry | {"password_hash": hash_password(password, salt=secrets.token_bytes(16), cost=QUICK_COST)}
    home = next(other for other in world.TENANTS if other.name == user.home)
    return entry | {"home": {"tenant": home.id, "oid": home.user_id(user.name)}}


def _idp_settings(configuration: Configuration) -> dict[str, Any]:
    place = configuration.paths.certificates / "idp"
    edges = [tenant for tenant in world.TENANTS if tenant.channels]
    return {
        "listen": configuration.address("idp"),
        "public_url": configuration.idp_url,
        "certificate": str(place / "idp.pem"),
        "key": str(place / "idp.key"),
        "directory": str(configuration.file("directory.json")),
        "state": str(configuration.file("idp.sqlite")),
        "traffic_logs": [str(_flow_records(configuration.paths, tenant)) for tenant in edges],
    }


def _flow_records(paths: StatePaths, tenant: world.Tenant) -> Path:
    return paths.lab / f"edge-{tenant.name}.flows.jsonl"


def _edge_settings(configuration: Configuration, tenant: world.Tenant) -> dict[str, Any]:
    paths = configuration.paths
    place = paths.certificates / tenant.name
    return {
        "edge": {
            "listen": list(configuration.edges(tenant).values()),
            "domain": world.EDGE_DOMAIN,
            "records": str(_flow_records(paths, tenant)),
        },
        "connector": {"map": dict(_connections(configuration, tenant))},
        "tenant": [{
            "name": tenant.name,
            "id": tenant.id,
            "issuer": f"{configuration.idp_url}/{tenant.id}/v2.0",
            "jwks_url": f"{configuration.idp_url}/{tenant.id}/discovery/v2.0/keys",
            "restrictions_url": f"{configuration.idp_url}/{tenant.id}/tunnel/v1/restrictions",
            "trust": str(paths.certificates / "idp" / "ca.pem"),
            "client_ca": str(place / "ca.pem"),
            "certificate": str(place / "edge.pem"),
            "key": str(place / "edge.key"),
            "profiles": [str(paths.lab / f"profile-{tenant.name}.json")],
            "channels": {channel: tenant.channel_audience(channel) for channel in tenant.channels},
        }],
    }


def _connections(configuration: Configuration, tenant: world.Tenant) -> Iterable[tuple[str, str]]:
    for origin in tenant.origins:
        listener = configuration.address(f"origin/{tenant.name}/{origin.name}")
        yield f"{origin.host}:{origin.port}" + ("/udp" if origin.protocol == "udp" else ""), listener
        if origin.address is not None:
            yield f"{origin.address}:{origin.port}", listener


def _daemon_settings(configuration: Configuration) -> dict[str, Any]:
    public = configuration.address(f"origin/{world.PUBLIC}/{world.PUBLIC_ORIGIN.name}")
    home = next(tenant for tenant in world.TENANTS if tenant.name == world.HOME)
    direct = {
        origin.host: configuration.address(f"origin/{home.name}/{origin.name}")
        for origin in home.origins if not origin.private
    }
    return {
        "daemon": {
            "state": str(configuration.paths.root),
            "proxy": configuration.address("proxy"),
            "guest_access_enabled": True,
            "home_tenant": world.HOME,
        },
        "idp": {"url": configuration.idp_url, "ca": str(configuration.paths.certificates / "idp" / "ca.pem")},
        "trust": {"ca": str(configuration.paths.bundle)},
        # What public DNS would answer on a real network. The blocked name is here as well: a rule stops it, not DNS.
        "hosts": {world.PUBLIC_ORIGIN.host: public, world.BLOCKED_HOST: public, **direct},
    }


def _write_json(path: Path, document: dict[str, Any]) -> None:
    _write(path, json.dumps(document, indent=1) + "\n")


def _write(path: Path, text: str) -> None:
    write_atomic(path, text.encode())
