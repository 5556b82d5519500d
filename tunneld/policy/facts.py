"""What a sign-in decision looks at besides the directory: the request's surroundings and what the session has proved.

Values only. The shell gathers them (headers, cookies, clock, device keys); nothing here is trusted because a client
said so, except where a field's description says that it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Place(StrEnum):
    """Where a method was, or has to be, used: at the account's home tenant or at the tenant that is visited."""

    HOME = "home"
    RESOURCE = "resource"


class AccessPath(StrEnum):
    """How an account of another organization comes in; the values are those of `crossTenantAccessType`."""

    NONE = "none"  # no boundary is crossed
    COLLABORATION = "b2bCollaboration"
    DIRECT_CONNECT = "b2bDirectConnect"
    SERVICE_PROVIDER = "serviceProvider"


@dataclass(frozen=True, slots=True)
class MethodUse:
    """One authentication method that was used. `method` is a word of Graph's `authenticationMethodModes`."""

    method: str  # "password" | "softwareOath" | "fido2" | "email" | "federatedSingleFactor" | …
    at: int  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """A device that proved its credential at home sign-in, as its tenant knows it now."""

    id: str
    tenant_id: str
    display_name: str = ""
    operating_system: str = ""
    compliant: bool = False
    hybrid_joined: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)  # what a device filter may name


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What the session has proved so far.

    `home` are methods used at the account's home tenant, `resource` those used at the tenant that is visited now.
    `terms_accepted` holds the ids of that tenant's agreements which the user accepted in their present version.
    """

    home: tuple[MethodUse, ...] = ()
    resource: tuple[MethodUse, ...] = ()
    registered_home: frozenset[str] = frozenset()
    registered_resource: frozenset[str] = frozenset()
    device: DeviceFacts | None = None
    terms_accepted: frozenset[str] = frozenset()
    user_risk: str = "none"  # of the home account: none | low | medium | high
    sign_in_risk: str = "none"


@dataclass(frozen=True, slots=True)
class Restrictions:
    """The tenant-restriction headers of a request, as received; None stands for an absent header."""

    v1_tenants: str | None = None  # Restrict-Access-To-Tenants
    v1_context: str | None = None  # Restrict-Access-Context
    v2: tuple[str, ...] = ()  # every value of sec-Restrict-Tenant-Access-Policy


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The request around a sign-in. Platform and client type come from unverified client data, as in the product."""

    address: str = ""  # IP address of the client, "" when unknown
    country: str = ""  # ISO 3166-1 alpha-2, "" when unknown
    platform: str = ""  # android | iOS | windows | macOS | linux | ""
    client_app: str = "browser"  # Graph's clientAppTypes
    interactive: bool = True
    path: AccessPath = AccessPath.COLLABORATION  # taken only where a boundary is crossed
    contexts: tuple[str, ...] = ()  # authentication contexts that the client was told to ask for (`acrs`)
    user_action: str = ""  # "urn:user:registersecurityinfo" | "urn:user:registerdevice" | ""
    restrictions: Restrictions = Restrictions()
