"""POST /invitations: make a guest, invite one again, or reset a redemption; and reading one's own invitations.

Microsoft Graph reference: create invitation; Microsoft Entra External ID: reset redemption status. There is no bulk
form: a list is invited one call at a time.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import JSONResponse, Response

from tunneld.idp.answers import ApiError
from tunneld.idp.changes import AuditEntry, AuditTarget, ModifiedProperty
from tunneld.idp.graph.bodies import read_json, without_annotations
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.saving import actor, save
from tunneld.idp.graph.writing import judge
from tunneld.idp.guests import guest_objects
from tunneld.idp.guests.letters import invitation_letter
from tunneld.idp.guests.outbox import post
from tunneld.idp.guests.tickets import redeem_url
from tunneld.idp.guests.ways import choice_for
from tunneld.policy.directory import SignInWay, Tenant, User, UserType
from tunneld.policy.guests.invitation import (
    ADMINISTRATORS,
    RESET_ROLES,
    Accept,
    Proposal,
    Refuse,
    judge_invitation,
)
from tunneld.policy.guests.invitation_object import Invitation, InvitationRequest
from tunneld.policy.guests.names import default_display_name, guest_principal_name
from tunneld.policy.guests.redemption import prompts
from tunneld.policy.objects import Change, ObjectRef
from tunneld.policy.roles import GLOBAL_ADMINISTRATOR, held_roles, roles_of

_CATEGORY = "UserManagement"
_SERVICE = "Invited Users"
MAX_SPONSORS = 5  # Microsoft Graph reference, user: sponsors


@dataclass(frozen=True, slots=True)
class _Plan:
    """What an accepted invitation changes: the guest's object as it will be, and the words of the audit log."""

    oid: str
    document: Mapping[str, Any]  # the members of the user object that are set
    activity: str
    created: bool


async def create_invitation(call: Call) -> Response:
    """Serve POST /invitations."""
    request = _request_of(await read_json(call.request))
    inviter = replace(call.user, roles=frozenset(held.definition for held in held_roles(call.tenant, call.user)
                                                 if held.scope == "/"))
    outcome = _judge(call, inviter, request)
    if isinstance(outcome, Refuse):
        await _record_refusal(call, request, outcome)
        aadsts = f"AADSTS{outcome.aadsts}: " if outcome.aadsts else ""
        message = f"{aadsts}{outcome.message} Setting: {outcome.gate} of {outcome.tenant}. {outcome.mend}"
        raise ApiError(outcome.status, outcome.code, message)
    plan = await _plan(call, inviter, request)
    invitation = judge("invitation", {
        **request.to_json(), "id": str(uuid.uuid4()), "invitedUser": {"id": plan.oid}, "inviter": call.user.oid,
    })
    assert isinstance(invitation, Invitation)
    guest = guest_objects.written(call.directory, call.tenant.id, plan.oid, plan.document)
    changes = [
        Change(ObjectRef(call.tenant.id, "user", plan.oid), guest),
        Change(ObjectRef(call.tenant.id, "invitation", invitation.id), invitation),
        *_replaced(call.tenant, plan.oid),
    ]
    await save(call, changes, _records(call, request, plan))
    url = redeem_url(call.provider, call.tenant, invitation)
    await _send(call, invitation, url, outcome)
    body = invitation.shown(url)
    body["invitedUser"] = {"id": plan.oid, "userPrincipalName": guest.to_json().get("userPrincipalName")}
    return JSONResponse(body, status_code=201, headers={"location": f"{call.root}/invitations/{invitation.id}"})


async def list_invitations(call: Call) -> Response:
    """Serve GET /invitations: those that the caller sent, an administrator's view of all."""
    found = [_shown(call, one) for one in _visible(call)]
    return JSONResponse({"@odata.context": f"{call.root}/$metadata#invitations", "value": found})


async def get_invitation(call: Call) -> Response:
    """Serve GET /invitations/{id}."""
    wanted = call.parameter().lower()
    for one in _visible(call):
        if one.id == wanted:
            return JSONResponse(_shown(call, one))
    raise ApiError(404, "Request_ResourceNotFound", "There is no such invitation of yours.")


