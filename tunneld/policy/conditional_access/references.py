"""What policies refer to: named locations, authentication strengths, authentication contexts and terms of use.

Microsoft Graph reference: namedLocation (ipNamedLocation, countryNamedLocation), authenticationStrengthPolicy,
authenticationContextClassReference, agreement.
"""

from __future__ import annotations

from ipaddress import IPv6Network, ip_network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from tunneld.policy.conditional_access.words import BUILT_IN_STRENGTHS, KNOWN_COMBINATIONS, cased, combination
from tunneld.policy.directory_document import Guid, Text
from tunneld.policy.objects import GraphObject

MAX_RANGES = 2000  # Microsoft Entra: IP ranges of one named location
MAX_COUNTRIES = 250  # as many as ISO 3166-1 has, rounded up
MAX_AGREEMENT = 100_000  # characters, a choice: a page that a person is asked to read

Timestamp = Annotated[str, StringConstraints(max_length=40, pattern=r"^[0-9TZ:.+-]+$")]
Country = Annotated[str, StringConstraints(to_upper=True, pattern=r"^[A-Za-z]{2}$")]
Description = Annotated[str, StringConstraints(max_length=1024, pattern=r"^[^\x00]*$")]
ContextId = Annotated[str, StringConstraints(pattern=r"^c[1-9][0-9]?$")]

IP_LOCATION = "#microsoft.graph.ipNamedLocation"
COUNTRY_LOCATION = "#microsoft.graph.countryNamedLocation"
_MAPPED = 96  # bits before the IPv4 address in an IPv4-mapped one (RFC 4291 §2.5.5.2)
_RANGE_TYPES = ("#microsoft.graph.iPv4CidrRange", "#microsoft.graph.iPv6CidrRange")


def _network(text: str) -> str:
    if len(text) > 64 or "/" not in text:
        raise ValueError("not an address range such as 203.0.113.0/24")
    network = ip_network(text, strict=False)
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is not None and network.prefixlen >= _MAPPED:
        return f"{mapped}/{network.prefixlen - _MAPPED}"  # clients' addresses are compared as IPv4, too
    return str(network)


def _known_combination(text: str) -> str:
    known = KNOWN_COMBINATIONS.get(combination(text)) if len(text) <= 256 else None
    if known is None:
        raise ValueError('not a combination such as "fido2" or "password,softwareOath"')
    return known


class IpRange(GraphObject):
    """One range of addresses; whether it is IPv4 or IPv6 shows in the address."""

    odata_type: Annotated[Literal["#microsoft.graph.iPv4CidrRange", "#microsoft.graph.iPv6CidrRange"] | None,
                          Field(alias="@odata.type")] = None
    cidr_address: Annotated[str, AfterValidator(_network)]

    @model_validator(mode="after")
    def _fits(self) -> IpRange:
        meant = _RANGE_TYPES[":" in self.cidr_address]
        if self.odata_type not in (None, meant):
            raise ValueError(f"{self.cidr_address} is not a range of {self.odata_type}")
        return self

    def to_json(self) -> dict[str, Any]:  # a JSON object has any shape
        """Return the range with the type that Graph tells it by."""
        return {"@odata.type": _RANGE_TYPES[":" in self.cidr_address], "cidrAddress": self.cidr_address}


