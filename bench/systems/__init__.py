"""The measured systems, one file each, and the table that lists them. Open `system.py` first."""

from __future__ import annotations

from bench.flows import HTTP
from bench.systems.envoy import Envoy
from bench.systems.loopback import Loopback
from bench.systems.pproxy import PProxy
from bench.systems.sing_box import SingBox
from bench.systems.system import Running, System
from bench.systems.tunneld import Tunneld
from bench.systems.v2ray import V2Ray

SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        Tunneld(),
        Tunneld(inbound=HTTP),
        Envoy(),
        SingBox(),
        SingBox(multiplexed=True),
        V2Ray(),
        PProxy(),
        Loopback(),
    )
}

__all__ = ["SYSTEMS", "Running", "System"]
