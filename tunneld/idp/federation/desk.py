"""What federated sign-in keeps in memory: sign-ins on their way, proofs that were used, documents of providers.

A restart forgets all of it, on purpose: whoever was away at a provider then starts again.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from tunneld.idp.federation.key_source import KeySource
from tunneld.idp.federation.outbound import Outbound
from tunneld.idp.federation_settings import FederationSettings
from tunneld.policy.federation.compiled import TrustedProvider

AWAY_S = 900  # how long somebody may take at the other provider; their own page's patience is about that
MAX_AWAY = 10_000  # the oldest go first
MAX_USED = 100_000  # proofs remembered; each lives for an hour at most


@dataclass(frozen=True, slots=True)
class Away:
    """One person who was sent to a provider: what the answer must fit, and where the conversation goes on."""

    state: str
    trusted: TrustedProvider
    return_to: str  # a path of ours with its query
    browser: str = field(repr=False)  # the cookie of the browser that was sent
    nonce: str = field(default="", repr=False)
    verifier: str = field(default="", repr=False)
    began_at: float = 0.0


@dataclass(slots=True)
class FederationDesk:
    """One identity provider's federated sign-ins in flight."""

    transport: httpx.AsyncBaseTransport | None = None  # tests put a provider in memory here
    _away: OrderedDict[str, Away] = field(default_factory=OrderedDict)
    _used: OrderedDict[str, float] = field(default_factory=OrderedDict)
    _sources: dict[tuple[str, str], KeySource] = field(default_factory=dict)
    _outbound: Outbound | None = None
    _looked: dict[tuple[str, str], float] = field(default_factory=dict)

    def outbound(self, settings: FederationSettings) -> Outbound:
        """Return the way to the providers."""
        if self._outbound is None:
            self._outbound = Outbound(settings, self.transport)
        return self._outbound

    def source(
        self, trusted: TrustedProvider, settings: FederationSettings, clock: Callable[[], float]
    ) -> KeySource:
        """Return the documents of an OpenID provider; a changed configuration begins with none."""
        key = (trusted.tenant_id, trusted.id)
        found = self._sources.get(key)
        if found is None or found.trusted != trusted:
            found = self._sources[key] = KeySource(trusted, self.outbound(settings), clock)
        return found

    def may_look(self, trusted: TrustedProvider, pause_s: float, now: float) -> bool:
        """Tell whether a provider's metadata may be fetched again, and remember that it is; one fetch at a time."""
        key = (trusted.tenant_id, trusted.id)
        if now - self._looked.get(key, float("-inf")) < pause_s:
            return False
        self._looked[key] = now
        return True

    def send(self, trusted: TrustedProvider, return_to: str, browser: str, now: float) -> Away:
        """Remember somebody who leaves for a provider."""
        while self._away:
            oldest = next(iter(self._away.values()))
            if len(self._away) < MAX_AWAY and now - oldest.began_at < AWAY_S:
                break
            self._away.popitem(last=False)
        away = Away(
            # An XML id has to begin with a letter or an underscore, and SAML sends this as one.
            f"_{secrets.token_urlsafe(24)}", trusted, return_to, browser, secrets.token_urlsafe(24),
            secrets.token_urlsafe(48), now,
        )
        self._away[away.state] = away
        return away

    def back(self, state: str, browser: str, now: float) -> Away | None:
        """Return the sign-in that an answer belongs to, once, and to the browser that was sent only."""
        away = self._away.get(state)
        if away is None or not browser or not secrets.compare_digest(away.browser, browser):
            return None
        del self._away[state]
        return away if now - away.began_at < AWAY_S else None

    def first_use(self, proof: str, until: float, now: float) -> bool:
        """Tell whether a proof was never used before, and remember it for as long as it could be used again."""
        while self._used:
            oldest, end = next(iter(self._used.items()))
            if len(self._used) < MAX_USED and end > now:
                break
            del self._used[oldest]
        if proof in self._used:
            return False
        self._used[proof] = until
        return True