class NamedLocation(GraphObject):
    """A set of addresses or of countries. Without `@odata.type` the members tell which."""

    odata_type: Annotated[Literal["#microsoft.graph.ipNamedLocation", "#microsoft.graph.countryNamedLocation"],
                          Field(alias="@odata.type")]
    id: Guid
    display_name: Text
    created_date_time: Timestamp | None = None
    modified_date_time: Timestamp | None = None
    is_trusted: bool = False
    ip_ranges: Annotated[tuple[IpRange, ...], Field(max_length=MAX_RANGES)] = ()
    countries_and_regions: Annotated[tuple[Country, ...], Field(max_length=MAX_COUNTRIES)] = ()
    include_unknown_countries_and_regions: bool = False
    country_lookup_method: Annotated[Literal["clientIpAddress"], cased(Literal["clientIpAddress"])] = "clientIpAddress"

    @model_validator(mode="before")
    @classmethod
    def _told_by_its_members(cls, value: Any) -> Any:  # whatever the caller sent
        if isinstance(value, dict) and "@odata.type" not in value and "odata_type" not in value:
            is_ip = "ipRanges" in value or "ip_ranges" in value
            return {**value, "@odata.type": IP_LOCATION if is_ip else COUNTRY_LOCATION}
        return value

    @model_validator(mode="after")
    def _of_one_sort(self) -> NamedLocation:
        is_ip = self.odata_type == IP_LOCATION
        country_members = {"countries_and_regions", "include_unknown_countries_and_regions", "country_lookup_method"}
        foreign = country_members if is_ip else {"is_trusted", "ip_ranges"}
        if foreign & self.model_fields_set:
            raise ValueError(f"not members of {self.odata_type}: {', '.join(sorted(foreign & self.model_fields_set))}")
        if is_ip and not self.ip_ranges:
            raise ValueError("a location of addresses needs ipRanges")
        if not is_ip and not self.countries_and_regions and not self.include_unknown_countries_and_regions:
            raise ValueError("a location of countries needs countriesAndRegions")
        return self

    def to_json(self) -> dict[str, Any]:  # a JSON object has any shape
        """Return the members of this sort of location only."""
        shared = {
            "@odata.type": self.odata_type, "id": self.id, "displayName": self.display_name,
            "createdDateTime": self.created_date_time, "modifiedDateTime": self.modified_date_time,
        }
        if self.odata_type == IP_LOCATION:
            return {**shared, "isTrusted": self.is_trusted, "ipRanges": [each.to_json() for each in self.ip_ranges]}
        return {
            **shared, "countriesAndRegions": list(self.countries_and_regions),
            "includeUnknownCountriesAndRegions": self.include_unknown_countries_and_regions,
            "countryLookupMethod": self.country_lookup_method,
        }


class AuthenticationStrength(GraphObject):
    """Which combinations of methods are strong enough. `requirementsSatisfied` follows from them and is not read."""

    id: Guid
    display_name: Text
    description: Description = ""
    policy_type: Annotated[Literal["builtIn", "custom"], cased(Literal["builtIn", "custom"])] = "custom"
    allowed_combinations: Annotated[
        tuple[Annotated[str, AfterValidator(_known_combination)], ...], Field(min_length=1, max_length=64)
    ]
    created_date_time: Timestamp | None = None
    modified_date_time: Timestamp | None = None


class AuthenticationContext(GraphObject):
    """A name, c1 to c99, under which an application asks for more; unpublished ones are granted to nobody."""

    id: ContextId
    display_name: Text
    description: Description = ""
    is_available: bool = False


class Agreement(GraphObject):
    """Terms of use. Raising `version` asks everybody again; `version` and `text` are ours, Graph uploads a PDF."""

    id: Guid
    display_name: Text
    is_viewing_before_acceptance_required: bool = False
    is_per_device_acceptance_required: bool = False
    version: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    text: Annotated[str, StringConstraints(max_length=MAX_AGREEMENT, pattern=r"^[^\x00]*$")] = ""

    @field_validator("is_per_device_acceptance_required")
    @classmethod
    def _per_user_only(cls, value: bool) -> bool:
        if value:
            raise ValueError("acceptance is recorded for users, not for devices")
        return value


def built_in_strengths() -> tuple[AuthenticationStrength, ...]:
    """Return the strengths that every tenant has and nobody can change."""
    return tuple(
        AuthenticationStrength(
            id=strength_id, display_name=name, policy_type="builtIn", allowed_combinations=combinations
        )
        for strength_id, (name, combinations) in BUILT_IN_STRENGTHS.items()
    )
