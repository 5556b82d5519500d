"""The daemon's settings: one TOML file, parsed at the door into frozen values."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator, model_validator

from tunneld.journal.settings_file import Section, check_settings, read_settings_text
from tunneld.model.address import normalise_host, parse_authority, parse_ip
from tunneld.model.errors import PeerProtocolError
from tunneld.session.switching import Mode

Seconds = Annotated[float, Field(gt=0, le=86400)]


def _endpoint(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError("not host:port; write it like 127.0.0.1:1080")
    return text


def _address(text: str) -> str:
    try:
        host, _ = parse_authority(text)
    except PeerProtocolError:
        raise ValueError("not address:port; write it like 127.0.0.1:9009") from None
    if parse_ip(host) is None:
        raise ValueError("a name, not an address; write the address that it stands for, like 127.0.0.1:9009")
    return text


def _target(text: str) -> str:
    if parse_ip(text) is None:
        _address(text)
    return text


Endpoint = Annotated[str, AfterValidator(_endpoint)]
Address = Annotated[str, AfterValidator(_address)]
Target = Annotated[str, AfterValidator(_target)]


class DaemonSection(Section):
    """[daemon]"""

    state: Path = Path()
    """Directory of the daemon's state, made 0700: refresh tokens (encrypted), the selected tenant, the last profiles
    and the control socket. Default: $TUNNELD_STATE, else ~/.local/state/tunneld."""

    proxy: Endpoint = "127.0.0.1:1080"
    """Where the mixed SOCKS and HTTP proxy listens. Port 0 takes a free one; the ready line says which."""

    guest_access_enabled: bool = False
    """Whether this machine may be used as an external user of other tenants. Off: no tenant is looked for, not one
    request leaves for it, and `switch` is refused."""

    mode: Mode = Mode.EXCLUSIVE
    """How tenants share the daemon. `exclusive`: one at a time; a switch retires every tunnel of the one it leaves."""

    home_tenant: str = Field(min_length=1)
    """Short name, verified domain or id of the tenant whose account signs in."""

    bound_tenant: str | None = None
    """For a machine that belongs to a resource tenant (a cloud PC): that tenant is active without a switch, and all
    its channels are used instead of the private one only."""


class IdpSection(Section):
    """[idp]"""

    url: str
    """Base address of the identity provider, https only, without a path to a tenant."""

    ca: Path | None = None
    """PEM file with the authorities that may vouch for the identity provider, instead of the system's. Default: the
    system's."""

    @field_validator("url")
    @classmethod
    def _https(cls, url: str) -> str:
        if not re.fullmatch(r"https://[^/?#\s]+(?:/[^?#\s]*)?", url):
            raise ValueError("not an https address; write it like https://login.example")
        return url.rstrip("/")


class TrustSection(Section):
    """[trust]"""

    ca: Path | None = None
    """PEM bundle of tenant authorities. When given, an edge authority that the identity provider hands out must also
    be in this file, so that a hijacked provider cannot introduce an edge. Default: take the provider's word."""


class AllowSection(Section):
    """[allow]"""

    destinations: tuple[Address, ...] = ()
    """Loopback or link-local `address:port` pairs that direct flows may reach in spite of the ban on such addresses."""


class ProxyAuthSection(Section):
    """[proxy_auth]"""

    user: str = Field(min_length=1, max_length=255)
    """User name that applications must give (RFC 1929, or Basic for HTTP). RFC 1929 §2 allows 255 bytes."""

    password: str = Field(min_length=1, max_length=255, repr=False)
    """Password that goes with it. Keep this file 0600."""


class TenantRestrictionsSection(Section):
    """[tenant_restrictions]"""

    policy: str = Field(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}:"
                                r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
    """`<tenant id>:<policy id>` of the organization that owns this machine or network. Every sign-in and every tunnel
    names it, so that accounts of other organizations reach what that policy allows and nothing else."""


