"""How outside providers may be reached: which hosts, trusting whom, asking which resolver."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from tunneld.policy.directory_document import Section

HostName = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?$")]


class FederationSettings(Section):
    """The settings table `federation`. Without hosts nothing outside is ever asked.

    A directory object names URLs, and whoever may write objects could point them at anything that this machine
    reaches. So the machine's owner lists the hosts (`host`, or `host:port` where it is not 443).
    """

    hosts: tuple[HostName, ...] = ()
    trust: Path | None = None  # PEM file of authorities; the system's without it
    resolver: HostName | None = None  # address[:port] of a DNS server; the system's without it
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
