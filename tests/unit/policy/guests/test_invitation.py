"""Both gates of an invitation: tables as the product documents them, and every combination against a slow oracle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from tests.unit.policy.documents import ALEX, GUEST, HOME, RESOURCE, document, link
from tunneld.policy.cross_tenant.effective import (
    CLOSED,
    OPEN,
    AccessType,
    B2BSetting,
    CrossTenantPolicy,
    Settings,
    Targets,
)
from tunneld.policy.directory import Directory, Tenant, User, UserType
from tunneld.policy.guests.collaboration import Collaboration, InvitersAllowed
from tunneld.policy.guests.invitation import (
    GLOBAL_ADMINISTRATOR,
    GUEST_INVITER,
    HELPDESK_ADMINISTRATOR,
    USER_ADMINISTRATOR,
    Accept,
    Proposal,
    Refuse,
    admits,
    judge_invitation,
    judge_redemption,
    may_invite,
)

ADDRESS = "alex@home.example"
STRANGER = "somebody@elsewhere.example"
APP = "eeeeeeee-0000-4000-8000-000000000001"
ALLOW, BLOCK = AccessType.ALLOWED, AccessType.BLOCKED
ALL, NOBODY = Targets(ALLOW), Targets(BLOCK)
SERVICE = Collaboration()


def person(user_type: UserType = UserType.MEMBER, *roles: str) -> User:
    return User("o", "inviter@resource.example", "I", user_type, True, (), frozenset(), roles=frozenset(roles))


def world(
    collaboration: Collaboration = SERVICE, *, outbound: B2BSetting | None = None,
    inbound: B2BSetting | None = None, cloud: str | None = None, home_clouds: tuple[str, ...] = (),
    clouds: tuple[str, ...] = (), partners: tuple[str, ...] = (HOME, RESOURCE),
) -> Directory:
    """Return two tenants that list each other, with the settings under test."""
    directory = link(document())
    home = CrossTenantPolicy(partners={RESOURCE: Settings(collaboration_outbound=outbound)} if RESOURCE in partners
                             else {}, allowed_clouds=frozenset(home_clouds))
    here = CrossTenantPolicy(partners={HOME: Settings(collaboration_inbound=inbound)} if HOME in partners else {},
                             allowed_clouds=frozenset(clouds))
    tenants = dict(directory.tenants)
    tenants[HOME] = _with(tenants[HOME], cross_tenant=home)
    tenants[RESOURCE] = _with(tenants[RESOURCE], cross_tenant=here, collaboration=collaboration)
    if cloud is not None:
        tenants[HOME] = replace(tenants[HOME], cloud=cloud)
    return replace(directory, tenants=tenants)


def _with(tenant: Tenant, **policy: object) -> Tenant:
    return replace(tenant, policy=replace(tenant.policy, **policy))  # type: ignore[arg-type]


def propose(directory: Directory, address: Any = ADDRESS, **changes: Any) -> Proposal:
    return replace(Proposal(directory.tenants[RESOURCE], person(), address), **changes)


def refused(outcome: Accept | Refuse) -> str:
    return outcome.gate if isinstance(outcome, Refuse) else ""


# Microsoft Entra External ID, external collaboration settings: who may invite.
@pytest.mark.parametrize(
    ("allowed", "guest", "member", "inviter", "application"),
    [
        (InvitersAllowed.EVERYONE, True, True, True, True),
        (InvitersAllowed.MEMBERS, False, True, True, True),
        (InvitersAllowed.INVITERS, False, False, True, True),
        (InvitersAllowed.NOBODY, False, False, False, False),
    ],
)
def test_who_may_invite(
    allowed: InvitersAllowed, guest: bool, member: bool, inviter: bool, application: bool
) -> None:
    settings = Collaboration(allow_invites_from=allowed)
    assert may_invite(person(UserType.GUEST), settings) is guest
    assert may_invite(person(UserType.MEMBER), settings) is member
    assert may_invite(replace(person(UserType.MEMBER), home=(HOME, ALEX)), settings) is member  # an external member
    for role in (GUEST_INVITER, USER_ADMINISTRATOR, GLOBAL_ADMINISTRATOR):
        assert may_invite(person(UserType.GUEST, role), settings) is inviter
    assert may_invite(person(UserType.GUEST, HELPDESK_ADMINISTRATOR), settings) is guest
    assert may_invite(person(UserType.GUEST), settings, owned=True) is inviter
    assert may_invite(None, settings) is application


LISTED = frozenset({"home.example"})


# Microsoft Entra External ID, how the two gates combine: (domain list, cross-tenant access, may be invited).
@pytest.mark.parametrize(
    ("collaboration", "setting", "gate"),
    [
        (Collaboration(blocked_domains=LISTED), OPEN, "domain list"),
        (Collaboration(blocked_domains=LISTED), CLOSED, "domain list"),
        (Collaboration(allowed_domains=LISTED), OPEN, ""),
        (Collaboration(allowed_domains=LISTED), CLOSED, "b2bCollaborationInbound"),
        (Collaboration(), OPEN, ""),
        (Collaboration(blocked_domains=frozenset({"other.example"})), OPEN, ""),
        (Collaboration(), CLOSED, "b2bCollaborationInbound"),
        (Collaboration(blocked_domains=frozenset({"other.example"})), CLOSED, "b2bCollaborationInbound"),
        (Collaboration(allowed_domains=frozenset({"other.example"})), OPEN, "domain list"),
        (Collaboration(allowed_domains=frozenset({"other.example"})), CLOSED, "domain list"),
    ],
)
def test_both_gates_have_to_be_open(collaboration: Collaboration, setting: B2BSetting, gate: str) -> None:
    directory = world(collaboration, inbound=setting)
    assert refused(judge_invitation(propose(directory), directory)) == gate
    assert refused(judge_redemption(propose(directory), directory)) == gate


@pytest.mark.parametrize(
    ("directory", "changes", "code", "gate", "tenant", "aadsts"),
    [
        (world(Collaboration(allow_invites_from=InvitersAllowed.NOBODY)), {},
         "invitationNotAllowed", "allowInvitesFrom", "resource", 0),
        (world(), {"user_type": UserType.MEMBER}, "memberNeedsAdministrator", "invitedUserType", "resource", 0),
        (world(), {"address": "new@resource.example"}, "ownDomain", "verified domains", "resource", 0),
        (world(Collaboration(blocked_domains=LISTED)), {}, "domainNotAllowed", "domain list", "resource", 0),
        (world(outbound=CLOSED), {}, "blockedByHome", "b2bCollaborationOutbound", "home", 500212),
        (world(outbound=CLOSED, inbound=CLOSED), {}, "blockedByHome", "b2bCollaborationOutbound", "home", 500212),
        (world(inbound=CLOSED), {}, "blockedByResource", "b2bCollaborationInbound", "resource", 500213),
    ],
)
def test_a_refusal_names_the_gate_and_whose_it_is(
    directory: Directory, changes: dict[str, object], code: str, gate: str, tenant: str, aadsts: int
) -> None:
    outcome = judge_invitation(propose(directory, **changes), directory)
    assert isinstance(outcome, Refuse)
    assert (outcome.code, outcome.gate, outcome.tenant, outcome.aadsts) == (code, gate, tenant, aadsts)
    assert outcome.message.endswith(".")
    assert outcome.mend.endswith(".")


@pytest.mark.parametrize(
    ("home_clouds", "clouds", "partners", "tenant"),
    [
        (("microsoftonline.com",), ("microsoftonline.us",), (HOME, RESOURCE), ""),
        (("microsoftonline.com",), ("microsoftonline.us",), (HOME,), "home"),
        (("microsoftonline.com",), ("microsoftonline.us",), (RESOURCE,), "resource"),
        (("microsoftonline.com",), (), (HOME, RESOURCE), "resource"),
        ((), ("microsoftonline.us",), (HOME, RESOURCE), "home"),
        ((), (), (), "home"),
        (("microsoftonline.us",), ("microsoftonline.com",), (HOME, RESOURCE), "home"),
    ],
)
def test_between_clouds_both_sides_enable_the_other(
    home_clouds: tuple[str, ...], clouds: tuple[str, ...], partners: tuple[str, ...], tenant: str
) -> None:
    directory = world(cloud="microsoftonline.us", home_clouds=home_clouds, clouds=clouds, partners=partners)
    outcome = judge_invitation(propose(directory), directory)
    assert (outcome.tenant if isinstance(outcome, Refuse) else "") == tenant
    if isinstance(outcome, Refuse):
        assert outcome.gate == "Microsoft cloud settings"
        assert outcome.aadsts == (1000104 if tenant == "home" else 90038)


def test_a_workload_that_does_not_ask_passes_over_the_directorys_settings_only() -> None:
    settings = Collaboration(allow_invites_from=InvitersAllowed.NOBODY, allowed_domains=frozenset({"x.example"}),
                             workloads_apart=frozenset({APP}))
    directory = world(settings)
    assert isinstance(judge_invitation(propose(directory, application=APP), directory), Accept)
    assert refused(judge_invitation(propose(directory), directory)) == "allowInvitesFrom"
    directory = world(settings, inbound=CLOSED)
    assert refused(judge_invitation(propose(directory, application=APP), directory)) == "b2bCollaborationInbound"


def test_who_belongs_to_no_tenant_meets_the_directorys_settings_only() -> None:
    directory = world(outbound=CLOSED, inbound=CLOSED)
    outcome = judge_invitation(propose(directory, address=STRANGER), directory)
    assert outcome == Accept(None, (
        "allowInvitesFrom everyone", "as a guest", "an address of somebody else", "no list", "one cloud",
        "no partner tenant", "no partner tenant",
    ))
    directory = world(Collaboration(allowed_domains=LISTED))
    assert refused(judge_invitation(propose(directory, address=STRANGER), directory)) == "domain list"


@pytest.mark.parametrize("inviter", [None, person(UserType.MEMBER, USER_ADMINISTRATOR)])
def test_administrators_and_applications_may_invite_members(inviter: User | None) -> None:
    directory = world()
    outcome = judge_invitation(propose(directory, inviter=inviter, user_type=UserType.MEMBER), directory)
    assert isinstance(outcome, Accept)
    assert outcome.home is directory.tenants[HOME]


def test_a_pending_invitation_asks_nobody_who_may_invite() -> None:
    directory = world(Collaboration(allow_invites_from=InvitersAllowed.NOBODY))
    assert isinstance(judge_redemption(propose(directory), directory), Accept)


def targets() -> Iterator[Targets]:
    yield from (ALL, NOBODY)
    for access, ids, groups in product((ALLOW, BLOCK), ((), (ALEX,), (GUEST,)), ((), ("staff",))):
        if ids or groups:
            yield Targets(access, False, frozenset(ids), frozenset(groups))


def application_targets() -> Iterator[Targets]:
    yield from (ALL, NOBODY)
    for access, ids in product((ALLOW, BLOCK), ((APP,), ("other",))):
        yield Targets(access, False, frozenset(ids))


def oracle(setting: B2BSetting, user: User | None, application: str) -> bool:
    """Spell out the rule case by case: is this person's name on the list, and does that let them in?"""
    names = {"everybody"}
    if user is not None:
        names = names | {user.oid} | set(user.groups)
    written = {"everybody"} if setting.users.everything else set(setting.users.ids | setting.users.groups)
    on_list = len(names & written) > 0
    if setting.users.access == AccessType.ALLOWED and not on_list:
        return False
    if setting.users.access == AccessType.BLOCKED and on_list:
        return False
    if application == "":
        return setting.applications != Targets(AccessType.BLOCKED)
    on_list = setting.applications.everything or application in setting.applications.ids
    return on_list if setting.applications.access == AccessType.ALLOWED else not on_list