def _request_of(body: Mapping[str, Any]) -> InvitationRequest:
    cleaned = without_annotations(dict(body), frozenset())
    wanted = judge("invitation", {**cleaned, "id": str(uuid.UUID(int=0))})
    assert isinstance(wanted, Invitation)
    if "status" in cleaned or "inviter" in cleaned or "id" in cleaned:
        raise ApiError(400, "BadRequest", "id and status are set by the server.")
    if len(wanted.invited_user_sponsors) > MAX_SPONSORS:
        raise ApiError(400, "BadRequest", f"invitedUserSponsors: at most {MAX_SPONSORS}.")
    if wanted.reset_redemption and wanted.invited_user is None:
        raise ApiError(400, "BadRequest", "resetRedemption needs invitedUser.id.")
    return wanted


def _judge(call: Call, inviter: User, request: InvitationRequest) -> Accept | Refuse:
    application = request.application or ""
    proposal = Proposal(
        call.tenant, inviter, request.invited_user_email_address,
        UserType.MEMBER if request.invited_user_type == "Member" else UserType.GUEST, application,
        owned=bool(application) and guest_objects.owns(call.tenant, inviter, application),
    )
    return judge_invitation(proposal, call.directory)


async def _plan(call: Call, inviter: User, request: InvitationRequest) -> _Plan:
    if request.reset_redemption:
        return _reset(call, inviter, request)
    if request.invited_user is not None:
        return _internal(call, inviter, request)
    known = guest_objects.guest_of_address(call.tenant, request.invited_user_email_address)
    if known is not None:
        if not known.pending:
            raise ApiError(400, "userExists", "The invited user is a guest of the organization already.")
        return _Plan(known.oid, {}, "Invite external user", False)
    return await _new(call, request)


async def _new(call: Call, request: InvitationRequest) -> _Plan:
    address, tenant = request.invited_user_email_address, call.tenant
    taken = {user.upn.lower() for user in tenant.users.values()}
    way = (await choice_for(call.provider, tenant, address)).ways
    document: dict[str, Any] = {
        "userPrincipalName": guest_principal_name(address, guest_objects.own_domain(tenant), taken),
        "displayName": request.invited_user_display_name or default_display_name(address),
        "mail": address, "userType": request.invited_user_type, "creationType": "Invitation", "accountEnabled": True,
        "sponsors": [one.id for one in request.invited_user_sponsors] or [call.user.oid],
        **guest_objects.pending(call.provider.clock()), **guest_objects.no_identity(tenant),
        # The link is there from the beginning, so that a direct link to an application finds the invitation as well.
        **guest_objects.home_link(call.directory, address if way[:1] == (SignInWay.HOME,) else ""),
    }
    return _Plan(str(uuid.uuid4()), document, "Invite external user", True)


def _internal(call: Call, inviter: User, request: InvitationRequest) -> _Plan:
    """Invite somebody who signs in here to sign in elsewhere from now on; id, name, groups and roles stay."""
    assert request.invited_user is not None
    user = call.tenant.users.get(request.invited_user.id)
    if user is None:
        raise ApiError(404, "Request_ResourceNotFound", "There is no such user.")
    if not inviter.roles & ADMINISTRATORS:
        raise ApiError(403, "Authorization_RequestDenied", "Only a User Administrator may invite an internal user.")
    _refuse_above(call, inviter, user)
    if user.home is not None or user.external is not None or user.external_state is not None:
        raise ApiError(400, "userExists", "The user is an external one already; resetRedemption changes the account.")
    address = request.invited_user_email_address
    document = {
        **guest_objects.mails(user, address), **guest_objects.pending(call.provider.clock()),
        **guest_objects.no_identity(call.tenant), **guest_objects.home_link(call.directory, address),
        **_signed_out(call),
    }
    return _Plan(user.oid, document, "Invite internal user to B2B collaboration", False)


def _reset(call: Call, inviter: User, request: InvitationRequest) -> _Plan:
    """Microsoft Entra External ID, reset redemption status: the new address is one that the object has."""
    assert request.invited_user is not None
    user = call.tenant.users.get(request.invited_user.id)
    if user is None:
        raise ApiError(404, "Request_ResourceNotFound", "There is no such user.")
    if not inviter.roles & RESET_ROLES:
        needed = "Only a Helpdesk, User or Global Administrator may reset a redemption."
        raise ApiError(403, "Authorization_RequestDenied", needed)
    _refuse_above(call, inviter, user)
    if user.home is None and user.external is None and user.external_state is None:
        raise ApiError(400, "notExternal", "The user signs in here; there is no redemption to reset.")
    address = request.invited_user_email_address
    if address not in {mail.lower() for mail in (user.mail, *user.other_mails)}:
        raise ApiError(400, "addressUnknown", "The address must be in mail or otherMails of the user.")
    document = {
        **guest_objects.mails(user, address), **guest_objects.pending(call.provider.clock()),
        **guest_objects.no_identity(call.tenant), **guest_objects.home_link(call.directory, address),
        **_signed_out(call),
    }
    return _Plan(user.oid, document, "Invite external user with reset invitation status", False)


