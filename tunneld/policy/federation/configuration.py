"""Direct federation with SAML 2.0 and WS-Federation providers, as Graph writes it and as it may be saved.

Microsoft Graph reference: samlOrWsFedExternalDomainFederation. Whether a passive endpoint outside the federated
domain is announced in DNS is not this module's to find out: `unproven_domains` says what has to be asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from tunneld.policy.directory import Directory, Tenant
from tunneld.policy.directory_document import Domain, Guid, Text
from tunneld.policy.federation.certificates import read_signing_certificate
from tunneld.policy.federation.compiled import Federations, Protocol, TrustedProvider
from tunneld.policy.objects import Conflict, GraphObject, ObjectKind

KIND = "federationConfiguration"
MAX_DOMAINS = 1000  # a choice: Microsoft names no limit for the domains of one federation
RECORD_PREFIX = "DirectFedAuthUrl="  # the TXT record by which a domain names a passive endpoint elsewhere

_URL = re.compile(r"https://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?(?:/[\x21-\x7e]*)?")
_PROTOCOLS = {"saml": "saml", "wsfed": "wsFed"}


def https_url(text: str) -> str:
    """Return an https URL without user name, fragment or blanks. Raises ValueError."""
    if len(text) > 2048 or not _URL.fullmatch(text) or {"#", "\\", '"', "<", ">"} & set(text):
        raise ValueError("not an https URL such as https://sts.partner.example/adfs/ls")
    if urlsplit(text).port == 0:
        raise ValueError("not a port")
    return text


def _certificate(text: str) -> str:
    read_signing_certificate(text)
    return text


def _canonical_protocol(value: object) -> object:
    """Microsoft's samples mix letter cases in enumerations: read any, write one."""
    return _PROTOCOLS.get(value.strip().lower(), value) if isinstance(value, str) else value


HttpsUrl = Annotated[str, AfterValidator(https_url)]
Issuer = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[\x21-\x7e]+$")]


class DomainName(GraphObject):
    """Microsoft Graph reference: externalDomainName."""

    id: Domain


class FederationConfiguration(GraphObject):
    """A SAML or WS-Federation provider that signs in the people of some mail domains."""

    id: Guid
    display_name: Text
    issuer_uri: Issuer
    passive_sign_in_uri: HttpsUrl
    signing_certificate: Annotated[str, AfterValidator(_certificate)]
    metadata_exchange_uri: HttpsUrl | None = None
    preferred_authentication_protocol: Annotated[Literal["saml", "wsFed"], BeforeValidator(_canonical_protocol)]
    domains: Annotated[tuple[DomainName, ...], Field(min_length=1, max_length=MAX_DOMAINS)]


def unproven_domains(config: FederationConfiguration) -> tuple[str, ...]:
    """Return the domains whose DNS has to name the passive endpoint, because its host is not under them."""
    host = (urlsplit(config.passive_sign_in_uri).hostname or "").lower()
    return tuple(name.id for name in config.domains if host != name.id and not host.endswith(f".{name.id}"))


def record_names(config: FederationConfiguration, record: str) -> bool:
    """Tell whether a TXT record of a domain names this passive endpoint."""
    return record.strip() == RECORD_PREFIX + config.passive_sign_in_uri


def conflict_of_domains(tenant: Tenant, own_id: str, domains: tuple[str, ...], issuer: str) -> Conflict | None:
    """Return what stands against these domains and this issuer, in federations of any protocol."""
    for domain in domains:
        if domains.count(domain) > 1:
            return Conflict("duplicateDomain", f"{domain} is listed twice.", "List it once.", "domains")
        if domain in tenant.domains:
            return Conflict(
                "domainVerifiedInTenant", f"{domain} is a verified domain of this tenant; its people sign in here.",
                "Federate only domains that are not your own.", "domains",
            )
    for other in tenant.policy.federation.by_id.values():
        if other.id == own_id:
            continue
        shared = sorted(other.domains.intersection(domains))
        if shared:
            return Conflict(
                "domainAlreadyFederated", f"{shared[0]} belongs to the federation {other.display_name!r}.",
                "Remove it there first.", "domains", 409,
            )
        if other.issuer == issuer:
            return Conflict(
                "issuerAlreadyFederated", f"The issuer is that of {other.display_name!r}.",
                "Add the domains to that configuration.", "issuerUri", 409,
            )
    return None


def check(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    """Return what contradicts a configuration; a domain verified in another tenant does not."""
    assert isinstance(value, FederationConfiguration)
    domains = tuple(name.id for name in value.domains)
    return conflict_of_domains(directory.tenants[tenant_id], value.id, domains, value.issuer_uri)


def compile_configuration(tenant_id: str, value: FederationConfiguration) -> TrustedProvider:
    """Return a configuration as sign-in reads it."""
    return TrustedProvider(
        value.id, tenant_id, value.display_name, Protocol(value.preferred_authentication_protocol), value.issuer_uri,
        domains=frozenset(name.id for name in value.domains), sign_in_url=value.passive_sign_in_uri,
        certificate=value.signing_certificate, metadata_url=value.metadata_exchange_uri or "",
    )


def with_providers(known: Federations, changed: Mapping[str, TrustedProvider | None]) -> Federations:
    """Return the index with providers put in and taken out."""
    by_id = {id_: each for id_, each in known.by_id.items() if id_ not in changed}
    by_id |= {id_: each for id_, each in changed.items() if each is not None}
    by_domain = {domain: each.id for each in by_id.values() for domain in sorted(each.domains)}
    return Federations(by_id, by_domain)


def put(directory: Directory, tenant_id: str, values: Mapping[str, GraphObject | None]) -> Directory:
    """Compile configurations into the tenant's policy."""
    compiled: dict[str, TrustedProvider | None] = {}
    for object_id, value in values.items():
        assert value is None or isinstance(value, FederationConfiguration)
        compiled[object_id] = compile_configuration(tenant_id, value) if value is not None else None
    return put_providers(directory, tenant_id, compiled)


def put_providers(
    directory: Directory, tenant_id: str, compiled: Mapping[str, TrustedProvider | None]
) -> Directory:
    """Return the directory with a tenant's providers changed."""
    tenant = directory.tenants[tenant_id]
    policy = replace(tenant.policy, federation=with_providers(tenant.policy.federation, compiled))
    return replace(directory, tenants={**directory.tenants, tenant_id: replace(tenant, policy=policy)})


FEDERATION_CONFIGURATION = ObjectKind(KIND, FederationConfiguration, put, check)