def test_targets_are_met_as_the_oracle_says() -> None:
    staff = User(ALEX, ADDRESS, "A", UserType.MEMBER, True, ("staff",), frozenset({"staff"}))
    seen = set()
    for users, applications, user, app in product(
        targets(), application_targets(), (None, staff, replace(staff, groups=())), ("", APP)
    ):
        setting = B2BSetting(users, applications)
        expected = oracle(setting, user, app)
        assert admits(setting, user, app) is expected, (setting, user, app)
        seen.add(expected)
    assert seen == {True, False}


def test_every_combination_of_gates_answers_as_the_first_shut_one() -> None:
    lists = {
        "open": Collaboration(), "listed": Collaboration(allowed_domains=LISTED),
        "shut": Collaboration(blocked_domains=LISTED),
        "absent": Collaboration(allowed_domains=frozenset({"x.example"})),
    }
    answers = set()
    for allowed, (name, base), outbound, inbound, address, kind, admin in product(
        InvitersAllowed, lists.items(), (None, OPEN, CLOSED), (None, OPEN, CLOSED), (ADDRESS, STRANGER), UserType,
        (False, True),
    ):
        directory = world(replace(base, allow_invites_from=allowed), outbound=outbound, inbound=inbound)
        inviter = person(UserType.GUEST, *((USER_ADMINISTRATOR,) if admin else ()))
        outcome = judge_invitation(propose(directory, address=address, inviter=inviter, user_type=kind), directory)
        shut = []
        if allowed is InvitersAllowed.NOBODY or not (admin or allowed is InvitersAllowed.EVERYONE):
            shut.append("allowInvitesFrom")
        if kind is UserType.MEMBER and not admin:
            shut.append("invitedUserType")
        if (name == "shut" and address == ADDRESS) or (name == "listed" and address == STRANGER) or name == "absent":
            shut.append("domain list")
        if address == ADDRESS and outbound is CLOSED:
            shut.append("b2bCollaborationOutbound")
        if address == ADDRESS and inbound is CLOSED:
            shut.append("b2bCollaborationInbound")
        assert refused(outcome) == (shut[0] if shut else ""), (allowed, name, outbound, inbound, address, kind, admin)
        answers.add(refused(outcome))
    assert len(answers) == 6
