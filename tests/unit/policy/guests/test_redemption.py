"""Redemption as tables: which provider, which prompts, which states, and the one-time passcode's life."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from tunneld.policy.cross_tenant.effective import RedemptionOrder
from tunneld.policy.directory import SignInWay
from tunneld.policy.guests.passcode import LIFETIME_S, MAX_CODES, MAX_GUESSES, Guess, Passcode, may_send
from tunneld.policy.guests.redemption import (
    Choice,
    GuestEvent,
    GuestState,
    Mail,
    Prompts,
    Quirks,
    RedemptionFacts,
    after,
    choose_provider,
    identity_issuer,
    prompts,
)

HOME, FEDERATION, SOCIAL = SignInWay.HOME, SignInWay.FEDERATION, SignInWay.SOCIAL
PERSONAL, MAIL = SignInWay.PERSONAL, SignInWay.MAIL
AAD, EXT, SOC = "azureActiveDirectory", "externalFederation", "socialIdentityProviders"
DEFAULT = RedemptionOrder()
NOTHING = RedemptionFacts(passcode=False)
ALL = RedemptionFacts(home_account=True, personal_account=True, federated=True, google=True)
ANY, GMAIL = "a@any.example", "a@GMAIL.com"


# Microsoft Entra External ID, invitation redemption flow: the default order, top to bottom.
@pytest.mark.parametrize(
    ("address", "facts", "ways", "create"),
    [
        (GMAIL, ALL, (HOME, PERSONAL), False),
        (GMAIL, replace(ALL, personal_account=False), (HOME,), False),
        (GMAIL, replace(ALL, home_account=False), (FEDERATION,), False),
        (GMAIL, replace(ALL, home_account=False, federated=False), (SOCIAL,), False),
        ("a@googlemail.com", replace(ALL, home_account=False, federated=False), (SOCIAL,), False),
        (ANY, replace(ALL, home_account=False, federated=False), (PERSONAL,), False),
        (GMAIL, RedemptionFacts(google=False), (MAIL,), False),
        (ANY, RedemptionFacts(google=True), (MAIL,), False),
        (ANY, NOTHING, (PERSONAL,), True),
        (ANY, replace(NOTHING, personal_account=True), (PERSONAL,), False),
    ],
)
def test_the_default_order(address: str, facts: RedemptionFacts, ways: tuple[SignInWay, ...], create: bool) -> None:
    choice = choose_provider(address, DEFAULT, facts)
    assert (choice.ways, choice.create) == (ways, create)


@pytest.mark.parametrize(
    ("primary", "fallback", "facts", "ways", "create"),
    [
        ((EXT, AAD), "defaultConfiguredIdp", ALL, (FEDERATION,), False),
        ((EXT, AAD), "defaultConfiguredIdp", replace(ALL, federated=False), (HOME, PERSONAL), False),
        ((SOC, AAD), "defaultConfiguredIdp", ALL, (SOCIAL,), False),
        ((), "defaultConfiguredIdp", ALL, (PERSONAL,), False),
        ((), "defaultConfiguredIdp", replace(ALL, personal_account=False), (MAIL,), False),
        ((), "emailOneTimePasscode", ALL, (MAIL,), False),
        ((), "emailOneTimePasscode", replace(ALL, passcode=False), (), False),
        ((), "microsoftAccount", ALL, (PERSONAL,), False),
        ((), "microsoftAccount", NOTHING, (PERSONAL,), True),
        ((AAD,), "emailOneTimePasscode", ALL, (HOME,), False),  # personal accounts are off
        ((AAD,), "microsoftAccount", ALL, (HOME, PERSONAL), False),
        ((AAD,), "microsoftAccount", NOTHING, (PERSONAL,), True),
    ],
)
def test_a_configured_order(
    primary: tuple[str, ...], fallback: str, facts: RedemptionFacts, ways: tuple[SignInWay, ...], create: bool
) -> None:
    choice = choose_provider(GMAIL, RedemptionOrder(primary, fallback), facts)
    assert (choice.ways, choice.create) == (ways, create)


def test_the_quirks_are_off_until_somebody_wants_them() -> None:
    order = RedemptionOrder((), "emailOneTimePasscode")
    live = replace(ALL, live_session=True)
    assert choose_provider(ANY, order, live).ways == (MAIL,)
    assert choose_provider(ANY, order, live, Quirks(session_first=True)).ways == (HOME, MAIL)
    assert choose_provider(ANY, order, ALL, Quirks(session_first=True)).ways == (MAIL,)
    stranger = replace(live, home_account=False)
    assert choose_provider(ANY, order, stranger, Quirks(session_first=True)).ways == (MAIL,)
    off = replace(live, passcode=False)
    assert choose_provider(ANY, order, off, Quirks(session_first=True)).ways == ()
    order = RedemptionOrder((AAD,), "emailOneTimePasscode")
    assert choose_provider(ANY, order, ALL, Quirks(personal_anyway=True)).ways == (HOME, PERSONAL)


def slow_choice(address: str, order: RedemptionOrder, facts: RedemptionFacts) -> tuple[tuple[SignInWay, ...], bool]:
    """List every way that fits, first the primaries in order, then the fallback's, and take the first."""
    fitting: list[tuple[SignInWay, ...]] = []
    for word in order.primary:
        if word == AAD and facts.home_account:
            both = facts.personal_account and order.fallback in ("defaultConfiguredIdp", "microsoftAccount")
            fitting.append((HOME, PERSONAL) if both else (HOME,))
        if word == EXT and facts.federated:
            fitting.append((FEDERATION,))
        if word == SOC and facts.google and address.lower().endswith(("@gmail.com", "@googlemail.com")):
            fitting.append((SOCIAL,))
    if fitting:
        return fitting[0], False
    if order.fallback == "emailOneTimePasscode":
        return ((MAIL,) if facts.passcode else ()), False
    if facts.personal_account:
        return (PERSONAL,), False
    if order.fallback == "defaultConfiguredIdp" and facts.passcode:
        return (MAIL,), False
    return (PERSONAL,), True


