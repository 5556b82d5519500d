"""Accepting an invitation: with which identity provider, through which states, and who is asked or written to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tunneld.policy.cross_tenant.effective import RedemptionOrder
from tunneld.policy.directory import SignInWay
from tunneld.policy.guests.addresses import domain_of

GOOGLE_DOMAINS = frozenset({"gmail.com", "googlemail.com"})


class GuestState(StrEnum):
    """Where the object of an invited person stands."""

    ABSENT = "absent"
    PENDING = "PendingAcceptance"
    ACCEPTED = "Accepted"
    DELETED_PENDING = "deleted while pending"
    DELETED_ACCEPTED = "deleted"


class GuestEvent(StrEnum):
    """What can happen to it."""

    INVITE = "invite"
    SYNCHRONIZE = "synchronize"  # created by another tenant's job: accepted at once
    REDEEM = "redeem"
    RESET = "reset redemption"
    DELETE = "soft delete"
    RESTORE = "restore"


_NEXT = {
    (GuestState.ABSENT, GuestEvent.INVITE): GuestState.PENDING,
    (GuestState.ABSENT, GuestEvent.SYNCHRONIZE): GuestState.ACCEPTED,
    (GuestState.PENDING, GuestEvent.INVITE): GuestState.PENDING,  # another mail, the same object
    (GuestState.PENDING, GuestEvent.REDEEM): GuestState.ACCEPTED,
    (GuestState.PENDING, GuestEvent.RESET): GuestState.PENDING,
    (GuestState.PENDING, GuestEvent.SYNCHRONIZE): GuestState.ACCEPTED,
    (GuestState.PENDING, GuestEvent.DELETE): GuestState.DELETED_PENDING,
    (GuestState.ACCEPTED, GuestEvent.RESET): GuestState.PENDING,
    (GuestState.ACCEPTED, GuestEvent.SYNCHRONIZE): GuestState.ACCEPTED,
    (GuestState.ACCEPTED, GuestEvent.DELETE): GuestState.DELETED_ACCEPTED,
    (GuestState.DELETED_PENDING, GuestEvent.RESTORE): GuestState.PENDING,
    (GuestState.DELETED_ACCEPTED, GuestEvent.RESTORE): GuestState.ACCEPTED,
}


def after(state: GuestState, event: GuestEvent) -> GuestState | None:
    """Return the state that follows, or None where the event does not belong."""
    return _NEXT.get((state, event))


@dataclass(frozen=True, slots=True)
class RedemptionFacts:
    """What is known about an address when somebody redeems with it.

    `home_account` is true for an account in a managed tenant (found by user, not by domain), `personal_account` for
    an existing personal one. `federated` and `google` say what the visited tenant has configured.
    """

    home_account: bool = False
    personal_account: bool = False
    federated: bool = False
    google: bool = False
    passcode: bool = True
    live_session: bool = False  # the browser is signed in at home already


@dataclass(frozen=True, slots=True)
class Quirks:
    """Documented oddities of the product, off unless somebody wants to meet them.

    `session_first`: a live home session is used although the order leads to a passcode, unless the person chooses
    another account. `personal_anyway`: who has both kinds of account on one address may choose the personal one
    although it is switched off.
    """

    session_first: bool = False
    personal_anyway: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """Where to sign in. Several ways are offered to the person, in this order; none means that nobody can redeem."""

    ways: tuple[SignInWay, ...]
    rule: str
    create: bool = False  # a personal account has to be made


def choose_provider(
    address: str, order: RedemptionOrder, facts: RedemptionFacts, quirks: Quirks = Quirks()
) -> Choice:
    """Return where an invitation to `address` is redeemed: the first primary that fits, else the fallback.

    The order that a tenant starts with gives the product's default order of redemption. An address with an account
    in a managed tenant and a personal one is asked which, as long as personal accounts are not switched off.
    """
    for word in order.primary:
        way = _primary(word, address, facts)
        if way is SignInWay.HOME and facts.personal_account and (_personal_on(order) or quirks.personal_anyway):
            return Choice((way, SignInWay.PERSONAL), f"{word}, or the personal account of the same address")
        if way is not None:
            return Choice((way,), word)
    choice = _fallback(order, facts)
    if quirks.session_first and facts.live_session and facts.home_account and choice.ways == (SignInWay.MAIL,):
        return Choice((SignInWay.HOME, SignInWay.MAIL), "the live session at home comes first")
    return choice


def _primary(word: str, address: str, facts: RedemptionFacts) -> SignInWay | None:
    if word == "azureActiveDirectory":
        return SignInWay.HOME if facts.home_account else None
    if word == "externalFederation":
        return SignInWay.FEDERATION if facts.federated else None
    return SignInWay.SOCIAL if facts.google and domain_of(address) in GOOGLE_DOMAINS else None


def _personal_on(order: RedemptionOrder) -> bool:
    return order.fallback != "emailOneTimePasscode"


def _fallback(order: RedemptionOrder, facts: RedemptionFacts) -> Choice:
    if order.fallback == "emailOneTimePasscode":
        if facts.passcode:
            return Choice((SignInWay.MAIL,), order.fallback)
        return Choice((), "the one-time passcode is switched off")
    if order.fallback == "microsoftAccount" or facts.personal_account or not facts.passcode:
        return Choice((SignInWay.PERSONAL,), order.fallback, create=not facts.personal_account)
    return Choice((SignInWay.MAIL,), order.fallback)


class Mail(StrEnum):
    """What an invited person receives."""

    INVITATION = "invitation"  # with the link
    NOTIFICATION = "notification"  # nothing to accept: you have been added
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Prompts:
    """What automatic redemption leaves of the prompts."""

    consent: bool
    mail: Mail


def prompts(*, home_outbound: bool, resource_inbound: bool, synchronized: bool = False) -> Prompts:
    """Return what a person is asked. Only both switches together suppress: home's outbound, the visited one's inbound.

    A synchronization that lacks one of the two is refused before it creates anybody, so it never writes.
    """
    if home_outbound and resource_inbound:
        return Prompts(False, Mail.NOTHING if synchronized else Mail.NOTIFICATION)
    return Prompts(True, Mail.NOTHING if synchronized else Mail.INVITATION)


def identity_issuer(way: SignInWay, domain: str, issuer: str = "") -> str:
    """Return what Graph's `identities[].issuer` shows for a way to sign in. `domain` is the visited tenant's."""
    return {
        SignInWay.HERE: domain,
        SignInWay.HOME: "ExternalAzureAD",
        SignInWay.MAIL: "mail",
        SignInWay.FEDERATION: issuer,
        SignInWay.SOCIAL: issuer or "google.com",
        SignInWay.PERSONAL: "Microsoft Account",
    }[way]
