"""What edges demand of applications' tokens, and which applications wait for their user to sign in more strongly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from tunneld.client.ports import Denied
from tunneld.model.reasons import Reason
from tunneld.policy.claims_challenge import claims_parameter, read_challenge
from tunneld.policy.claims_request import ClaimsRequest

AGAIN_S = 60.0  # the same demand is taken to the identity provider once in this time: the platform calls more a loop
HASTE = 4  # demands of one application, however they differ, in that time
REFUSED_S = 60.0  # how long a demand that cannot be met is asked for; then the edge is asked whether it still stands


@dataclass(slots=True)
class Demand:
    """What one application's token must say. `until` is when it is forgotten unless it is met."""

    wanted: ClaimsRequest
    until: float = inf
    denied: Denied | None = None


class Waiting(NamedTuple):
    """An application that gets no token before its user answered a page."""

    application: str
    reason: Reason
    detail: str


class Demands:
    """The demands of one user's applications in one tenant. A token of each is asked for with its demand."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._demands: dict[str, Demand] = {}
        self._asked: dict[str, list[tuple[float, ClaimsRequest]]] = {}

    def challenged(self, application: str, challenge: str) -> None:
        """Take a challenge up. Raises Denied(`insufficient_claims`) for one that leads nowhere."""
        wanted, now = read_challenge(challenge), self._now()
        if wanted is None:
            raise Denied(Reason.INSUFFICIENT_CLAIMS, "the edge's claims challenge is malformed")
        asked = [each for each in self._asked.get(application, ()) if now < each[0] + AGAIN_S]
        if any(earlier == wanted for _, earlier in asked):
            detail = "the edge still demands what the identity provider was just asked for"
            raise Denied(Reason.INSUFFICIENT_CLAIMS, detail)
        if len(asked) >= HASTE:
            raise Denied(Reason.INSUFFICIENT_CLAIMS, "the edge demands something else every time")
        self._asked[application] = [*asked, (now, wanted)]
        known = self._demands.get(application)
        self._demands[application] = Demand(wanted, denied=known.denied if known else None)

    def wanted(self, application: str) -> ClaimsRequest:
        """Return what the next token of the application is asked for with."""
        known = self._demands.get(application)
        return known.wanted if known is not None and self._now() < known.until else ClaimsRequest()

    def remembered(self, application: str) -> ClaimsRequest:
        """Return what was demanded last, although it may be asked for no more."""
        known = self._demands.get(application)
        return known.wanted if known is not None else ClaimsRequest()

    def claims(self, application: str) -> str:
        """Return the `claims` parameter of the next request for a token of the application."""
        return claims_parameter(self.wanted(application))

    def met(self, application: str) -> None:
        """The identity provider issued a token."""
        known = self._demands.get(application)
        if known is not None and self._now() >= known.until:
            del self._demands[application]  # the token was asked for without: the edge says whether that will do
        elif known is not None:
            known.until, known.denied = inf, None

    def refused(self, application: str, denied: Denied) -> None:
        """The identity provider issued none."""
        known = self._demands.setdefault(application, Demand(ClaimsRequest()))
        known.denied = denied
        known.until = min(known.until, self._now() + REFUSED_S)

    def insist(self, application: str, wanted: ClaimsRequest) -> None:
        """The user is about to have met `wanted`: ask for it whatever was said before."""
        self._asked.pop(application, None)
        self._demands[application] = Demand(wanted)

    def waiting(self) -> list[Waiting]:
        """Return the applications that wait for their user."""
        return [
            Waiting(application, each.denied.reason, each.denied.detail)
            for application, each in self._demands.items()
            if each.denied is not None and each.denied.reason is Reason.INTERACTION_REQUIRED
        ]

    def settle(self, contexts: Mapping[str, str]) -> None:
        """Drop what the tenant's new profile, which demands `contexts` by application, demands no more."""
        for application, known in list(self._demands.items()):
            if known.wanted.contexts and contexts.get(application) not in known.wanted.contexts:
                del self._demands[application]
                self._asked.pop(application, None)
