"""Cross-tenant access settings as they act: a partner's property where it has one, else the default's, and which.

Property names are Graph's. The unit of inheritance is the top-level property: a partner's null means the default's
value as a whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

Value = TypeVar("Value")

# The tenant that all personal Microsoft accounts share; as a partner it has application targets only.
PERSONAL_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"


def policy_id(tenant_id: str) -> str:
    """Return the id of a tenant's policy, which a tenant-restriction header names: the same for ever."""
    return named_guid("crossTenantAccessPolicy", tenant_id)


def named_guid(*names: str) -> str:
    """Return a GUID that only these names have (RFC 9562 §5.8: version 8, made of a SHA-256)."""
    octets = bytearray(hashlib.sha256("\0".join(names).encode()).digest()[:16])
    octets[6] = octets[6] & 0x0F | 0x80
    octets[8] = octets[8] & 0x3F | 0x80
    text = octets.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


class AccessType(StrEnum):
    """Whether the named targets are let in or kept out; the rest is treated the other way."""

    ALLOWED = "allowed"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Targets:
    """One target list. `everything` stands for AllUsers or AllApplications; ids are lower case, keywords as Graph's."""

    access: AccessType
    everything: bool = True
    ids: frozenset[str] = frozenset()  # of users, or of applications
    groups: frozenset[str] = frozenset()
    keywords: frozenset[str] = frozenset()  # Office365, AllMicrosoftApps


@dataclass(frozen=True, slots=True)
class B2BSetting:
    """One direction of collaboration, direct connect or tenant restrictions: both lists must pass."""

    users: Targets
    applications: Targets


@dataclass(frozen=True, slots=True)
class InboundTrust:
    """Which claims made at home may satisfy a grant control here."""

    mfa: bool = False
    compliant_device: bool = False
    hybrid_joined: bool = False


@dataclass(frozen=True, slots=True)
class AutomaticConsent:
    """Automatic redemption: inbound at the visited tenant and outbound at home are needed together."""

    inbound: bool = False
    outbound: bool = False


@dataclass(frozen=True, slots=True)
class RedemptionOrder:
    """Which identity providers an invitation may be redeemed with, in which order, and what is left when none fits."""

    primary: tuple[str, ...] = ("azureActiveDirectory", "externalFederation", "socialIdentityProviders")
    fallback: str = "defaultConfiguredIdp"


OPEN = B2BSetting(Targets(AccessType.ALLOWED), Targets(AccessType.ALLOWED))
CLOSED = B2BSetting(Targets(AccessType.BLOCKED), Targets(AccessType.BLOCKED))


@dataclass(frozen=True, slots=True)
class Settings:
    """A default or a partner object; None inherits. What a tenant starts with is `SERVICE_DEFAULT`."""

    collaboration_inbound: B2BSetting | None = None
    collaboration_outbound: B2BSetting | None = None
    direct_connect_inbound: B2BSetting | None = None
    direct_connect_outbound: B2BSetting | None = None
    tenant_restrictions: B2BSetting | None = None
    inbound_trust: InboundTrust | None = None
    redemption_order: RedemptionOrder | None = None
    automatic_consent: AutomaticConsent | None = None  # a partner's only; the default's never changes
    user_sync_allowed: bool = False  # a partner's `identitySynchronization`; never inherited
    service_provider: bool = False
    in_multi_tenant_organization: bool = False
    block_service_provider_outbound: bool | None = None  # of our users, to the partner


SERVICE_DEFAULT = Settings(
    collaboration_inbound=OPEN, collaboration_outbound=OPEN, direct_connect_inbound=CLOSED,
    direct_connect_outbound=CLOSED, tenant_restrictions=CLOSED, inbound_trust=InboundTrust(),
    redemption_order=RedemptionOrder(), automatic_consent=AutomaticConsent(), block_service_provider_outbound=False,
)


@dataclass(frozen=True, slots=True)
class Effective(Generic[Value]):
    """A value and whose it is: "partner", "template", "default" (an administrator's) or "service" (never changed)."""

    value: Value
    source: str


@dataclass(frozen=True, slots=True)
class CrossTenantPolicy:
    """All of one tenant's settings. Looking one up costs the same with no partner and with a hundred thousand."""

    default: Settings = SERVICE_DEFAULT
    is_service_default: bool = True
    partners: Mapping[str, Settings] = field(default_factory=dict)  # by tenant id
    allowed_clouds: frozenset[str] = frozenset()

    template: Settings | None = None  # what members of the multi-tenant organization get instead of the default

    def collaboration_inbound(self, partner: str) -> Effective[B2BSetting]:
        """Return who of `partner` (a tenant id) may come in as a guest, and to what."""
        return self._pick(partner, lambda settings: settings.collaboration_inbound, OPEN)

    def collaboration_outbound(self, partner: str) -> Effective[B2BSetting]:
        """Return who of us may visit `partner`, and what there."""
        return self._pick(partner, lambda settings: settings.collaboration_outbound, OPEN)

    def direct_connect_inbound(self, partner: str) -> Effective[B2BSetting]:
        """Return who of `partner` may come in without an object here."""
        return self._pick(partner, lambda settings: settings.direct_connect_inbound, CLOSED)

    def direct_connect_outbound(self, partner: str) -> Effective[B2BSetting]:
        """Return who of us may reach `partner` without an object there."""
        return self._pick(partner, lambda settings: settings.direct_connect_outbound, CLOSED)

    def tenant_restrictions(self, account_tenant: str) -> Effective[B2BSetting]:
        """Return what accounts of `account_tenant` may reach from our network."""
        return self._pick(account_tenant, lambda settings: settings.tenant_restrictions, CLOSED)

    def inbound_trust(self, partner: str) -> Effective[InboundTrust]:
        """Return which of `partner`'s claims count here."""
        return self._pick(partner, lambda settings: settings.inbound_trust, _NO_TRUST)

    def redemption_order(self, partner: str = "") -> Effective[RedemptionOrder]:
        """Return the order in which identity providers are tried for an invitation."""
        return self._pick(partner, lambda settings: settings.redemption_order, RedemptionOrder())

    def automatic_consent(self, partner: str) -> Effective[AutomaticConsent]:
        """Return whether prompts are suppressed; only a partner object can say so."""
        return self._pick(partner, lambda settings: settings.automatic_consent, _NO_CONSENT)

    def service_provider(self, partner: str) -> bool:
        """Tell whether `partner` administers this tenant on its behalf."""
        own = self.partners.get(partner)
        return own is not None and own.service_provider

    def block_service_provider_outbound(self, partner: str) -> Effective[bool]:
        """Return whether our users may not administer `partner` on its behalf."""
        return self._pick(partner, lambda settings: settings.block_service_provider_outbound, False)

    def _pick(self, partner: str, read: Callable[[Settings], Value | None], service: Value) -> Effective[Value]:
        own = self.partners.get(partner)
        if own is not None:
            value = read(own)
            if value is not None:
                return Effective(value, "partner")
            if own.in_multi_tenant_organization and self.template is not None:
                value = read(self.template)
                if value is not None:
                    return Effective(value, "template")
        value = read(self.default)
        source = "service" if value is None or self.is_service_default else "default"
        return Effective(service if value is None else value, source)


_NO_TRUST = InboundTrust()
_NO_CONSENT = AutomaticConsent()
