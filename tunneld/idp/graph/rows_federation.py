"""Rows of outside identity providers (Graph: samlOrWsFedExternalDomainFederation, identityProvider)."""

from __future__ import annotations

from tunneld.idp.graph.resource import Activities, Permissions, ResourceType

_BASE = "microsoft.directory/identityProviders/"
_PERMISSIONS = Permissions(f"{_BASE}standard/read", f"{_BASE}create", f"{_BASE}basic/update", f"{_BASE}delete")

FEDERATION_CONFIGURATIONS = ResourceType(
    kind="federationConfiguration",
    collection="/directory/federationConfigurations/graph.samlOrWsFedExternalDomainFederation",
    permissions=_PERMISSIONS, read_only=frozenset({"id"}),
    audit=Activities(
        "ExternalUserProfile", "Add federated external domain", "Update federated external domain",
        "Delete federated external domain", "IdentityProvider", "Core Directory",
    ),
)
IDENTITY_PROVIDERS = ResourceType(
    kind="identityProvider", collection="/identity/identityProviders", permissions=_PERMISSIONS,
    read_only=frozenset({"id"}), secrets=frozenset({"clientSecret"}),
    audit=Activities(
        "ExternalUserProfile", "Create identity provider", "Update identity provider", "Delete identity provider",
        "IdentityProvider", "Core Directory",
    ),
)
FEDERATION_ROWS = (FEDERATION_CONFIGURATIONS, IDENTITY_PROVIDERS)
