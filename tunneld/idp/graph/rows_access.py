"""Rows of Conditional Access and what its policies name (Microsoft Graph reference: conditionalAccessRoot)."""

from __future__ import annotations

from tunneld.idp.graph.resource import Activities, Json, Permissions, ResourceType
from tunneld.policy.conditional_access.documents import ConditionalAccessPolicy
from tunneld.policy.conditional_access.lint import lint_policy
from tunneld.policy.directory import Directory
from tunneld.policy.objects import GraphObject

_CATEGORY = "Policy"
_SERVICE = "Conditional Access"


def permissions(name: str) -> Permissions:
    """Return the four strings that most kinds have."""
    base = f"microsoft.directory/{name}/"
    return Permissions(f"{base}standard/read", f"{base}create", f"{base}basic/update", f"{base}delete")


def activities(noun: str, category: str = _CATEGORY, *, service: str = _SERVICE, target: str = "Policy") -> Activities:
    """Return the three activities that most kinds have."""
    return Activities(category, f"Add {noun}", f"Update {noun}", f"Delete {noun}", target, service)


_TIMES = frozenset({"id", "createdDateTime", "modifiedDateTime", "deletedDateTime"})


def _lint(directory: Directory, tenant_id: str, value: GraphObject) -> list[Json]:
    """Return what the linter says of a policy as it is now in force."""
    assert isinstance(value, ConditionalAccessPolicy)
    return [finding.to_json() for finding in lint_policy(directory.tenants[tenant_id], value.id)]


POLICIES = ResourceType(
    kind="conditionalAccessPolicy", collection="/identity/conditionalAccess/policies",
    permissions=permissions("conditionalAccessPolicies"), audit=activities("conditional access policy"),
    read_only=_TIMES, warn=_lint,
)
NAMED_LOCATIONS = ResourceType(
    kind="namedLocation", collection="/identity/conditionalAccess/namedLocations",
    permissions=permissions("namedLocations"), audit=activities("named location"), read_only=_TIMES,
)
STRENGTHS = tuple(
    ResourceType(
        kind="authenticationStrengthPolicy", collection=collection, answers_update=True,
        permissions=permissions("authenticationStrengthPolicies"), audit=activities("authentication strength policy"),
        read_only=_TIMES | {"policyType", "requirementsSatisfied"},
    )
    # Graph has the same objects under both paths.
    for collection in (
        "/identity/conditionalAccess/authenticationStrength/policies", "/policies/authenticationStrengthPolicies",
    )
)
CONTEXTS = ResourceType(
    kind="authenticationContextClassReference",
    collection="/identity/conditionalAccess/authenticationContextClassReferences", chosen=True, upsert=True,
    permissions=permissions("authenticationContexts"), audit=activities("authentication context"),
)
AGREEMENTS = ResourceType(
    kind="agreement", collection="/identityGovernance/termsOfUse/agreements", answers_update=True,
    permissions=permissions("agreements"), audit=activities("terms of use", service="Terms Of Use"), read_only=_TIMES,
)
ACCESS_ROWS = (POLICIES, NAMED_LOCATIONS, *STRENGTHS, CONTEXTS, AGREEMENTS)
