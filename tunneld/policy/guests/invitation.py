"""May this person invite that address: one function over both gates, the domain list and the cross-tenant settings.

Two gates, and an invitation has to pass both. External collaboration settings of the inviting tenant hold for every
address; cross-tenant access settings of both tenants only where the address belongs to another tenant. A refusal names
the gate and the tenant whose administrator can open it, since a person who only reads "not allowed" asks the wrong one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tunneld.policy.clouds import judge_clouds, same_cloud
from tunneld.policy.cross_tenant.effective import AccessType, B2BSetting
from tunneld.policy.cross_tenant.matching import Applications, judge_applications, judge_user, person_of
from tunneld.policy.directory import Directory, Tenant, User, UserType
from tunneld.policy.guests.addresses import domain_of
from tunneld.policy.guests.collaboration import Collaboration, InvitersAllowed

# Role template ids of Microsoft Entra's built-in roles.
GLOBAL_ADMINISTRATOR = "62e90394-69f5-4237-9190-012177145e10"
USER_ADMINISTRATOR = "fe930be7-5e62-47db-91af-98c3a49a38b1"
GUEST_INVITER = "95e79109-95c0-4d8e-aee3-d01accf2d47b"
HELPDESK_ADMINISTRATOR = "729827e3-9c14-49f7-bb1b-9608f156bbb8"

ADMINISTRATORS = frozenset({GLOBAL_ADMINISTRATOR, USER_ADMINISTRATOR})
INVITER_ROLES = ADMINISTRATORS | {GUEST_INVITER}
RESET_ROLES = ADMINISTRATORS | {HELPDESK_ADMINISTRATOR}


@dataclass(frozen=True, slots=True)
class Proposal:
    """An invitation that somebody would like to send.

    `inviter` is None for an application that was granted the permission to invite. `application` is the id of the
    application through which, or to which, somebody is invited; `owned` tells that the inviter is one of its owners.
    """

    tenant: Tenant
    inviter: User | None
    address: str  # as `parse_address` returns it
    user_type: UserType = UserType.GUEST
    application: str = ""
    owned: bool = False

    @property
    def apart(self) -> bool:
        """Tell whether the application does not ask the directory before it invites."""
        return self.application in self.tenant.policy.collaboration.workloads_apart


@dataclass(frozen=True, slots=True)
class Accept:
    """Both gates are open. `home` is the tenant that the address belongs to, None when it belongs to none."""

    home: Tenant | None
    passed: tuple[str, ...]  # what each gate said, in order


@dataclass(frozen=True, slots=True)
class Refuse:
    """Which gate is shut, in whose tenant, and what opens it. `aadsts` is set where a sign-in would fail alike."""

    code: str
    gate: str
    tenant: str  # short name of the tenant whose setting it is
    message: str
    mend: str
    status: int = 403
    aadsts: int = 0


Gate = Callable[[Proposal, "Tenant | None", "User | None"], "Refuse | str"]


def may_invite(inviter: User | None, settings: Collaboration, *, owned: bool = False) -> bool:
    """Tell whether the settings let somebody invite at all.

    Members include accounts of other organizations whose user type is Member. An application that holds the
    permission was let in by an administrator, so `none` alone stops it. The owner of an application may invite to it
    like a guest inviter: a choice, made so that a delegation does not need a directory role.
    """
    allowed = settings.allow_invites_from
    if allowed is InvitersAllowed.NOBODY:
        return False
    if inviter is None or owned or inviter.roles & INVITER_ROLES or allowed is InvitersAllowed.EVERYONE:
        return True
    return allowed is InvitersAllowed.MEMBERS and inviter.user_type is UserType.MEMBER


def judge_invitation(proposal: Proposal, directory: Directory) -> Accept | Refuse:
    """Put a proposal through every gate in order; the first that is shut answers."""
    return _pass(_INVITATION, proposal, directory)


def judge_redemption(proposal: Proposal, directory: Directory) -> Accept | Refuse:
    """Judge an invitation that is being accepted: what was decided about its address may have changed since."""
    return _pass(_REDEMPTION, proposal, directory)


def _pass(gates: tuple[Gate, ...], proposal: Proposal, directory: Directory) -> Accept | Refuse:
    home = directory.home_realm(proposal.address)
    account = directory.account(proposal.address)
    user = directory.user(account) if account else None
    passed = []
    for gate in gates:
        outcome = gate(proposal, home, user)
        if isinstance(outcome, Refuse):
            return outcome
        passed.append(outcome)
    return Accept(home, tuple(passed))


def _who(proposal: Proposal, home: Tenant | None, user: User | None) -> Refuse | str:
    del home, user
    settings = proposal.tenant.policy.collaboration
    if proposal.apart:
        return "the application does not ask the directory"
    if may_invite(proposal.inviter, settings, owned=proposal.owned):
        return f"allowInvitesFrom {settings.allow_invites_from}"
    return Refuse(
        "invitationNotAllowed", "allowInvitesFrom", proposal.tenant.name,
        f"Invitations are open to {_WHO[settings.allow_invites_from]}.",
        "Ask an administrator for the role Guest Inviter, or for another value of allowInvitesFrom.",
    )


_WHO = {
    InvitersAllowed.EVERYONE: "everybody",
    InvitersAllowed.MEMBERS: "members, guest inviters and administrators only",
    InvitersAllowed.INVITERS: "guest inviters and administrators only",
    InvitersAllowed.NOBODY: "nobody",
}


def _user_type(proposal: Proposal, home: Tenant | None, user: User | None) -> Refuse | str:
    """Microsoft Graph reference, invitation: a Member can only be invited by an administrator."""
    del home, user
    if proposal.user_type is UserType.GUEST:
        return "as a guest"
    if proposal.inviter is None or proposal.inviter.roles & ADMINISTRATORS:
        return "as a member, by an administrator"
    return Refuse(
        "memberNeedsAdministrator", "invitedUserType", proposal.tenant.name,
        "Only an administrator may invite somebody as a Member.", "Invite as a Guest, or ask a User Administrator.",
    )


def _outside(proposal: Proposal, home: Tenant | None, user: User | None) -> Refuse | str:
    del user
    if home is None or home.id != proposal.tenant.id:
        return "an address of somebody else"
    return Refuse(
        "ownDomain", "verified domains", proposal.tenant.name,
        "The address belongs to a verified domain of the inviting organization.",
        "Give the address that the person has elsewhere.", 400,
    )


def _domain(proposal: Proposal, home: Tenant | None, user: User | None) -> Refuse | str:
    del home, user
    if proposal.apart:
        return "the application does not ask the directory"
    verdict = proposal.tenant.policy.collaboration.judge_domain(domain_of(proposal.address))
    if verdict.passed:
        return str(verdict)
    return Refuse(
        "domainNotAllowed", "domain list", proposal.tenant.name,
        f"Invitations to {domain_of(proposal.address)} are not allowed ({verdict}).",
        "Ask an administrator to change the list of domains in the external collaboration settings.",
    )


def _cloud(proposal: Proposal, home: Tenant | None, user: User | None) -> Refuse | str:
    del user
    here = proposal.tenant
    if home is None or same_cloud(home, here):
        return "one cloud"
    for finding in judge_clouds(home, here, direct_connect=False):
        if finding.refusal is not None:
            other = here if finding.tenant is home else home
            return Refuse(
                "cloudNotAllowed", "Microsoft cloud settings", finding.tenant.name,
                finding.refusal.sentence,
                f"Enable the cloud {other.cloud} in {finding.tenant.name}'s cross-tenant access settings and add "
                f"{other.id} there.",
                aadsts=finding.refusal.code,
            )
    return "both clouds enabled"


def _outbound(proposal: Proposal, home: Tenant | None, user: User | None) -> Refuse | str:
    if home is None:
        return "no partner tenant"
    effective = home.policy.cross_tenant.collaboration_outbound(proposal.tenant.id)
    if admits(effective.value, user, proposal.application):
        return f"outbound {effective.source}"
    return Refuse(
        "blockedByHome", "b2bCollaborationOutbound", home.name,
        f"{home.display_name} does not let this account collaborate with {proposal.tenant.display_name}.",
        f"Ask the administrators of {home.display_name} about their outbound access settings.", aadsts=500212,
    )


def _inbound(proposal: Proposal, home: Tenant | None, user: User | None) -> Refuse | str:
    if home is None:
        return "no partner tenant"
    effective = proposal.tenant.policy.cross_tenant.collaboration_inbound(home.id)
    if admits(effective.value, user, proposal.application):
        return f"inbound {effective.source}"
    return Refuse(
        "blockedByResource", "b2bCollaborationInbound", proposal.tenant.name,
        f"{proposal.tenant.display_name} does not accept this account of {home.display_name}.",
        "Ask an administrator about the inbound access settings.", aadsts=500213,
    )


def admits(setting: B2BSetting, user: User | None, application: str) -> bool:
    """Tell whether a setting lets somebody in before it is known to what: to one application, or to any at all.

    An address whose account is not known yet is hit by AllUsers alone. Without an application the list of
    applications refuses only when it blocks them all: some application may be what the invitation is for.
    """
    users = judge_user(setting.users, person_of(user))
    if application:
        named = Applications(application, application, first_party=False)
        return users.passes and judge_applications(setting.applications, named).passes
    return users.passes and not (setting.applications.everything and setting.applications.access is AccessType.BLOCKED)


_ADDRESS: tuple[Gate, ...] = (_outside, _domain, _cloud, _outbound, _inbound)
_INVITATION: tuple[Gate, ...] = (_who, _user_type, *_ADDRESS)
_REDEMPTION: tuple[Gate, ...] = _ADDRESS
