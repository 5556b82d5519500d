"""A tenant's directory roles in the form that an authorization check reads: who holds what, and what that allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

WHOLE_TENANT = "/"  # Graph's `directoryScopeId` of an assignment over everything


@dataclass(frozen=True, slots=True)
class HeldRole:
    """One assignment: a role definition's id, and where it holds ("/" or "/{application id}")."""

    definition: str
    scope: str = WHOLE_TENANT


@dataclass(frozen=True, slots=True)
class RoleGrants:
    """Assignments and custom roles of one tenant, and the permissions that demand a step-up first."""

    held: Mapping[str, frozenset[HeldRole]] = field(default_factory=dict)  # by the user's object id
    custom: Mapping[str, frozenset[str]] = field(default_factory=dict)  # role definition → permission strings
    custom_names: Mapping[str, str] = field(default_factory=dict)
    protected: Mapping[str, str] = field(default_factory=dict)  # permission → authentication context
