"""The object kinds of Conditional Access. Whichever of them changes, the tenant's policies are compiled anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from tunneld.policy.conditional_access.compiling import (
    AGREEMENT,
    CONTEXT,
    LOCATION,
    POLICY,
    STRENGTH,
    compile_access,
)
from tunneld.policy.conditional_access.documents import ConditionalAccessPolicy
from tunneld.policy.conditional_access.references import (
    Agreement,
    AuthenticationContext,
    AuthenticationStrength,
    NamedLocation,
    built_in_strengths,
)
from tunneld.policy.conditional_access.save_rules import (
    check_delete_of,
    check_delete_strength,
    check_policy,
    check_strength,
)
from tunneld.policy.directory import Directory
from tunneld.policy.objects import GraphObject, ObjectKind

_BUILT_IN = {each.id: each for each in built_in_strengths()}


def put(directory: Directory, tenant_id: str, values: Mapping[str, GraphObject | None]) -> Directory:
    """Compile what the tenant's objects are now."""
    del values
    tenant = directory.tenants[tenant_id]
    policy = replace(tenant.policy, conditional_access=compile_access(tenant.objects))
    return replace(directory, tenants={**directory.tenants, tenant_id: replace(tenant, policy=policy)})


def implied_strength(directory: Directory, tenant_id: str, object_id: str) -> GraphObject | None:
    """Return a built-in strength: every tenant has them."""
    del directory, tenant_id
    return _BUILT_IN.get(object_id)


def implied_strengths(directory: Directory, tenant_id: str) -> Iterable[str]:
    """Return the ids of the built-in strengths."""
    del directory, tenant_id
    return _BUILT_IN.keys()


CONDITIONAL_ACCESS_KINDS: tuple[ObjectKind, ...] = (
    ObjectKind(LOCATION, NamedLocation, put, check_delete=check_delete_of(LOCATION)),
    ObjectKind(
        STRENGTH, AuthenticationStrength, put, check_strength, check_delete_strength,
        implied=implied_strength, implied_ids=implied_strengths,
    ),
    ObjectKind(CONTEXT, AuthenticationContext, put, check_delete=check_delete_of(CONTEXT)),
    ObjectKind(AGREEMENT, Agreement, put, check_delete=check_delete_of(AGREEMENT)),
    ObjectKind(POLICY, ConditionalAccessPolicy, put, check_policy),
)  # fmt: skip
