"""Who asks for what, in the form that Conditional Access looks at: the sign-in has resolved it all before."""

from __future__ import annotations

from dataclasses import dataclass

from tunneld.policy.cross_tenant.effective import InboundTrust
from tunneld.policy.directory import Client, Resource, Tenant, User
from tunneld.policy.facts import AccessPath, SessionFacts, Surroundings


@dataclass(frozen=True, slots=True)
class Subject:
    """One sign-in to `tenant`.

    `user` is the account's object there; None for somebody who has none, over direct connect or as a service
    provider. `home_user` is the object that holds the credential; for a guest from outside all tenants both are the
    same. `trust` is what `tenant` accepts of home's claims, a partner's setting already resolved with the default.
    """

    tenant: Tenant
    user: User | None
    home: Tenant
    home_user: User
    client: Client
    resource: Resource
    path: AccessPath
    trust: InboundTrust
    facts: SessionFacts
    around: Surroundings
    now: int
