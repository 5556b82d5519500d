"""The kinds of object that a directory is made of. Groups come first: users are compiled with their memberships."""

from __future__ import annotations

from tunneld.policy.application_object import APPLICATION, ApplicationObject
from tunneld.policy.group_object import GROUP, GroupObject
from tunneld.policy.user_object import USER, UserObject

DIRECTORY_KINDS = (GROUP, USER, APPLICATION)

__all__ = ["APPLICATION", "DIRECTORY_KINDS", "GROUP", "USER", "ApplicationObject", "GroupObject", "UserObject"]
