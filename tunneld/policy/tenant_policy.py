"""The compiled policy of one tenant, as the sign-in decision reads it: one field an area, each with its own default."""

from __future__ import annotations

from dataclasses import dataclass, field

from tunneld.policy.conditional_access.compiled import ConditionalAccess
from tunneld.policy.cross_tenant.effective import CrossTenantPolicy
from tunneld.policy.federation.compiled import Federations
from tunneld.policy.guests.collaboration import Collaboration
from tunneld.policy.guests.entitlements import Entitlements
from tunneld.policy.role_grants import RoleGrants


@dataclass(frozen=True, slots=True)
class TenantPolicy:
    """What a tenant has decided about others, about guests and about how people sign in."""

    cross_tenant: CrossTenantPolicy = field(default_factory=CrossTenantPolicy)
    collaboration: Collaboration = field(default_factory=Collaboration)
    conditional_access: ConditionalAccess = field(default_factory=ConditionalAccess)
    federation: Federations = field(default_factory=Federations)
    roles: RoleGrants = field(default_factory=RoleGrants)
    entitlements: Entitlements = field(default_factory=Entitlements)
