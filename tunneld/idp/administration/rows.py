"""Rows of the kinds that administrators keep beside policy: synchronization jobs, access packages, reviews.

Graph spreads entitlement over several paths below `/identityGovernance`; the collections keep their names here, and
a review is one object with its decisions in it.
"""

from __future__ import annotations

from tunneld.idp.answers import ApiError
from tunneld.idp.graph.resource import Activities, Draft, Json, Permissions, ResourceType, Verb
from tunneld.journal.timestamps import rfc3339

_ENTITLEMENT = "microsoft.directory/entitlementManagement/allProperties/"
_REVIEWS = "microsoft.directory/accessReviews/allProperties/"
_SYNC = "microsoft.directory/crossTenantAccessPolicy/partners/identitySynchronization/"
PACKAGES_PATH = "/identityGovernance/entitlementManagement/accessPackages"
ASSIGNMENTS_PATH = "/identityGovernance/entitlementManagement/assignments"
REVIEWS_PATH = "/identityGovernance/accessReviews/definitions"
JOBS_PATH = "/tenantRelationships/synchronizationJobs"


def _from_now(draft: Draft, document: Json) -> Json:
    """Let an assignment begin now unless it says when."""
    return {**document, "startDateTime": document.get("startDateTime") or rfc3339(draft.now)}


def _still_open(draft: Draft, document: Json) -> Json:
    """Keep an applied review as it is: it is the record of what was done."""
    if draft.current is not None and draft.current.to_json().get("status") == "Applied":
        raise ApiError(409, "reviewApplied", "The review has been applied; begin a new one.")
    return document


JOBS = ResourceType(
    kind="synchronizationJob", collection=JOBS_PATH, chosen=True,
    permissions=Permissions(f"{_SYNC}standard/read", f"{_SYNC}create", f"{_SYNC}basic/update", f"{_SYNC}basic/update"),
    audit=Activities(
        "ProvisioningManagement", "Add synchronization job", "Update synchronization job", "Delete synchronization job",
        "SynchronizationJob", "Account Provisioning",
    ),
)
PACKAGES = ResourceType(
    kind="accessPackage", collection=PACKAGES_PATH,
    permissions=Permissions(f"{_ENTITLEMENT}read", *(f"{_ENTITLEMENT}allTasks",) * 3),
    audit=Activities(
        "EntitlementManagement", "Create access package", "Update access package", "Delete access package",
        "AccessPackage", "Entitlement Management",
    ),
)
ASSIGNMENTS = ResourceType(
    kind="accessPackageAssignment", collection=ASSIGNMENTS_PATH, name="id", prepare=_from_now,
    permissions=Permissions(f"{_ENTITLEMENT}read", *(f"{_ENTITLEMENT}allTasks",) * 3),
    audit=Activities(
        "EntitlementManagement", "Create access package assignment", "Update access package assignment",
        "Remove access package assignment", "AccessPackageAssignment", "Entitlement Management",
    ),
)
REVIEWS = ResourceType(
    kind="accessReview", collection=REVIEWS_PATH, prepare=_still_open,
    verbs=frozenset({Verb.LIST, Verb.GET, Verb.UPDATE, Verb.DELETE}),
    permissions=Permissions(f"{_REVIEWS}read", *(f"{_REVIEWS}allTasks",) * 3),
    audit=Activities(
        "Policy", "Create access review", "Update access review", "Delete access review", "AccessReview",
        "Access Reviews",
    ),
    read_only=frozenset({"id", "status", "createdDateTime"}),
)

ADMINISTRATION_ROWS = (JOBS, PACKAGES, ASSIGNMENTS, REVIEWS)