def test_every_order_and_every_fact_against_the_slow_choice() -> None:
    orders = [(), (AAD,), (EXT,), (SOC,), (AAD, EXT, SOC), (EXT, AAD, SOC), (SOC, EXT, AAD), (SOC, AAD), (EXT, SOC)]
    fallbacks = ("defaultConfiguredIdp", "emailOneTimePasscode", "microsoftAccount")
    seen = set()
    for primary, fallback, address, flags in product(orders, fallbacks, (ANY, GMAIL), product((False, True), repeat=6)):
        order, facts = RedemptionOrder(primary, fallback), RedemptionFacts(*flags)
        choice = choose_provider(address, order, facts)
        assert (choice.ways, choice.create) == slow_choice(address, order, facts), (order, address, facts)
        seen.add(choice.ways)
    assert len(seen) == 7


def test_prompts_are_suppressed_in_one_diagonal_only() -> None:
    shown = Prompts(True, Mail.INVITATION)
    assert prompts(home_outbound=True, resource_inbound=True) == Prompts(False, Mail.NOTIFICATION)
    assert prompts(home_outbound=True, resource_inbound=False) == shown
    assert prompts(home_outbound=False, resource_inbound=True) == shown
    assert prompts(home_outbound=False, resource_inbound=False) == shown
    assert prompts(home_outbound=True, resource_inbound=True, synchronized=True) == Prompts(False, Mail.NOTHING)
    assert prompts(home_outbound=True, resource_inbound=False, synchronized=True) == Prompts(True, Mail.NOTHING)


def test_the_states_of_a_guest() -> None:
    absent, pending, accepted = GuestState.ABSENT, GuestState.PENDING, GuestState.ACCEPTED
    gone_pending, gone = GuestState.DELETED_PENDING, GuestState.DELETED_ACCEPTED
    expected = {
        (absent, GuestEvent.INVITE): pending, (absent, GuestEvent.SYNCHRONIZE): accepted,
        (pending, GuestEvent.INVITE): pending, (pending, GuestEvent.REDEEM): accepted,
        (pending, GuestEvent.RESET): pending, (pending, GuestEvent.SYNCHRONIZE): accepted,
        (pending, GuestEvent.DELETE): gone_pending,
        (accepted, GuestEvent.RESET): pending, (accepted, GuestEvent.SYNCHRONIZE): accepted,
        (accepted, GuestEvent.DELETE): gone,
        (gone_pending, GuestEvent.RESTORE): pending, (gone, GuestEvent.RESTORE): accepted,
    }
    for state, event in product(GuestState, GuestEvent):
        assert after(state, event) is expected.get((state, event)), (state, event)


@pytest.mark.parametrize(
    ("way", "given", "issuer"),
    [
        (SignInWay.HERE, "", "fabrikam.example"), (HOME, "", "ExternalAzureAD"), (MAIL, "", "mail"),
        (FEDERATION, "https://sts.partner.example", "https://sts.partner.example"), (SOCIAL, "", "google.com"),
        (SOCIAL, "facebook.com", "facebook.com"), (PERSONAL, "", "Microsoft Account"),
    ],
)
def test_identities_show_who_authenticates(way: SignInWay, given: str, issuer: str) -> None:
    assert identity_issuer(way, "fabrikam.example", given) == issuer


def test_a_choice_says_why() -> None:
    assert choose_provider(ANY, DEFAULT, RedemptionFacts()) == Choice((MAIL,), "defaultConfiguredIdp")


RIGHT, WRONG = b"right", b"wrong"


def test_a_passcode_is_good_once() -> None:
    guess, used = Passcode(RIGHT, 100).judge(RIGHT, 100)
    assert guess is Guess.RIGHT
    assert used.judge(RIGHT, 101) == (Guess.EXPIRED, used)


@pytest.mark.parametrize(
    ("now", "guess"),
    [(99, Guess.EXPIRED), (100, Guess.RIGHT), (100 + LIFETIME_S - 1, Guess.RIGHT), (100 + LIFETIME_S, Guess.EXPIRED)],
)
def test_a_passcode_lives_for_half_an_hour(now: int, guess: Guess) -> None:
    assert Passcode(RIGHT, 100).judge(RIGHT, now)[0] is guess
    assert LIFETIME_S == 1800


def test_guessing_ends_a_passcode() -> None:
    passcode = Passcode(RIGHT, 100)
    for _ in range(MAX_GUESSES):
        guess, passcode = passcode.judge(WRONG, 101)
        assert guess is Guess.WRONG
    assert passcode.judge(RIGHT, 102)[0] is Guess.EXPIRED
    assert Passcode(RIGHT, 100, MAX_GUESSES - 1).judge(RIGHT, 102)[0] is Guess.RIGHT


def test_an_address_is_not_flooded_with_codes() -> None:
    assert may_send((100,) * (MAX_CODES - 1), 101)
    assert not may_send((100,) * MAX_CODES, 101)
    assert not may_send((100,) * MAX_CODES, 100 + 3599)
    assert may_send((100,) * MAX_CODES, 100 + 3600)
