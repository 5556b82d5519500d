"""Whether a domain agrees to a passive endpoint elsewhere: its TXT record `DirectFedAuthUrl=…`."""

from __future__ import annotations

from collections.abc import Sequence

import dns.asyncresolver
import dns.exception
import dns.rdatatype

from tunneld.idp.federation_settings import FederationSettings
from tunneld.policy.federation.configuration import (
    RECORD_PREFIX,
    FederationConfiguration,
    record_names,
    unproven_domains,
)
from tunneld.policy.objects import Change, Conflict

MAX_ASKED = 20  # domains asked about for one configuration: more is a mistake or an abuse of the resolver


async def conflict_of_records(changes: Sequence[Change], settings: FederationSettings) -> Conflict | None:
    """Return why one of these changes may not be saved: a domain did not announce its passive endpoint.

    What the directory's file says is not asked about: whoever writes that file needs nobody's word.
    """
    for change in changes:
        if isinstance(change.value, FederationConfiguration):
            conflict = await _conflict_of(change.value, settings)
            if conflict is not None:
                return conflict
    return None


async def _conflict_of(config: FederationConfiguration, settings: FederationSettings) -> Conflict | None:
    asked = unproven_domains(config)
    if len(asked) > MAX_ASKED:
        return _conflict(asked[0])
    for domain in asked:
        records = await _records(domain, settings)
        if not any(record_names(config, record) for record in records):
            return _conflict(domain)
    return None


def _conflict(domain: str) -> Conflict:
    return Conflict(
        "passiveEndpointNotProven",
        f"The passive endpoint is not under {domain}, and the domain's DNS does not name it.",
        f"Use an endpoint under the domain, or publish the TXT record {RECORD_PREFIX}<passiveSignInUri> there.",
        "passiveSignInUri",
    )


async def _records(domain: str, settings: FederationSettings) -> list[str]:
    """Return the TXT records of a domain; a name server that is silent has not said yes."""
    resolver = dns.asyncresolver.Resolver(configure=settings.resolver is None)
    if settings.resolver is not None:
        address, _, port = settings.resolver.partition(":")
        resolver.nameservers, resolver.port = [address], int(port or 53)
    resolver.lifetime = settings.timeout_s
    try:
        answer = await resolver.resolve(f"{domain}.", dns.rdatatype.TXT)
    except (dns.exception.DNSException, OSError):
        return []
    return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]