class RefreshSection(Section):
    """[refresh]"""

    discovery_s: Seconds = 300.0
    """Seconds between two looks for tenants that invited the user. Not used while guest access is off."""

    profile_s: Seconds = 30.0
    """Seconds between two conditional requests for the active tenant's profile (an ETag makes them cheap)."""


class LimitsSection(Section):
    """[limits]"""

    flows: int = Field(default=8192, ge=1, le=1_000_000)
    """Concurrent flows of all applications. A tunnelled flow costs one file descriptor, a direct one two."""

    closed_flows: int = Field(default=2000, ge=0, le=1_000_000)
    """Closed flows that `flows` still shows."""

    handshake_s: Seconds = 10.0
    """Seconds an application has to finish its SOCKS or HTTP request."""

    prepare_s: Seconds = 20.0
    """Seconds that preparing a switch may take, waiting for the user not counted."""

    interaction_s: Seconds = 600.0
    """Seconds the user has to answer a page of the identity provider."""

    grace_s: Annotated[float, Field(ge=0, le=3600)] = 1.0
    """Seconds that live flows get to end by themselves when the daemon stops."""


class Settings(Section):
    """The whole file."""

    daemon: DaemonSection
    idp: IdpSection
    trust: TrustSection = TrustSection()
    hosts: Mapping[str, Target] = {}
    """[hosts]: names that direct flows resolve without DNS, as `name = "ip"` or `name = "ip:port"`. Each of these
    pairs is a permitted destination even on loopback."""

    allow: AllowSection = AllowSection()
    proxy_auth: ProxyAuthSection | None = None
    """[proxy_auth]: ask applications for a user name and password. Left out: the loopback address is the only gate."""

    tenant_restrictions: TenantRestrictionsSection | None = None
    """[tenant_restrictions]: the owner's policy about foreign accounts. Left out: this machine names none."""

    @model_validator(mode="after")
    def _no_open_proxy(self) -> Settings:
        address = parse_ip(self.daemon.proxy.rpartition(":")[0].strip("[]"))
        if self.proxy_auth is None and address is not None and not address.is_loopback:
            raise ValueError(
                f"daemon.proxy {self.daemon.proxy} lets other machines use your tenants without a password; "
                "listen on 127.0.0.1, or add [proxy_auth]"
            )
        return self

    refresh: RefreshSection = RefreshSection()
    limits: LimitsSection = LimitsSection()

    @field_validator("hosts")
    @classmethod
    def _names(cls, hosts: Mapping[str, str]) -> Mapping[str, str]:
        for name in hosts:
            try:
                normalise_host(name)
            except PeerProtocolError as error:
                raise ValueError(f"{name!r} is not a host name: {error.detail}") from None
        return {normalise_host(name): target for name, target in hosts.items()}


def default_state_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Return the state directory that the daemon and its commands use unless told otherwise."""
    env = os.environ if environ is None else environ
    if env.get("TUNNELD_STATE"):
        return Path(env["TUNNELD_STATE"])
    base = env.get("XDG_STATE_HOME") or str(Path(env.get("HOME", "~")).expanduser() / ".local" / "state")
    return Path(base) / "tunneld"


def load_settings(path: Path) -> Settings:
    """Read and check the file. Relative paths in it count from its directory. Raises DocumentError, one line."""
    return parse_settings(read_settings_text(path), where=str(path), base=path.resolve().parent)


def parse_settings(text: str, *, where: str, base: Path) -> Settings:
    """Check the text of a settings file. Raises DocumentError with the file, the key and the mend, on one line."""
    return _with_paths(check_settings(text, Settings, where=where), base)


def _with_paths(settings: Settings, base: Path) -> Settings:
    state = settings.daemon.state
    daemon = settings.daemon.model_copy(update={"state": base / state if state != Path() else default_state_dir()})
    update: dict[str, Any] = {"daemon": daemon}
    if settings.idp.ca is not None:
        update["idp"] = settings.idp.model_copy(update={"ca": base / settings.idp.ca})
    if settings.trust.ca is not None:
        update["trust"] = settings.trust.model_copy(update={"ca": base / settings.trust.ca})
    return settings.model_copy(update=update)
