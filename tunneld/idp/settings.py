"""Settings of the identity provider, parsed once at the door."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from tunneld.idp.federation_settings import FederationSettings
from tunneld.model.address import parse_authority
from tunneld.model.errors import DocumentError, PeerProtocolError
from tunneld.policy.directory_document import Lifetime, Section, read_document

DAY = 24 * 3600

Url = Annotated[str, StringConstraints(pattern=r"^https://[A-Za-z0-9.:\[\]-]+$")]
Network = Annotated[str, AfterValidator(lambda text: str(ip_network(text)))]
Positive = Annotated[int, Field(ge=1, le=3650 * DAY)]


class Lifetimes(Section):
    """How long things live, in seconds. A tenant may override the access token's in the directory."""

    access_token: Lifetime = (3600, 5400)  # random within 60 to 90 minutes, so that clients do not renew in step
    # For clients that handle claims challenges (20 to 28 hours in the product). Nobody by default: it wants edges that
    # hear of revocations.
    continuous_access_token: Lifetime | None = None
    session: Positive = 14 * DAY
    refresh_token: Positive = 90 * DAY
    certificate: Annotated[int, Field(ge=60, le=8 * 3600)] = 8 * 3600
    device_code: Annotated[int, Field(ge=10, le=3600)] = 900
    key: Positive = 30 * DAY  # how long a signing key signs
    log: Positive = 30 * DAY  # how long sign-in and audit records are kept; the product's with a P1 licence
    key_ahead: Positive = DAY  # how long it is published before; verifiers refresh hourly


class IdpSettings(Section):
    """The settings document. Relative paths are relative to its directory."""

    listen: str = "127.0.0.1:0"
    public_url: Url | None = None  # the issuer's base; needed for stable issuers when the port is 0
    certificate: Path
    key: Path = Field(repr=False)
    directory: Path
    state: Path  # SQLite file; keys and records live beside it
    database: str | None = Field(default=None, repr=False)  # an SQLAlchemy URL instead of that file
    traffic_logs: tuple[Path, ...] = ()  # the edges' records of flows (`edge.records` there), for the traffic log
    lifetimes: Lifetimes = Lifetimes()
    federation: FederationSettings = FederationSettings()
    trusted_proxies: tuple[Network, ...] = ()  # reverse proxies whose X-Forwarded-For is believed
    trust_simulation_headers: bool = False  # tests may name place and risk: x-simulated-address, -country, -risk

    @property
    def database_url(self) -> str:
        """Return where state is stored: the file `state` unless `database` names a server."""
        return self.database or f"sqlite:///{self.state}"

    @property
    def address(self) -> tuple[str, int]:
        """Return the address to listen on; port 0 lets the system choose."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


def load_settings(path: Path) -> IdpSettings:
    """Read settings from a TOML or JSON file. Raises DocumentError."""
    settings = read_document(IdpSettings, read_text(path), where=str(path))
    host, colon, port = settings.listen.rpartition(":")
    try:
        if not (colon and port == "0"):
            parse_authority(settings.listen)
    except PeerProtocolError as error:
        raise DocumentError(str(path), "listen", f"{error.detail}", 'for example "127.0.0.1:8443"') from None
    if not host:
        raise DocumentError(str(path), "listen", "the address is missing", 'for example "127.0.0.1:8443"')
    base = path.absolute().parent
    places = {name: base / getattr(settings, name) for name in ("certificate", "key", "directory", "state")}
    traffic_logs = tuple(base / name for name in settings.traffic_logs)
    return settings.model_copy(update=places | {"traffic_logs": traffic_logs})


def read_text(path: Path) -> str:
    """Return the text of a document. Raises DocumentError when it cannot be read as UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise DocumentError(str(path), "", str(reason)) from None
