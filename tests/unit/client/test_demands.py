"""What edges demand: taken up once in a while, forgotten in time, and never a loop."""

from __future__ import annotations

import pytest

from tunneld.client.demands import AGAIN_S, HASTE, REFUSED_S, Demands
from tunneld.client.ports import Denied
from tunneld.model.reasons import Reason
from tunneld.policy.claims_challenge import step_up_challenge
from tunneld.policy.claims_request import ClaimsRequest

C1 = ClaimsRequest(contexts=("c1",))
NOTHING = ClaimsRequest()
PAGE = Denied(Reason.INTERACTION_REQUIRED, "AADSTS50076")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def demands(clock: Clock) -> Demands:
    return Demands(clock)


def challenge(demands: Demands, context: str = "c1", application: str = "app") -> str | None:
    """Return why a challenge is not taken up, None where it is."""
    try:
        demands.challenged(application, step_up_challenge(context))
    except Denied as denied:
        return f"{denied.reason.value}: {denied.detail}"
    return None


def test_a_demand_is_asked_for_until_the_profile_drops_it(demands: Demands, clock: Clock) -> None:
    """Every renewal needs it again; another application has nothing to do with it."""
    assert challenge(demands) is None
    demands.met("app")
    clock.now += 100_000
    assert demands.wanted("app") == C1
    assert demands.wanted("other") == NOTHING
    demands.settle({"app": "c1"})
    assert demands.wanted("app") == C1
    demands.settle({"app": "c2", "other": "c1"})
    assert demands.wanted("app") == NOTHING
    assert challenge(demands) is None


def test_the_same_challenge_is_taken_up_once_in_a_while(demands: Demands, clock: Clock) -> None:
    assert challenge(demands) is None
    assert "still demands" in (challenge(demands) or "")
    assert challenge(demands, application="other") is None
    clock.now += AGAIN_S - 1
    assert "still demands" in (challenge(demands) or "")
    clock.now += 1
    assert challenge(demands) is None


def test_other_challenges_are_a_handful_in_a_while(demands: Demands, clock: Clock) -> None:
    for number in range(HASTE):
        assert challenge(demands, f"c{number + 1}") is None
    assert "every time" in (challenge(demands, "c50") or "")
    assert demands.wanted("app").contexts == (f"c{HASTE}",)
    clock.now += AGAIN_S
    assert challenge(demands, "c50") is None


def test_what_cannot_be_met_is_shown_and_forgotten_in_time(demands: Demands, clock: Clock) -> None:
    """Then a token is asked for without, so that the edge says whether its demand still stands."""
    challenge(demands)
    demands.refused("app", PAGE)
    assert [each.application for each in demands.waiting()] == ["app"]
    clock.now += REFUSED_S / 2
    demands.refused("app", PAGE)
    assert demands.wanted("app") == C1
    clock.now += REFUSED_S / 2
    assert demands.wanted("app") == NOTHING
    assert demands.remembered("app") == C1
    assert demands.waiting()
    demands.met("app")
    assert demands.waiting() == []
    assert demands.wanted("app") == NOTHING, "the token that was just issued says nothing about the demand"
    clock.now += 1
    assert challenge(demands) is None
    assert demands.wanted("app") == C1


def test_a_met_demand_waits_for_nobody(demands: Demands) -> None:
    challenge(demands)
    demands.refused("app", PAGE)
    demands.met("app")
    assert demands.waiting() == []
    assert demands.wanted("app") == C1


def test_only_a_page_is_worth_waiting_for(demands: Demands) -> None:
    """A policy that blocks is no step-up: no command would help."""
    demands.refused("app", Denied(Reason.LOGIN_FAILED, "AADSTS53003"))
    assert demands.waiting() == []


def test_after_a_step_up_the_demand_counts_at_once(demands: Demands) -> None:
    challenge(demands)
    demands.refused("app", PAGE)
    demands.insist("app", C1)
    assert demands.wanted("app") == C1
    assert demands.waiting() == []
    assert challenge(demands) is None


def test_a_malformed_challenge_is_refused(demands: Demands) -> None:
    with pytest.raises(Denied) as denied:
        demands.challenged("app", "%%%")
    assert "malformed" in denied.value.detail
    assert demands.wanted("app") == NOTHING
