"""External collaboration settings: who may invite whom, and how much guests see. They gate no sign-in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tunneld.policy.guests.addresses import listed


class InvitersAllowed(StrEnum):
    """Graph's `allowInvitesFrom`."""

    EVERYONE = "everyone"
    MEMBERS = "adminsGuestInvitersAndAllMembers"
    INVITERS = "adminsAndGuestInviters"
    NOBODY = "none"


# Role template ids that Graph publishes for `guestUserRoleId`.
GUEST_AS_MEMBER = "a0b1b346-4d3e-4e8b-98f8-753987be4970"
GUEST_LIMITED = "10dae51f-b6af-4016-8d66-8c2a99b929b3"
GUEST_RESTRICTED = "2af84b1e-32c8-42b7-82bc-daa82404023b"


@dataclass(frozen=True, slots=True)
class Collaboration:
    """One tenant's settings. Of the two domain lists at most one is set; both None means any domain.

    `workloads_apart` are applications that do not ask the directory: an invitation through one of them passes over
    the domain list and over `allow_invites_from`, as SharePoint does while its B2B integration is off.
    """

    allow_invites_from: InvitersAllowed = InvitersAllowed.EVERYONE
    guest_role: str = GUEST_LIMITED
    allowed_domains: frozenset[str] | None = None
    blocked_domains: frozenset[str] | None = None
    one_time_passcode: bool = True
    self_service_sign_up: bool = False
    guests_may_leave: bool = True
    workloads_apart: frozenset[str] = frozenset()

    def judge_domain(self, domain: str) -> DomainVerdict:
        """Hold a domain against the list. No list lets every domain in; an empty allow list lets none in."""
        if self.allowed_domains is not None:
            entry = listed(domain, self.allowed_domains)
            return DomainVerdict(entry is not None, "allow list", entry)
        if self.blocked_domains is not None:
            entry = listed(domain, self.blocked_domains)
            return DomainVerdict(entry is None, "block list", entry)
        return DomainVerdict(True, "no list", None)


@dataclass(frozen=True, slots=True)
class DomainVerdict:
    """Whether a domain may be invited, by which list, and the entry that named it."""

    passed: bool
    source: str  # "allow list" | "block list" | "no list"
    entry: str | None

    def __str__(self) -> str:
        return f"{self.source}, {self.entry or 'not on it'}" if self.source != "no list" else self.source
