"""What the admin API serves of guests: settings, sign-up flows, branding, invitations, and assignments by owners.

Microsoft Graph reference: authenticationFlowsPolicy, emailAuthenticationMethodConfiguration, b2xIdentityUserFlow,
identityApiConnector, organizationalBranding, invitation. `/policies/b2bManagementPolicy` and `/policies/workloads`
are ours: Graph publishes no resource for them.
"""

from __future__ import annotations

from starlette.responses import Response

from tunneld.idp.answers import ApiError
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.reading import get_object
from tunneld.idp.graph.resource import (
    SINGLETON,
    Activities,
    Operation,
    Permissions,
    ResourceType,
)
from tunneld.idp.graph.rows_access import permissions
from tunneld.idp.graph.writing import update_object
from tunneld.idp.guests.delegation import assign_guest, unassign_guest
from tunneld.idp.guests.invitations import create_invitation, get_invitation, list_invitations
from tunneld.policy.guests.branding import OrganizationalBranding
from tunneld.policy.guests.invitation_object import Invitation, InvitationRequest

_READ = "microsoft.directory/policies/standard/read"
_UPDATE = "microsoft.directory/policies/basic/update"


def _policy(kind: str, item: str, singleton: str, activity: str, category: str = "Policy") -> ResourceType:
    return ResourceType(
        kind=kind, item=item, singleton=singleton, verbs=SINGLETON, permissions=Permissions(_READ, update=_UPDATE),
        audit=Activities(category, "", activity, ""), read_only=frozenset({"id"}),
    )


GUEST_ROWS = (
    # The audit log calls every change of the domain list "Update policy".
    _policy("b2bManagementPolicy", "/policies/b2bManagementPolicy", "b2bmanagementpolicy", "Update policy"),
    _policy("authenticationFlowsPolicy", "/policies/authenticationFlowsPolicy", "authenticationflowspolicy",
            "Update authentication flows policy"),
    _policy(
        "emailAuthenticationMethod", "/policies/authenticationMethodsPolicy/authenticationMethodConfigurations/email",
        "email", "Authentication Methods Policy Update", "ApplicationManagement",
    ),
    ResourceType(
        kind="workload", collection="/policies/workloads", chosen=True,
        permissions=Permissions(_READ, "microsoft.directory/policies/create", _UPDATE,
                                "microsoft.directory/policies/delete"),
        audit=Activities("Policy", "Add workload", "Update workload", "Delete workload"),
    ),
    ResourceType(
        kind="userFlow", collection="/identity/b2xUserFlows", chosen=True, permissions=permissions("b2xUserFlows"),
        audit=Activities("ResourceManagement", "Create user flow", "Update user flow", "Delete user flow"), name="id",
    ),
    ResourceType(
        kind="apiConnector", collection="/identity/apiConnectors", permissions=permissions("apiConnectors"),
        audit=Activities("ResourceManagement", "Create API connector", "Update API connector", "Delete API connector"),
        read_only=frozenset({"id"}),
    ),
)

BRANDING = ResourceType(
    kind="organizationalBranding", item="/organization/{id}/branding", singleton="branding", verbs=SINGLETON,
    permissions=Permissions("microsoft.directory/organization/standard/read",
                            update="microsoft.directory/organization/basic/update"),
    audit=Activities("DirectoryManagement", "", "Set Company Branding", "", "Organization"), name="signInPageText",
)


async def _get_branding(call: Call) -> Response:
    _own(call)
    return await get_object(call, BRANDING)


async def _update_branding(call: Call) -> Response:
    _own(call)
    return await update_object(call, BRANDING)


def _own(call: Call) -> None:
    if call.parameter().lower() != call.tenant.id:
        raise ApiError(404, "Request_ResourceNotFound", "There is no such organization here.")


def guest_operations() -> list[Operation]:
    """Return what is no plain object: invitations are judged and mailed, branding hangs on the organization."""
    read, update = BRANDING.permissions.read, BRANDING.permissions.update
    return [
        Operation("POST", "/invitations", create_invitation, "Invite somebody, once more or anew.",
                  body=InvitationRequest, result=Invitation, answer=201, tag="invitation"),
        Operation("GET", "/invitations", list_invitations, "List the caller's invitations.", result=Invitation,
                  listing=True, tag="invitation"),
        Operation("GET", "/invitations/{id}", get_invitation, "Get an invitation of the caller's.", result=Invitation,
                  tag="invitation"),
        Operation("PUT", "/applications/{id}/guests/{user}", assign_guest, "Assign a guest to an owned application.",
                  answer=204, tag="application"),
        Operation("DELETE", "/applications/{id}/guests/{user}", unassign_guest, "Take a guest off an application.",
                  answer=204, tag="application"),
        Operation("GET", BRANDING.item, _get_branding, "Get the organization's branding.", read,
                  result=OrganizationalBranding, tag="organizationalBranding", row=BRANDING),
        Operation("PATCH", BRANDING.item, _update_branding, "Change the organization's branding.", update,
                  body=OrganizationalBranding, partial=True, result=OrganizationalBranding, answer=204,
                  tag="organizationalBranding", row=BRANDING, needs_match=True),
    ]
