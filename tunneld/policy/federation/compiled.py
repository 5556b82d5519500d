"""A tenant's trusted outside providers, indexed by what a sign-in asks: a mail domain, a provider's id, an issuer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Protocol(StrEnum):
    """How a provider is spoken to."""

    SAML = "saml"
    WS_FED = "wsFed"
    OPENID = "openIdConnect"


@dataclass(frozen=True, slots=True)
class TrustedProvider:
    """One provider as sign-in needs it.

    `issuer` is the SAML entity id or the OpenID issuer. A federation speaks for its `domains` and for no others; a
    social provider has no domains of its own and speaks for every address that it calls verified.
    """

    id: str
    tenant_id: str
    display_name: str
    protocol: Protocol
    issuer: str
    social: str = ""  # which social service: "Google", "Facebook"
    domains: frozenset[str] = frozenset()
    sign_in_url: str = ""  # SAML, WS-Fed: the passive endpoint
    certificate: str = field(default="", repr=False)  # SAML, WS-Fed: base64 DER
    metadata_url: str = ""  # OpenID: the discovery document; SAML, WS-Fed: federation metadata
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    scope: str = "openid profile email"


@dataclass(frozen=True, slots=True)
class Federations:
    """All of one tenant's providers."""

    by_id: Mapping[str, TrustedProvider] = field(default_factory=dict)
    by_domain: Mapping[str, str] = field(default_factory=dict)  # mail domain → id of the federation

    def for_domain(self, domain: str) -> TrustedProvider | None:
        """Return the federation that is configured for a mail domain; subdomains are configured by themselves."""
        return self.by_id.get(self.by_domain.get(domain.lower(), ""))

    def for_issuer(self, issuer: str) -> TrustedProvider | None:
        """Return the provider that vouched for an account before; an issuer is configured once in a tenant."""
        return next((each for each in self.by_id.values() if each.issuer == issuer), None)

    def social(self) -> tuple[TrustedProvider, ...]:
        """Return the social providers, in a stable order: each is a button on the sign-in page."""
        found = (each for each in self.by_id.values() if each.social)
        return tuple(sorted(found, key=lambda each: (each.display_name, each.id)))


def domain_of(email: str) -> str:
    """Return the domain of an address in lower case, "" where there is none."""
    name, at, domain = email.strip().rpartition("@")
    return domain.lower() if name and at else ""
