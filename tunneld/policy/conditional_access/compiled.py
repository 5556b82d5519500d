"""A tenant's Conditional Access policies in the form that evaluation reads."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConditionalAccess:
    """All policies of one tenant with what they refer to."""
