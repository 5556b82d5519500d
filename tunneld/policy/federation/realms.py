"""Whose guest is it: from a typed address to the provider that signs it in, and back from a provider to the guest."""

from __future__ import annotations

from tunneld.policy.directory import Directory, ExternalState, SignInWay, Tenant, User
from tunneld.policy.federation.compiled import TrustedProvider, domain_of
from tunneld.policy.federation.vouched import Vouched

GOOGLE_DOMAINS = frozenset({"gmail.com", "googlemail.com"})
_OUTSIDE = (SignInWay.FEDERATION, SignInWay.SOCIAL)


def provider_for(directory: Directory, tenant: Tenant, address: str) -> TrustedProvider | None:
    """Return the outside provider that signs in whoever types `address` at `tenant`, None for any other way.

    Somebody who has redeemed stays with the provider that they redeemed with. For everybody else the domain
    decides; but somebody who has an account in another tenant of this identity provider is federated only where the
    visited tenant's redemption order puts federation above such accounts.
    """
    guest = guest_by_address(tenant, address)
    if guest is not None and guest.external is not None and guest.external_state is not ExternalState.PENDING:
        found = tenant.policy.federation.for_issuer(guest.external.issuer)
        return found if guest.external.way in _OUTSIDE else None
    domain = domain_of(address)
    federation = tenant.policy.federation.for_domain(domain)
    if federation is not None:
        return federation if federation_wins(directory, tenant, address) else None
    if guest is not None and domain in GOOGLE_DOMAINS:
        return next((each for each in tenant.policy.federation.social() if each.social == "Google"), None)
    return None


def federation_wins(directory: Directory, tenant: Tenant, address: str) -> bool:
    """Tell whether the tenant's redemption order sends an address of a federated domain to the federation."""
    account = directory.account(address)
    if account is None:
        return True
    order = tenant.policy.cross_tenant.redemption_order(account[0]).value.primary
    if "externalFederation" not in order:
        return False
    ranks = {word: rank for rank, word in enumerate(order)}
    return ranks["externalFederation"] < ranks.get("azureActiveDirectory", len(order))


def guest_by_address(tenant: Tenant, address: str) -> User | None:
    """Return the guest whose mail an address is. A guest of another tenant signs in there, whatever their mail is."""
    wanted = address.strip().lower()
    for user in tenant.users.values():
        if user.home is None and is_guest(user) and wanted in (user.mail.lower(), *map(str.lower, user.other_mails)):
            return user
    return None


def is_guest(user: User) -> bool:
    """Tell whether the credential of an object is kept outside all tenants, now or once it is redeemed."""
    return user.external is not None or user.external_state is not None


def guest_of(tenant: Tenant, provider: TrustedProvider, vouched: Vouched) -> User | None:
    """Return the guest that a provider vouches for: the one who redeemed as this subject, else one yet to redeem.

    An address alone never leads to somebody who redeemed as another subject: addresses are given to new people.
    """
    for user in tenant.users.values():
        known = user.external
        named = (known.issuer, known.subject) if known is not None and known.way in _OUTSIDE else None
        if named == (provider.issuer, vouched.subject):
            return user
    invited = guest_by_address(tenant, vouched.email)
    if invited is None or invited.external_state is not ExternalState.PENDING:
        return None
    return invited
