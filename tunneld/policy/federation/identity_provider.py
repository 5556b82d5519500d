"""OpenID Connect providers that a tenant trusts: custom ones for mail domains, and social ones for everybody.

Microsoft Graph reference: oidcIdentityProvider (custom) and socialIdentityProvider (Google, Facebook). `issuer` may be
set for the social ones too, so that a local provider can play them; `domains` of a custom one are our addition, with
the meaning that they have in samlOrWsFedExternalDomainFederation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from tunneld.policy.directory import Directory
from tunneld.policy.directory_document import Guid, Text
from tunneld.policy.federation.compiled import Protocol, TrustedProvider
from tunneld.policy.federation.configuration import (
    MAX_DOMAINS,
    DomainName,
    HttpsUrl,
    conflict_of_domains,
    put_providers,
)
from tunneld.policy.objects import Conflict, GraphObject, ObjectKind

KIND = "identityProvider"

_TYPES = {"google": "Google", "facebook": "Facebook", "openidconnect": "OpenIdConnect"}
# The issuers that these services publish in their discovery documents.
_SOCIAL_ISSUERS = {"Google": "https://accounts.google.com", "Facebook": "https://www.facebook.com"}


def _canonical_type(value: object) -> object:
    return _TYPES.get(value.strip().lower(), value) if isinstance(value, str) else value


Words = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[\x21-\x7e]+( [\x21-\x7e]+)*$")]
Opaque = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[\x21-\x7e]+$")]


class IdentityProvider(GraphObject):
    """One OpenID provider at which this tenant is a client. Code flow with PKCE, always."""

    id: Guid
    display_name: Text
    identity_provider_type: Annotated[
        Literal["OpenIdConnect", "Google", "Facebook"], BeforeValidator(_canonical_type)
    ]
    client_id: Opaque
    client_secret: Annotated[Opaque | None, Field(repr=False)] = None  # none: a public client, PKCE alone
    issuer: HttpsUrl | None = None
    well_known_endpoint: HttpsUrl | None = None  # the discovery document, where it is not below the issuer
    scope: Words = "openid profile email"
    response_type: Literal["code"] = "code"
    domains: Annotated[tuple[DomainName, ...], Field(max_length=MAX_DOMAINS)] = ()

    @model_validator(mode="after")
    def _complete(self) -> IdentityProvider:
        if self.identity_provider_type == "OpenIdConnect":
            if self.issuer is None:
                raise ValueError("an OpenIdConnect provider needs its issuer")
            if not self.domains:
                raise ValueError("an OpenIdConnect provider needs the domains that it speaks for")
        elif self.domains:
            raise ValueError("a social provider speaks for every address that it verified, so it has no domains")
        if "openid" not in self.scope.split(" "):
            raise ValueError("the scope lacks openid")
        return self

    @property
    def effective_issuer(self) -> str:
        """Return the configured issuer, for social providers else the published one."""
        return self.issuer or _SOCIAL_ISSUERS[self.identity_provider_type]


def check(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    """Return what contradicts a provider."""
    assert isinstance(value, IdentityProvider)
    domains = tuple(name.id for name in value.domains)
    return conflict_of_domains(directory.tenants[tenant_id], value.id, domains, value.effective_issuer)


def compile_provider(tenant_id: str, value: IdentityProvider) -> TrustedProvider:
    """Return a provider as sign-in reads it."""
    issuer = value.effective_issuer
    return TrustedProvider(
        value.id, tenant_id, value.display_name, Protocol.OPENID, issuer,
        social=value.identity_provider_type if value.identity_provider_type != "OpenIdConnect" else "",
        domains=frozenset(name.id for name in value.domains),
        metadata_url=value.well_known_endpoint or f"{issuer.rstrip('/')}/.well-known/openid-configuration",
        client_id=value.client_id, client_secret=value.client_secret or "", scope=value.scope,
    )


def put(directory: Directory, tenant_id: str, values: Mapping[str, GraphObject | None]) -> Directory:
    """Compile providers into the tenant's policy."""
    compiled: dict[str, TrustedProvider | None] = {}
    for object_id, value in values.items():
        assert value is None or isinstance(value, IdentityProvider)
        compiled[object_id] = compile_provider(tenant_id, value) if value is not None else None
    return put_providers(directory, tenant_id, compiled)


IDENTITY_PROVIDER = ObjectKind(KIND, IdentityProvider, put, check)
