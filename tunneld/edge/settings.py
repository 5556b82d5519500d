"""The edge's settings: one TOML file, parsed at the door into frozen values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from tunneld.journal.settings_file import Section, check_settings, read_settings_text
from tunneld.model.address import format_authority, parse_authority, parse_ip
from tunneld.model.errors import PeerProtocolError
from tunneld.model.verdict import Channel, Protocol

# The daemon's public client id, the same in every tenant.
DAEMON_CLIENT = "7d2f3c9e-6b1a-4e5d-9a40-1f6c8e2b5a10"


def _guid(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", text):
        raise ValueError("not a GUID; write 32 lower-case hexadecimal digits as 8-4-4-4-12")
    return text


def _https(text: str) -> str:
    if not re.fullmatch(r"https://[^/?#\s@]+/[^?#\s]*", text):
        raise ValueError("not an https address; write it like https://login.example/path")
    return text


def _listener(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or parse_ip(host.strip("[]")) is None or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("not address:port; write it like 127.0.0.1:8443")
    return text


def _endpoint(text: str) -> str:
    host, port = _split(text)
    if parse_ip(host) is None:
        raise ValueError("not address:port; write it like 127.0.0.1:9009")
    return format_authority(host, port)


def _destination(text: str) -> str:
    """Return `host:port`, or `host:port/udp`, in its one spelling."""
    authority, slash, protocol = text.partition("/")
    if slash and protocol not in ("tcp", "udp"):
        raise ValueError("unknown protocol; write host:port or host:port/udp")
    return format_authority(*_split(authority)) + ("/udp" if protocol == "udp" else "")


def _split(text: str) -> tuple[str, int]:
    try:
        return parse_authority(text)
    except PeerProtocolError as error:
        raise ValueError(f"not host:port ({error.detail or error.reason}); write it like files.example:443") from None


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Guid = Annotated[str, AfterValidator(_guid)]
HttpsUrl = Annotated[str, AfterValidator(_https)]
Listener = Annotated[str, AfterValidator(_listener)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
Destination = Annotated[str, AfterValidator(_destination)]
Seconds = Annotated[float, Field(gt=0, le=604800)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


class EdgeSection(Section):
    """[edge]"""

    listen: Annotated[tuple[Listener, ...], BeforeValidator(_listed), Field(min_length=1)] = ("127.0.0.1:8443",)
    """Address and port for tunnels, or a list of them. Port 0 takes a free one; the ready line says which."""

    domain: str = Field(min_length=1, max_length=128, pattern=r"^[a-z0-9.-]+$")
    """Edges are called `<tenant id>.<channel>.<domain>`, in certificates and in the TLS server name."""

    records: Path | None = None
    """File that gets one JSON line when a flow opens and one when it ends. Default: none are written."""

    interop: Listener | None = None
    """A second listener for foreign HTTP/2 clients and proxies: no session, a full unbound token with every request.
    Default: off."""

    prefer_aes_128: bool = True
    """Prefer AES-128-GCM to AES-256-GCM: 7 to 10 % less CPU on bulk transfers. OpenSSL's own order otherwise."""


class ConnectorSection(Section):
    """[connector], or [tenant.connector] for one tenant alone"""

    map: Mapping[Destination, Endpoint] = {}
    """Private destination to the address that plays it, as `"host:port" = "address:port"`. Such an address may be
    loopback. `"host:port/udp"` names the UDP one."""

    proxy_protocol: frozenset[Destination] = frozenset()
    """Destinations (as in `map`, before mapping) that want a PROXY protocol v2 header with the user's address."""

    allow: frozenset[Endpoint] = frozenset()
    """Loopback, link-local or otherwise forbidden `address:port` pairs that flows may name themselves."""

    nameservers: tuple[Endpoint, ...] = ()
    """Resolvers for destinations that are not mapped, as `address:port`. Default: those of /etc/resolv.conf."""

    connect_s: Seconds = 5.0
    """Seconds a connection to an origin may take."""

    breaker_failures: Count = 5
    """After so many failures in a row an origin is refused at once,"""

    breaker_s: Seconds = 5.0
    """for this many seconds."""


