"""External collaboration settings: who may invite whom, and how much guests see. They gate no sign-in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
    """One tenant's settings. Of the two domain lists at most one is set; both empty means any domain."""

    allow_invites_from: InvitersAllowed = InvitersAllowed.EVERYONE
    guest_role: str = GUEST_LIMITED
    allowed_domains: frozenset[str] | None = None
    blocked_domains: frozenset[str] | None = None
    one_time_passcode: bool = True
    self_service_sign_up: bool = False
    guests_may_leave: bool = True
