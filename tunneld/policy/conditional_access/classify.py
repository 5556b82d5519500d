"""What a user is to the tenant that they enter, in Conditional Access's seven sorts."""

from __future__ import annotations

from tunneld.policy.conditional_access.words import UserClass
from tunneld.policy.directory import SignInWay, User, UserType
from tunneld.policy.facts import AccessPath


def classify(user: User | None, path: AccessPath) -> UserClass:
    """Return the sort of a user (Microsoft Entra: assigning Conditional Access policies to external user types).

    Where an account authenticates and its user type are independent of each other. A service provider's technician
    who comes in with a guest object is that guest: the path decides, which the cross-tenant settings have allowed.
    """
    if path is AccessPath.SERVICE_PROVIDER:
        return UserClass.SERVICE_PROVIDER
    if user is None:
        return UserClass.DIRECT_CONNECT if path is AccessPath.DIRECT_CONNECT else UserClass.OTHER
    guest = user.user_type is UserType.GUEST
    if user.way is SignInWay.HERE:
        return UserClass.INTERNAL_GUEST if guest else UserClass.MEMBER
    return UserClass.COLLABORATION_GUEST if guest else UserClass.COLLABORATION_MEMBER
