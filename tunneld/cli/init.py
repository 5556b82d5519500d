"""`tunneld init`: a starting configuration for one's own tenant and application, without the lab."""

from __future__ import annotations

import re
import secrets
import uuid
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from tunneld.cli.starting_documents import DIRECTORY, PROFILE
from tunneld.cli.starting_settings import DAEMON, EDGE, IDP
from tunneld.journal.files import write_atomic
from tunneld.model.address import parse_authority, parse_ip
from tunneld.model.errors import DocumentError, PeerProtocolError
from tunneld.policy.passwords import hash_password

FILES = {
    "daemon.toml": DAEMON,
    "edge.toml": EDGE,
    "idp.toml": IDP,
    "directory.toml": DIRECTORY,
    "profile.toml": PROFILE,
}
IDP_PORT, EDGE_PORT = 8443, 8444

NEXT = """\
$directory holds a configuration for the tenant $tenant, with one user and one application.

Sign in as $user with the password $password (it is stored nowhere but as a hash).

Next, each program in a terminal of its own:
  tunneld certs $directory/certs --tenant $tenant=$tenant_id:private --domain $domain
  tunneld idp --config $directory/idp.toml
  tunneld edge --config $directory/edge.toml
  tunneld run --config $directory/daemon.toml
  tunneld login --state $directory/state

and something that listens on $target, for example `python3 -m http.server ${target_port} --bind 127.0.0.1`. Then:
  curl -x http://127.0.0.1:1080 http://$application/
  tunneld explain $application --state $directory/state
"""


def init(
    directory: Annotated[Path, typer.Argument(help="Where it goes; made with mode 0700.", metavar="DIR")],
    tenant: Annotated[str, typer.Option(help="Short name of your tenant.")] = "example",
    application: Annotated[
        str, typer.Option(help="Private destination, as users will ask for it.", metavar="HOST:PORT")
    ] = "app.example.internal:80",
    target: Annotated[
        str, typer.Option(help="Where the application really listens.", metavar="ADDRESS:PORT")
    ] = "127.0.0.1:8000",
    user: Annotated[str | None, typer.Option(help="Your user's name. Default: you@TENANT.example.")] = None,
) -> None:
    """Write a commented starting configuration: daemon, edge, identity provider, directory and profile."""
    values = _values(tenant, application, target, user)
    existing = [name for name in FILES if (directory / name).exists()]
    if existing:
        mend = "choose another directory, or move it away"
        raise DocumentError(str(directory / existing[0]), "", "is there already and stays as it is", mend)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / "state").mkdir(mode=0o700, exist_ok=True)
    for name, text in FILES.items():
        write_atomic(directory / name, Template(text).substitute(values).encode(), mode=0o600)
    typer.echo(Template(NEXT).substitute(values, directory=directory), nl=False)


def _values(tenant: str, application: str, target: str, user: str | None) -> dict[str, str]:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", tenant):
        raise DocumentError("--tenant", "", f"{tenant!r} is not a short name", "use lower-case letters and digits")
    host, port = _authority("--application", application)
    address, target_port = _authority("--target", target)
    if parse_ip(address) is None:
        raise DocumentError("--target", "", f"{address!r} is not an address", "write it like 127.0.0.1:8000")
    name = user or f"you@{tenant}.example"
    if not re.fullmatch(r"[^@\s\"\\]{1,64}@[A-Za-z0-9.-]{1,253}", name):
        raise DocumentError("--user", "", f"{name!r} is not a user name", f"write it like you@{tenant}.example")
    password = secrets.token_urlsafe(9)
    return {
        "tenant": tenant,
        "tenant_id": str(uuid.uuid4()),
        "domain": f"edge.{tenant}.internal",
        "idp_port": str(IDP_PORT),
        "edge_port": str(EDGE_PORT),
        "application": f"{host}:{port}",
        "application_id": str(uuid.uuid4()),
        "application_name": re.sub(r"[^a-z0-9-]+", "-", host).strip("-"),
        "host": host,
        "port": str(port),
        "target": target,
        "target_port": str(target_port),
        "channel_audience": str(uuid.uuid4()),
        "group_id": str(uuid.uuid4()),
        "user": name.lower(),
        "user_id": str(uuid.uuid4()),
        "password": password,
        "password_hash": hash_password(password, salt=secrets.token_bytes(16)),
    }


def _authority(option: str, text: str) -> tuple[str, int]:
    try:
        return parse_authority(text)
    except PeerProtocolError:
        raise DocumentError(option, "", f"{text!r} is not host:port", "write it like app.example.internal:80") from None