def _refuse_above(call: Call, inviter: User, user: User) -> None:
    """Leave who holds a role to Global Administrators: whoever accepts in their place has the role from then on."""
    if held_roles(call.tenant, user) and GLOBAL_ADMINISTRATOR not in inviter.roles:
        raise ApiError(
            403, "Authorization_RequestDenied", "The user holds directory roles; ask a Global Administrator."
        )


def _signed_out(call: Call) -> dict[str, int]:
    """End the sessions of the account that the object had until now: they could accept in the new one's place."""
    return {"sessionsValidFrom": call.provider.now()}


def _replaced(tenant: Tenant, oid: str) -> list[Change]:
    """Take older invitations of the same person away, and with them their links."""
    return [
        Change(ObjectRef(tenant.id, "invitation", key), None)
        for key, value in tenant.objects.get("invitation", {}).items()
        if isinstance(value, Invitation) and value.invited_user is not None and value.invited_user.id == oid
    ]


def _records(call: Call, request: InvitationRequest, plan: _Plan) -> Sequence[AuditEntry]:
    who, tenant = actor(call), call.tenant
    address = request.invited_user_email_address
    details = {"InvitedUserEmailAddress": address}
    target = AuditTarget(plan.oid, address, "User")
    records = [AuditEntry(plan.activity, _CATEGORY, tenant.id, who, (target,), details=details, service=_SERVICE)]
    if plan.created:
        name = str(plan.document["userPrincipalName"])
        shown = tuple(
            ModifiedProperty(member, None, f'"{plan.document[member]}"')
            for member in ("userPrincipalName", "mail", "userType", "externalUserState")
        )
        records.append(AuditEntry("Add user", _CATEGORY, tenant.id, who, (AuditTarget(plan.oid, name, "User", shown),)))
        for sponsor in plan.document["sponsors"]:
            targets = (AuditTarget(plan.oid, name, "User"), AuditTarget(sponsor, "", "User"))
            records.append(AuditEntry("Add user sponsor", _CATEGORY, tenant.id, who, targets))
    else:
        records.append(AuditEntry("Update user", _CATEGORY, tenant.id, who, (target,)))
    if request.send_invitation_message:
        records.append(
            AuditEntry("Invitation Email", _CATEGORY, tenant.id, who, (target,), details=details, service=_SERVICE)
        )
    return records


async def _record_refusal(call: Call, request: InvitationRequest, refused: Refuse) -> None:
    target = AuditTarget("", request.invited_user_email_address, "User")
    details = {"gate": refused.gate, "tenant": refused.tenant, "rule": refused.code}
    record = AuditEntry(
        "Invite external user", _CATEGORY, call.tenant.id, actor(call), (target,), "failure", refused.message, details,
        _SERVICE,
    )
    await call.provider.records.store_audits([record], call.correlation_id)


async def _send(call: Call, invitation: Invitation, url: str, accepted: Accept) -> None:
    """Write the mail that was asked for; automatic redemption on both sides makes a notification of it."""
    if not invitation.send_invitation_message:
        return
    home, here = accepted.home, call.tenant.policy.cross_tenant
    both = prompts(
        home_outbound=home is not None and home.policy.cross_tenant.automatic_consent(call.tenant.id).value.outbound,
        resource_inbound=home is not None and here.automatic_consent(home.id).value.inbound,
    )
    await post(call.provider, invitation_letter(call.tenant, invitation, _name(call.user), url, both.mail))


def _name(user: User) -> str:
    return " ".join(user.display_name.split()) or user.upn


def _visible(call: Call) -> list[Invitation]:
    values = call.tenant.objects.get("invitation", {}).values()
    if call.unconsented:
        return []  # their links are for those who sent them
    everything = bool(roles_of(call.tenant, call.user) & ADMINISTRATORS)
    return [one for one in values if isinstance(one, Invitation) and (everything or one.inviter == call.user.oid)]


def _shown(call: Call, invitation: Invitation) -> dict[str, Any]:
    return invitation.shown(redeem_url(call.provider, call.tenant, invitation))
