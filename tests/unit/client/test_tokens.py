"""The token cache: what is handed out, what is renewed, what is refused a second time without asking."""

from __future__ import annotations

import pytest

from tunneld.client.ports import Denied
from tunneld.client.tokens import DENIAL_S, DENIALS, SPARE_S, TokenCache, TokenKey
from tunneld.model.reasons import Reason

KEY, OTHER = TokenKey("app", bound=True), TokenKey("app", bound=False)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> TokenCache:
    return TokenCache(clock)


def test_a_token_serves_its_own_key_until_shortly_before_its_end(cache: TokenCache, clock: Clock) -> None:
    cache.put(KEY, "t", 100)
    assert cache.get(KEY) == "t"
    assert cache.get(OTHER) is None
    clock.now += 100 - SPARE_S
    assert cache.get(KEY) is None


def test_only_tokens_in_use_are_renewed_and_at_three_quarters(cache: TokenCache, clock: Clock) -> None:
    cache.put(KEY, "t", 100)
    cache.put(OTHER, "u", 100)
    assert cache.next_due() is None
    cache.get(KEY)
    assert cache.next_due() == 1075
    clock.now += 74
    assert cache.due() == []
    clock.now += 1
    assert cache.due() == [KEY]
    clock.now += 25
    assert cache.due() == []
    assert cache.states() == []


def test_a_refusal_answers_for_a_moment_and_drops_the_token(cache: TokenCache, clock: Clock) -> None:
    cache.put(KEY, "t", 100)
    cache.deny(KEY, Denied(Reason.APPLICATION_NOT_ASSIGNED, "no"))
    with pytest.raises(Denied, match="application_not_assigned"):
        cache.get(KEY)
    clock.now += DENIAL_S
    assert cache.get(KEY) is None


def test_a_refusal_can_be_forgiven_and_is_by_a_new_token(cache: TokenCache) -> None:
    cache.deny(KEY, Denied(Reason.LOGIN_FAILED))
    cache.forgive(KEY)
    assert cache.get(KEY) is None
    cache.deny(KEY, Denied(Reason.LOGIN_FAILED))
    cache.put(KEY, "t", 100)
    assert cache.get(KEY) == "t"


def test_refusals_are_bounded(cache: TokenCache) -> None:
    for number in range(DENIALS + 1):
        cache.deny(TokenKey(str(number), bound=True), Denied(Reason.LOGIN_FAILED))
    assert cache.get(TokenKey("0", bound=True)) is None
    with pytest.raises(Denied):
        cache.get(TokenKey(str(DENIALS), bound=True))


def test_states_show_times_and_never_a_token(cache: TokenCache) -> None:
    cache.put(KEY, "secret", 100)
    assert cache.states() == [{"audience": "app", "bound": True, "issued_at": 1000.0, "expires_at": 1100.0}]
