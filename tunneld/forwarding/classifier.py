"""The classifier as a flow meets it: raw host in, verdict out, with a bounded cache in between."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Protocol as Shape

from tunneld.forwarding.compile import CompiledProfile
from tunneld.model.address import normalise_host
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Outcome, Protocol, Verdict

NO_PROFILE = Verdict(Outcome.DIRECT, Reason.NO_PROFILE)

# About 300 bytes an entry, so 5 MiB; dnsmasq caches 150 names by default, unbound 4 MiB.
CACHE_SIZE = 16_384


class _Decide(Shape):
    def __call__(self, raw_host: str, port: int, protocol: Protocol, /) -> Verdict: ...


class Classifier:
    """Decides for one profile. A reload or a switch makes a new one, so that no cached answer outlives its profile."""

    __slots__ = ("classify", "profile")

    classify: _Decide
    """Return the verdict for a host as an application spelt it. Negative answers are cached like all others.

    Raises PeerProtocolError (`name_invalid`, `name_too_long`) for what is neither a name nor an address.
    """

    def __init__(self, profile: CompiledProfile | None, *, cache_size: int = CACHE_SIZE) -> None:
        self.profile = profile
        # The cache holds a function of the profile alone. A bound method would tie a knot that only the collector of
        # cycles unties, and a replaced profile of 100,000 rules would stay in memory until it runs.
        self.classify = lru_cache(maxsize=cache_size)(_decision(profile))

    def classify_resolved(self, verdict: Verdict, address: str, port: int, protocol: Protocol) -> Verdict:
        """Return the verdict for the address that a flow with this `verdict` on its name is about to dial.

        Only a name that matched nothing is judged again, so that a private range cannot be reached around its rule
        by a name that resolves into it; a rule's bypass is final. Ask for each address that is dialled.
        """
        return self.classify(address, port, protocol) if verdict.reason is Reason.NO_RULE else verdict


def _decision(profile: CompiledProfile | None) -> Callable[[str, int, Protocol], Verdict]:
    """Return the uncached decision."""
    if profile is None:

        def decide_without_profile(raw_host: str, port: int, protocol: Protocol) -> Verdict:  # noqa: ARG001 - one shape
            normalise_host(raw_host)
            return NO_PROFILE

        return decide_without_profile
    classify = profile.classify

    def decide(raw_host: str, port: int, protocol: Protocol) -> Verdict:
        return classify(normalise_host(raw_host), port, protocol)

    return decide
