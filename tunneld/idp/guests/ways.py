"""Where a guest signs in: what redemption would choose for an address now, and what a redeemed guest is bound to."""

from __future__ import annotations

from tunneld.idp.guests.personal import personal_account
from tunneld.idp.provider import Provider
from tunneld.policy.directory import SignInWay, Tenant, User
from tunneld.policy.guests.addresses import domain_of
from tunneld.policy.guests.redemption import Choice, RedemptionFacts, choose_provider


async def choice_for(provider: Provider, tenant: Tenant, address: str) -> Choice:
    """Return how an invitation of `tenant` to `address` is redeemed, as everything is configured now."""
    directory = provider.directory
    account = directory.account(address)
    home = directory.home_realm(address)
    order = tenant.policy.cross_tenant.redemption_order(home.id if home is not None else "").value
    facts = RedemptionFacts(
        home_account=account is not None and account[0] != tenant.id,
        personal_account=await personal_account(provider, address) is not None,
        federated=tenant.policy.federation.for_domain(domain_of(address)) is not None,
        google=any(trusted.social == "Google" for trusted in tenant.policy.federation.social()),
        passcode=tenant.policy.collaboration.one_time_passcode,
    )
    return choose_provider(address, order, facts)


async def may_use(provider: Provider, tenant: Tenant, guest: User, address: str, way: SignInWay) -> bool:
    """Tell whether a guest signs in this way: as they redeemed, at the same address, or as redemption would choose.

    Who redeemed with a passcode stays with it, whatever accounts they get later; where passcodes were switched off
    since, they have no way in until their redemption is reset.
    """
    if way is SignInWay.MAIL and not tenant.policy.collaboration.one_time_passcode:
        return False
    if guest.pending:
        return way in (await choice_for(provider, tenant, address)).ways
    if guest.external is None or guest.external.way is not way:
        return False
    if way is SignInWay.MAIL:
        return guest.external.subject.lower() == address
    if way is SignInWay.PERSONAL:
        found = await personal_account(provider, address)
        return found is not None and found[0] == guest.external.subject
    return True
