"""What an outside provider says about a person, once it has been verified, and what is still asked of it."""

from __future__ import annotations

from dataclasses import dataclass

from tunneld.model.errors import TunneldError
from tunneld.policy.federation.compiled import TrustedProvider, domain_of
from tunneld.policy.refusals import Refusal, refusal

MAX_TEXT = 512  # an address has at most 254 characters (RFC 5321 §4.5.3.1); subjects are opaque
SKEW_S = 60  # the clocks of two organizations; what our own verifiers allow


class FederationError(TunneldError):
    """An answer of an outside provider is no proof. `rule` is the stable name of what it broke."""

    def __init__(self, rule: str, detail: str = "") -> None:
        super().__init__(f"{rule}: {detail}" if detail else rule)
        self.rule = rule
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Vouched:
    """A person as a provider vouches for them. `once` and `until` let the shell refuse the same proof twice."""

    issuer: str
    subject: str
    email: str
    display_name: str
    multi_factor: bool
    authenticated_at: int
    once: str = ""
    until: int = 0

    @property
    def method(self) -> str:
        """Return the method in the words of Graph's `authenticationMethodModes`."""
        return "federatedMultiFactor" if self.multi_factor else "federatedSingleFactor"


def judge_email(provider: TrustedProvider, vouched: Vouched) -> Refusal | None:
    """Refuse an address outside the federation's domains: a partner speaks for its own people only."""
    domain = domain_of(vouched.email)
    if not domain:
        return refusal(5000819, "The provider sent no email address.")
    if not provider.social and domain not in provider.domains:
        return refusal(5000819, "The email address is not in a domain of the federation.")
    return None
