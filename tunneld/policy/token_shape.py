"""How an application wants its tokens: optional claims, which memberships, which roles.

Microsoft Graph reference: application (optionalClaims, groupMembershipClaims, appRoles), optionalClaim.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NO_PROPERTIES: frozenset[str] = frozenset()

# Properties of the optional claim `upn`.
GUEST_UPN = "include_externally_authenticated_upn"
GUEST_UPN_WITHOUT_HASH = "include_externally_authenticated_upn_without_hash"
USER_TOKENS_TOO = "include_user_token"  # of `idtyp`

# What the edges read: an application that lists claims of its own gets these besides. A choice: in the product all of
# them are asked for one by one, and a tunnel whose token lacks `acct` could judge no assignment by user type.
TUNNEL_CLAIMS: Mapping[str, frozenset[str]] = dict.fromkeys(("acct", "acrs", "sid", "xms_cc"), NO_PROPERTIES)


@dataclass(frozen=True, slots=True)
class TokenShape:
    """Claims by name with their additional properties, for access tokens and for ID tokens.

    `groups` holds words of Graph's `groupMembershipClaims`: SecurityGroup, ApplicationGroup, DirectoryRole, All, None.
    """

    access: Mapping[str, frozenset[str]] = field(default_factory=lambda: TUNNEL_CLAIMS)
    identity: Mapping[str, frozenset[str]] = field(default_factory=dict)
    groups: frozenset[str] = frozenset({"SecurityGroup"})

    def lists(self, *words: str) -> bool:
        """Tell whether memberships of one of these kinds go into tokens."""
        return bool(self.groups.intersection(words))


TUNNEL_SHAPE = TokenShape()


def shaped(
    access: Mapping[str, frozenset[str]], identity: Mapping[str, frozenset[str]], groups: str | None
) -> TokenShape:
    """Return the shape that an application asks for; null memberships mean what a private application starts with."""
    words = frozenset(word.strip() for word in groups.split(",")) if groups else TUNNEL_SHAPE.groups
    return TokenShape({**TUNNEL_CLAIMS, **access}, dict(identity), words)


@dataclass(frozen=True, slots=True)
class AppRole:
    """One role that an application defines, and the ids of the users and groups that have it."""

    value: str
    holders: frozenset[str] = frozenset()
    enabled: bool = True
