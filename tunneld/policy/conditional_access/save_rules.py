"""What may not be saved, and what may not be deleted: contradictions of a policy with itself and with the directory.

Which contradictions Microsoft Entra refuses is documented for a few (no controls, MFA beside a strength, switching
continuous access evaluation off for a part of the resources); refusing dangling references is a choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tunneld.policy.built_in_roles import BY_ID
from tunneld.policy.conditional_access.compiling import AGREEMENT, CONTEXT, LOCATION, POLICY, STRENGTH
from tunneld.policy.conditional_access.documents import (
    Applications,
    ConditionalAccessPolicy,
    Conditions,
    GrantControls,
)
from tunneld.policy.conditional_access.references import AuthenticationStrength
from tunneld.policy.conditional_access.words import ADMIN_PORTAL_IDS, ALL, BUILT_IN_STRENGTHS, NONE, OFFICE_365_IDS
from tunneld.policy.directory import Directory, Tenant
from tunneld.policy.objects import Conflict, GraphObject

# Applications that every Microsoft tenant has and that people name in policies, though nothing here stands for them.
WELL_KNOWN_APPLICATIONS = OFFICE_365_IDS | ADMIN_PORTAL_IDS | {
    "00000012-0000-0000-c000-000000000000",  # Rights Management
    "0000000c-0000-0000-c000-000000000000",  # App Access Panel
    "d52792f4-ba38-424d-8140-ada5b883f293",  # Terms of Use
}  # fmt: skip


def check_policy(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    """Return the first thing that contradicts a policy."""
    assert isinstance(value, ConditionalAccessPolicy)
    tenant = directory.tenants[tenant_id]
    for rule in _RULES:
        conflict = rule(tenant, value)
        if conflict is not None:
            return conflict
    return None


def check_strength(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    """Keep the built-in strengths as they are."""
    del directory, tenant_id
    assert isinstance(value, AuthenticationStrength)
    if value.id in BUILT_IN_STRENGTHS or value.policy_type == "builtIn":
        mend = "Create a custom strength with the combinations you need."
        return Conflict("builtInStrength", "The built-in authentication strengths cannot be changed.", mend, "id", 403)
    return None


def check_delete_strength(directory: Directory, tenant_id: str, object_id: str) -> Conflict | None:
    """Keep built-in strengths, and those that a policy names."""
    if object_id in BUILT_IN_STRENGTHS:
        mend = "Take it out of the policies that name it instead."
        return Conflict("builtInStrength", "The built-in authentication strengths cannot be deleted.", mend, "id", 403)
    return check_delete_of(STRENGTH)(directory, tenant_id, object_id)


def check_delete_of(kind: str) -> Callable[[Directory, str, str], Conflict | None]:
    """Return the check that no policy of the tenant names an object of `kind` any more."""

    def check(directory: Directory, tenant_id: str, object_id: str) -> Conflict | None:
        for document in directory.tenants[tenant_id].objects.get(POLICY, {}).values():
            assert isinstance(document, ConditionalAccessPolicy)
            if any(each == (kind, object_id) for each, _ in _references(document)):
                message = f"The policy {document.display_name!r} ({document.id}) refers to it."
                return Conflict("inUse", message, "Change that policy first.", "id", 409)
        return None

    return check


def _references(document: ConditionalAccessPolicy) -> Iterable[tuple[tuple[str, str], str]]:
    """Yield ((kind, id), member) of every object of our kinds that a policy names."""
    locations, grant = document.conditions.locations, document.grant_controls
    if locations is not None:
        for side, words in (("include", locations.include_locations), ("exclude", locations.exclude_locations)):
            for word in words:
                if not word.startswith(ALL):
                    yield (LOCATION, word), f"conditions.locations.{side}Locations"
    for context in document.conditions.applications.include_authentication_context_class_references:
        yield (CONTEXT, context), "conditions.applications.includeAuthenticationContextClassReferences"
    if grant is not None:
        for agreement in grant.terms_of_use:
            yield (AGREEMENT, agreement), "grantControls.termsOfUse"
        if grant.authentication_strength is not None:
            yield (STRENGTH, grant.authentication_strength.id), "grantControls.authenticationStrength"


def _keywords_stand_alone(tenant: Tenant, document: ConditionalAccessPolicy) -> Conflict | None:
    del tenant
    users, applications = document.conditions.users, document.conditions.applications
    lists = (
        ("users.includeUsers", users.include_users), ("users.excludeUsers", users.exclude_users),
        ("applications.includeApplications", applications.include_applications),
        ("applications.excludeApplications", applications.exclude_applications),
    )
    for member, words in lists:
        keywords = {ALL, NONE} & set(words)
        if keywords and (len(words) > 1 or "exclude" in member):
            mend = "Name All or None alone, and only to include; or list ids."
            message = f"{sorted(keywords)[0]} stands beside others, or excludes."
            return Conflict("keywordMixed", message, mend, f"conditions.{member}")
    return None


def _somebody(tenant: Tenant, document: ConditionalAccessPolicy) -> Conflict | None:
    del tenant
    users = document.conditions.users
    external = users.include_guests_or_external_users
    if users.include_users or users.include_groups or users.include_roles or (external is not None and external.types):
        return None
    mend = "Include users, groups, roles or external users; None is said as includeUsers [None]."
    return Conflict("nobodyIncluded", "The policy is about nobody.", mend, "conditions.users")


def _one_sort_of_target(tenant: Tenant, document: ConditionalAccessPolicy) -> Conflict | None:
    del tenant
    applications = document.conditions.applications
    if sum(map(bool, _targets(applications))) != 1:
        mend = "Name applications, or user actions, or authentication contexts."
        return Conflict(
            "oneSortOfTarget", "A policy has exactly one sort of target.", mend, "conditions.applications"
        )
    if applications.exclude_applications and not applications.include_applications:
        mend = "Exclude applications only from included applications."
        return Conflict(
            "nothingToExcludeFrom", "No applications are included.", mend,
            "conditions.applications.excludeApplications",
        )  # fmt: skip
    return None


def _targets(applications: Applications) -> tuple[object, ...]:
    return (
        applications.include_applications, applications.include_user_actions,
        applications.include_authentication_context_class_references,
    )


def _controls(tenant: Tenant, document: ConditionalAccessPolicy) -> Conflict | None:
    del tenant
    grant, session = document.grant_controls, document.session_controls
    names = _control_names(grant) if grant is not None else ()
    has_session = session is not None and any(value is not None for _, value in session)
    if (grant is not None and not names) or (grant is None and not has_session):
        mend = "Add a grant or session control."
        return Conflict("noControls", "The policy asks for nothing.", mend, "grantControls")
    if "block" in names and len(names) > 1:
        return Conflict("blockAlone", "Block stands beside other controls.", "Choose one.", "grantControls")
    if "mfa" in names and "authenticationStrength" in names:
        mend = "Keep the strength: it is multifactor authentication of a certain kind."
        return Conflict("mfaBesideStrength", "MFA stands beside an authentication strength.", mend, "grantControls")
    return None


def _control_names(grant: GrantControls) -> tuple[str, ...]:
    strength = ("authenticationStrength",) if grant.authentication_strength is not None else ()
    return (*grant.built_in_controls, *grant.terms_of_use, *grant.custom_authentication_factors, *strength)


def _continuous_access(tenant: Tenant, document: ConditionalAccessPolicy) -> Conflict | None:
    """Continuous access evaluation is switched off for everything or not at all."""
    del tenant
    session = document.session_controls
    evaluation = session.continuous_access_evaluation if session is not None else None
    if evaluation is None or evaluation.mode != "disabled":
        return None
    applications = document.conditions.applications
    if applications == Applications(include_applications=(ALL,)) and not _narrowed(document.conditions):
        return None
    return Conflict(
        "continuousAccessDisabledInPart", "Continuous access evaluation can be disabled only for all resources.",
        "Include All applications and no further condition.", "sessionControls.continuousAccessEvaluation",
    )


def _narrowed(conditions: Conditions) -> bool:
    return conditions != Conditions(users=conditions.users, applications=conditions.applications)


def _own_references(tenant: Tenant, document: ConditionalAccessPolicy) -> Conflict | None:
    for (kind, object_id), member in _references(document):
        if kind == STRENGTH and object_id in BUILT_IN_STRENGTHS:
            continue
        if tenant.object(kind, object_id) is None:
            return _unknown(kind, object_id, member)
    return None


def _directory_references(tenant: Tenant, document: ConditionalAccessPolicy) -> Conflict | None:
    for exists, kind, ids, member in _named(document):
        for one in ids:
            if "-" in one and not exists(tenant, one):  # keywords have no hyphen, ids do
                return _unknown(kind, one, f"conditions.{member}")
    return None


Exists = Callable[[Tenant, str], bool]


def _named(document: ConditionalAccessPolicy) -> Iterable[tuple[Exists, str, tuple[str, ...], str]]:
    """Yield (existence test, kind, ids and keywords, member) for what the directory itself knows."""
    users, applications = document.conditions.users, document.conditions.applications
    yield _user_exists, "user", users.include_users, "users.includeUsers"
    yield _user_exists, "user", users.exclude_users, "users.excludeUsers"
    yield _group_exists, "group", users.include_groups, "users.includeGroups"
    yield _group_exists, "group", users.exclude_groups, "users.excludeGroups"
    yield _role_exists, "role", users.include_roles, "users.includeRoles"
    yield _role_exists, "role", users.exclude_roles, "users.excludeRoles"
    member = "applications.includeApplications"
    yield _application_exists, "application", applications.include_applications, member
    member = "applications.excludeApplications"
    yield _application_exists, "application", applications.exclude_applications, member


def _user_exists(tenant: Tenant, user: str) -> bool:
    return user in tenant.users


def _role_exists(tenant: Tenant, role: str) -> bool:
    return role in BY_ID or role in tenant.policy.roles.custom


def _application_exists(tenant: Tenant, application: str) -> bool:
    return application in WELL_KNOWN_APPLICATIONS or tenant.resource(application) is not None


def _group_exists(tenant: Tenant, group: str) -> bool:
    return group in tenant.groups


def _unknown(kind: str, object_id: str, member: str) -> Conflict:
    return Conflict("unknownReference", f"The tenant has no {kind} {object_id}.", "Create it first.", member)


_RULES: tuple[Callable[[Tenant, ConditionalAccessPolicy], Conflict | None], ...] = (
    _keywords_stand_alone, _somebody, _one_sort_of_target, _controls, _continuous_access, _own_references,
    _directory_references,
)  # fmt: skip
