"""What a decision says about itself: steps in order, without clock or secret, so that equal inputs give equal bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One look at one setting.

    `tenant` is the tenant whose setting was read, `source` where it came from, `hit` whether its targets matched,
    `version` the fingerprint of that tenant's policy. Empty members are left out of JSON.
    """

    step: str  # S0 … S11
    check: str
    tenant: str
    effect: str  # "pass" | "block" | "interrupt" | "report"
    rule: str
    setting: str = ""  # Graph's name of the property: "b2bCollaborationInbound"
    source: str = ""  # "partner" | "default" | "service" | "policy" | ""
    hit: bool | None = None
    version: str = ""

    def to_json(self) -> dict[str, object]:
        """Return the members that say something, in a fixed order."""
        members: dict[str, object] = {
            "step": self.step, "check": self.check, "tenant": self.tenant, "effect": self.effect, "rule": self.rule,
        }
        if self.setting:
            members["setting"] = self.setting
        if self.source:
            members["source"] = self.source
        if self.hit is not None:
            members["hit"] = self.hit
        if self.version:
            members["policyVersion"] = self.version
        return members
