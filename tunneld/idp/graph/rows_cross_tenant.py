"""Rows of the cross-tenant access settings (Microsoft Graph reference: crossTenantAccessPolicy)."""

from __future__ import annotations

from starlette.responses import Response

from tunneld.idp.graph.call import Call
from tunneld.idp.graph.history import deleted_operations
from tunneld.idp.graph.resource import (
    SINGLETON,
    Activities,
    Draft,
    Json,
    Operation,
    Permissions,
    ResourceType,
    Verb,
)
from tunneld.idp.graph.saving import save, written
from tunneld.idp.graph.writing import draft_of
from tunneld.policy.cross_tenant.effective import policy_id
from tunneld.policy.directory import Tenant, User
from tunneld.policy.objects import Change, ObjectRef

_ROOT = "/policies/crossTenantAccessPolicy"
_ACTION = "microsoft.directory/crossTenantAccessPolicy/"
_CATEGORY = "CrossTenantAccessSettings"
SYNC_CATEGORY = "CrossTenantIdentitySyncSettings"
UPDATE_DEFAULT = "Update the company default cross-tenant access setting"
_UPDATE_TEMPLATE = "Update a multi-tenant organization template"


def _members(where: str) -> dict[str, str]:
    """Return the members that have a string of their own; the string of collaboration covers all others."""
    direct_connect = f"{_ACTION}{where}/b2bDirectConnect/update"
    return {
        "b2bDirectConnectInbound": direct_connect, "b2bDirectConnectOutbound": direct_connect,
        "tenantRestrictions": f"{_ACTION}{where}/tenantRestrictions/update",
        "crossCloudMeetingConfiguration": f"{_ACTION}{where}/crossCloudMeetings/update",
    }


def _customized(draft: Draft, document: Json) -> Json:
    """Whoever writes the default makes it their own, until it is reset."""
    del draft
    return {**document, "isServiceDefault": False}


def _named(tenant: Tenant, reader: User, document: Json) -> Json:
    """Show the id that the headers of tenant restrictions name."""
    del reader
    return {**document, "id": policy_id(tenant.id)}


POLICY = ResourceType(
    kind="crossTenantAccessPolicy", item=_ROOT, singleton="policy", verbs=SINGLETON,
    permissions=Permissions(
        f"{_ACTION}standard/read", update=f"{_ACTION}basic/update",
        members={"allowedCloudEndpoints": f"{_ACTION}allowedCloudEndpoints/update"},
    ),
    audit=Activities(_CATEGORY, "", "Update cross-tenant access settings", ""),
    read_only=frozenset({"id"}),
)
DEFAULT = ResourceType(
    kind="crossTenantAccessDefault", item=f"{_ROOT}/default", singleton="default", verbs=SINGLETON,
    permissions=Permissions(
        f"{_ACTION}default/standard/read", update=f"{_ACTION}default/b2bCollaboration/update",
        members=_members("default"),
    ),
    audit=Activities(_CATEGORY, "", UPDATE_DEFAULT, "Reset the cross-tenant access default setting"),
    read_only=frozenset({"id", "isServiceDefault"}), prepare=_customized, name="id", show=_named,
)
# PATCH of a partner that is not listed yet lists it, which is a choice: Graph answers 404 and wants a POST first. What
# is meant is beyond doubt, and the one call that every guide shows works by itself.
PARTNERS = ResourceType(
    kind="crossTenantAccessPartner", collection=f"{_ROOT}/partners", key="tenantId", chosen=True, upsert=True,
    permissions=Permissions(
        f"{_ACTION}partners/standard/read", create=f"{_ACTION}partners/create",
        update=f"{_ACTION}partners/b2bCollaboration/update", delete=f"{_ACTION}partners/delete",
        members=_members("partners"),
    ),
    audit=Activities(
        _CATEGORY, "Add a partner to cross-tenant access setting", "Update a partner cross-tenant access setting",
        "Delete partner specific cross-tenant access setting",
    ),
    name="tenantId", cascade=("identitySynchronization",), deleted="deletedCrossTenantAccessPartner",
    read_only=frozenset({"identitySynchronization"}),
)
IDENTITY_SYNCHRONIZATION = ResourceType(
    kind="identitySynchronization", item=f"{_ROOT}/partners/{{id}}/identitySynchronization", key="tenantId",
    verbs=frozenset({Verb.GET, Verb.REPLACE, Verb.UPDATE, Verb.DELETE}),
    permissions=Permissions(
        f"{_ACTION}partners/identitySynchronization/standard/read",
        create=f"{_ACTION}partners/identitySynchronization/create",
        update=f"{_ACTION}partners/identitySynchronization/basic/update",
        delete=f"{_ACTION}partners/identitySynchronization/basic/update",
    ),
    audit=Activities(
        SYNC_CATEGORY, "Create a partner cross-tenant identity sync setting",
        "Update a partner cross-tenant identity sync setting", "Delete a partner cross-tenant identity sync setting",
    ),
)
TEMPLATES = tuple(
    ResourceType(
        kind=kind, item=f"{_ROOT}/templates/{name}", singleton="template", verbs=SINGLETON,
        permissions=Permissions(f"{_ACTION}standard/read", update=f"{_ACTION}basic/update"),
        audit=Activities(_CATEGORY, "", _UPDATE_TEMPLATE, ""), read_only=frozenset({"id"}), name="id",
    )
    for kind, name in (
        ("multiTenantOrganizationPartnerTemplate", "multiTenantOrganizationPartnerConfiguration"),
        ("multiTenantOrganizationIdentitySyncTemplate", "multiTenantOrganizationIdentitySynchronization"),
    )
)

CROSS_TENANT_ROWS = (POLICY, DEFAULT, PARTNERS, IDENTITY_SYNCHRONIZATION, *TEMPLATES)


async def _reset(call: Call) -> Response:
    """Forget every customization of the default."""
    row = DEFAULT
    draft = draft_of(call, row, row.singleton)
    change = Change(ObjectRef(call.tenant.id, row.kind, row.singleton), None)
    await save(call, [change], [written(call, row, draft, None, row.audit.delete)])
    return Response(status_code=204)


def cross_tenant_operations() -> list[Operation]:
    """Return what is no object of its own: the reset, and deleted partners."""
    reset = Operation(
        "POST", f"{_ROOT}/default/resetToSystemDefault", _reset, "Reset the default to the system's",
        f"{_ACTION}default/b2bCollaboration/update", answer=204, row=DEFAULT,
    )
    create, delete = PARTNERS.permissions.create, PARTNERS.permissions.delete
    return [reset, *deleted_operations(PARTNERS, "/policies/deletedItems/crossTenantPartners", create, delete)]
