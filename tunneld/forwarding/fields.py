"""The small values that a profile's fields hold, each parsed once and written back as it was meant."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, Strict, StringConstraints, WithJsonSchema

from tunneld.forwarding.destinations import Destination, UnusableError, parse_destination
from tunneld.forwarding.ports import PortRange, parse_ports
from tunneld.model.address import format_authority, normalise_host, parse_authority, parse_ip
from tunneld.model.errors import PeerProtocolError
from tunneld.model.verdict import SwitchPolicy

MAX_DRAIN_S = 86_400

_DRAIN = re.compile(r"drain:([0-9]{1,5})")

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
TenantName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,127}$", to_lower=True)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=256)]


def parse_switch_policy(value: object) -> SwitchPolicy:
    """Return the policy that ``terminate``, ``keep`` or ``drain:<seconds>`` spells. Raises UnusableError."""
    if value in ("terminate", "keep"):
        return SwitchPolicy(str(value))
    drain = _DRAIN.fullmatch(value) if isinstance(value, str) else None
    if drain is None or not 1 <= int(drain[1]) <= MAX_DRAIN_S:
        mend = f'write "terminate", "keep" or "drain:<seconds>" with 1 to {MAX_DRAIN_S} seconds'
        raise UnusableError(f"{str(value)[:40]!r} is not a switch policy", mend)
    return SwitchPolicy("drain", int(drain[1]))


def _edge(value: object) -> str:
    return _authority(value, "write host:port, such as contoso.private.edge.example:8443")


def _dial_address(value: object) -> str:
    text = _authority(value, "write address:port, such as 127.0.0.1:8443")
    if parse_ip(parse_authority(text)[0]) is None:
        raise UnusableError(f"{value!r} is a name, not an address", "names go into `edge`")
    return text


def _authority(value: object, mend: str) -> str:
    if not isinstance(value, str):
        raise UnusableError("not a string", mend)
    try:
        return format_authority(*parse_authority(value))
    except PeerProtocolError as error:
        raise UnusableError(f"{value[:60]!a}: {error.detail or error.reason.value}", mend) from None


def _suffix(value: object) -> str:
    mend = "write it like corp.example"
    if not isinstance(value, str):
        raise UnusableError("a suffix is a string", mend)
    try:
        return normalise_host(value.removeprefix("*."))
    except PeerProtocolError as error:
        raise UnusableError(f"{value[:60]!a}: {error.detail or error.reason.value}", mend) from None


_PORTS = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": 65535},
        {"type": "string", "pattern": "^[0-9]+(-[0-9]+)?$"},
    ]
}
_POLICY = {"type": "string", "pattern": "^(terminate|keep|drain:[0-9]+)$", "default": "terminate"}
_NAMED = {"type": "string", "examples": ["n.example", "*.example", "10.0.0.0/8", "10.0.0.1-10.0.0.9", "2001:db8::/32"]}

AnyDestination = Annotated[
    Destination, PlainValidator(parse_destination), PlainSerializer(str, return_type=str), WithJsonSchema(_NAMED)
]
AnyPorts = Annotated[
    PortRange, PlainValidator(parse_ports), PlainSerializer(lambda ports: ports.to_document()), WithJsonSchema(_PORTS)
]
AnySwitchPolicy = Annotated[
    SwitchPolicy, PlainValidator(parse_switch_policy), PlainSerializer(str, return_type=str), WithJsonSchema(_POLICY)
]
EdgeName = Annotated[str, BeforeValidator(_edge)]
DialAddress = Annotated[str, BeforeValidator(_dial_address)]
Suffix = Annotated[str, BeforeValidator(_suffix)]
Count = Annotated[int, Strict()]
