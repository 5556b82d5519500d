"""A tenant's Conditional Access policies in the form that evaluation reads.

Policies are numbered by their ids' order, and every condition is a lookup from words to sets of policies, each set one
integer with a bit per policy. What matches a sign-in is then a few lookups, however many policies there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from tunneld.policy.conditional_access.device_filter import Predicate
from tunneld.policy.conditional_access.outcome import AppliedPolicy
from tunneld.policy.conditional_access.words import Combination, Condition, ControlKind

Bits = int  # a set of policies


@lru_cache(maxsize=4096)
def numbers(bits: Bits) -> tuple[int, ...]:
    """Return the numbers of the policies in a set, in order. Remembered, because the same few sets come again."""
    found = []
    while bits:
        low = bits & -bits
        found.append(low.bit_length() - 1)
        bits ^= low
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Lookup:
    """One condition of all policies: which of them include a word and which exclude it."""

    included: Mapping[str, Bits] = field(default_factory=dict)
    excluded: Mapping[str, Bits] = field(default_factory=dict)

    def matching(self, words: Iterable[str]) -> Bits:
        """Return the policies that include one of the words and exclude none: exclusion beats inclusion."""
        hit = out = 0
        included, excluded = self.included, self.excluded
        for word in words:
            hit |= included.get(word, 0)
            if excluded:
                out |= excluded.get(word, 0)
        return hit & ~out


@dataclass(frozen=True, slots=True)
class Location:
    """A named location that some policy refers to: ranges as (first, last) addresses, or countries."""

    id: str
    trusted: bool = False
    ranges4: tuple[tuple[int, int], ...] = ()
    ranges6: tuple[tuple[int, int], ...] = ()
    countries: frozenset[str] = frozenset()
    unknown_countries: bool = False


@dataclass(frozen=True, slots=True)
class Control:
    """One thing to prove. `id` is of the strength, the terms of use or the custom control."""

    kind: ControlKind
    id: str = ""
    combinations: tuple[Combination, ...] = ()

    @property
    def name(self) -> str:
        """How logs name the control."""
        return f"{self.kind}:{self.id}" if self.id else self.kind


@dataclass(frozen=True, slots=True)
class Frequency:
    """How old an authentication may be; `every_time` shows as 0 seconds."""

    seconds: int
    every_time: bool = False
    secondary_only: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """What one policy asks once its conditions match. `controls` are in the documented order of enforcement."""

    id: str
    name: str
    report_only: bool = False
    block: bool = False
    every_control: bool = True
    controls: tuple[Control, ...] = ()
    frequency: Frequency | None = None
    persistent_browser: bool | None = None
    continuous_access: str = ""
    on_sign_in_risk: bool = False
    on_user_risk: bool = False
    grant_words: tuple[str, ...] = ()
    session_words: tuple[str, ...] = ()
    asks: str = ""  # both, as a trace says it


@dataclass(frozen=True, slots=True)
class ConditionalAccess:
    """All policies of one tenant with what they refer to.

    `idle` is the log's line of each policy when it is switched off, `dropped` when a condition kept it out, `applied`
    with each result: the lines exist beforehand, because every sign-in needs one of every policy.
    """

    policies: tuple[Policy, ...] = ()
    live: Bits = 0  # enabled, or for reporting only
    lookups: Mapping[Condition, Lookup] = field(default_factory=dict)
    device_rules: Mapping[int, tuple[bool, Predicate]] = field(default_factory=dict)  # number → (include, rule)
    locations: tuple[Location, ...] = ()
    contexts: frozenset[str] = frozenset()  # authentication contexts that are published
    idle: tuple[AppliedPolicy, ...] = ()
    dropped: Mapping[Condition, tuple[AppliedPolicy, ...]] = field(default_factory=dict)
    applied: Mapping[str, tuple[AppliedPolicy, ...]] = field(default_factory=dict)  # by result