class TenantSection(Section):
    """[[tenant]]"""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9-]*$")
    """Short name, as it appears in records."""

    id: Guid
    """The tenant's id, as in its tokens and in the name of its edges."""

    issuer: HttpsUrl
    """The one `iss` that is believed. It contains the tenant's id."""

    jwks_url: HttpsUrl
    """Where that issuer publishes its keys."""

    trust: Path
    """PEM file with the authority of the issuer's https. No other is accepted."""

    client_ca: Path
    """PEM file with the tenant's authority: it signs the certificates of users."""

    certificate: Path
    """PEM file with the edge's certificate chain, leaf first."""

    key: Path
    """PEM file with its key, mode 0600."""

    profiles: tuple[Path, ...] = Field(min_length=1)
    """Forwarding profiles of the tenant. Of several that are assigned to a user, the closest assignment wins (user,
    then group, then user type), then the order here."""

    restrictions_url: HttpsUrl | None = None
    """Where the issuer judges tenant restrictions (`<base>/<tenant id>/tunnel/v1/restrictions`), for connections that
    name a policy. Left out: every such connection is refused."""

    channels: Mapping[Channel, Guid] = Field(min_length=1)
    """Channels that this edge offers, each with the audience of its channel tokens."""

    clients: frozenset[Guid] = frozenset({DAEMON_CLIENT})
    """Client applications (`azp`) whose tokens are taken. Default: the daemon."""

    connector: ConnectorSection | None = None
    """Origins of this tenant alone. Default: the common [connector]."""

    @model_validator(mode="after")
    def _issuer_of_this_tenant(self) -> TenantSection:
        if self.id not in self.issuer:
            raise ValueError("the issuer does not contain the tenant's id; copy both from the tenant's metadata")
        return self


class KeysSection(Section):
    """[keys]"""

    refresh_s: Seconds = 3600.0
    """Seconds between two looks at the issuer's keys."""

    unknown_s: Seconds = 300.0
    """Least seconds between two looks that a token with an unknown key id causes."""

    retry_s: Seconds = 5.0
    """Least seconds before a failed look is repeated."""

    lifetime_s: Seconds = 86400.0
    """Seconds that keys are used while the issuer cannot be reached."""

    timeout_s: Seconds = 5.0
    """Seconds a look may take."""


class LimitsSection(Section):
    """[limits]"""

    connections: Count = 1024
    """Tunnel connections at a time."""

    streams: Count = 1000
    """Concurrent flows in one tunnel connection."""

    flows: Count = 8192
    """Concurrent flows of everybody. Each takes a file descriptor."""

    flows_per_user: Count = 4096
    """Concurrent flows of one user."""

    flows_per_application: Count = 4096
    """Concurrent flows to one application, so that a black hole of an origin does not take every place."""

    handshake_s: Seconds = 10.0
    """Seconds from accepting a connection to an accepted session."""

    half_close_s: Seconds = 60.0
    """Seconds that a flow may stay silent after one side closed."""

    grace_s: Annotated[float, Field(ge=0, le=3600)] = 1.0
    """Seconds that live flows get to end by themselves when the edge stops."""


class Settings(Section):
    """The whole file."""

    edge: EdgeSection
    tenant: tuple[TenantSection, ...] = Field(min_length=1)
    connector: ConnectorSection = ConnectorSection()
    keys: KeysSection = KeysSection()
    limits: LimitsSection = LimitsSection()

    @model_validator(mode="after")
    def _tenants_differ(self) -> Settings:
        for attribute in ("name", "id"):
            values = [getattr(tenant, attribute) for tenant in self.tenant]
            if len(set(values)) != len(values):
                raise ValueError(f"two tenants have the same {attribute}; give each its own")
        return self


def map_key(host: str, port: int, protocol: Protocol) -> str:
    """Return how `map` and `proxy_protocol` spell a normalised destination."""
    return format_authority(host, port) + ("/udp" if protocol is Protocol.UDP else "")


def load_settings(path: Path) -> Settings:
    """Read and check the file. Relative paths in it count from its directory. Raises DocumentError, one line."""
    return parse_settings(read_settings_text(path), where=str(path), base=path.resolve().parent)


def parse_settings(text: str, *, where: str, base: Path) -> Settings:
    """Check the text of a settings file. Raises DocumentError with the file, the key and the mend, on one line."""
    return _with_paths(check_settings(text, Settings, where=where), base)


def _with_paths(settings: Settings, base: Path) -> Settings:
    edge = settings.edge
    if edge.records is not None:
        edge = edge.model_copy(update={"records": base / edge.records})
    tenants = []
    for tenant in settings.tenant:
        update: dict[str, object] = {
            name: base / getattr(tenant, name) for name in ("trust", "client_ca", "certificate", "key")
        }
        update["profiles"] = tuple(base / profile for profile in tenant.profiles)
        tenants.append(tenant.model_copy(update=update))
    return settings.model_copy(update={"edge": edge, "tenant": tuple(tenants)})
