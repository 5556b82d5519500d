"""The steps of a sign-in that stand at the boundary between two tenants: realm, path, outbound, inbound."""

from __future__ import annotations

from collections.abc import Iterator

from tunneld.policy.clouds import judge_clouds, same_cloud
from tunneld.policy.cross_tenant.effective import PERSONAL_TENANT, B2BSetting, Effective
from tunneld.policy.cross_tenant.matching import judge_applications, judge_user, person_of, setting_passes
from tunneld.policy.cross_tenant.restrictions import Access, judge_restrictions
from tunneld.policy.directory import SignInWay, Tenant
from tunneld.policy.facts import AccessPath
from tunneld.policy.refusals import refusal
from tunneld.policy.sign_in_values import Finding, Findings, Progress

OWN = "no boundary is crossed"


def tenant_restrictions(at: Progress) -> Findings:
    """Judge the headers that the account's network put on the request."""
    assert at.tenant is not None
    assert at.applications is not None
    access = Access(at.home, at.home_user, at.tenant, at.present, at.applications)
    for found in judge_restrictions(at.request.around.restrictions, at.directory.tenants, access):
        yield Finding(found.rule, found.tenant, found.setting, found.source, found.hit, found.refusal)


def home_realm(at: Progress) -> Findings:
    """Name the account's tenant, hold the two clouds against each other, and work out the path."""
    assert at.tenant is not None
    if at.home is None:
        yield Finding("no tenant has the name")
        return
    if at.home_user is not None and at.home_user.external is not None:
        at.path = AccessPath.COLLABORATION
        yield Finding(f"{at.home_user.way}, outside all tenants", at.home)
        return
    if at.home.id == at.tenant.id:
        yield Finding("own tenant", at.home)
        return
    at.path = _path(at, at.home, at.tenant)
    yield Finding(f"{at.home.id}, {at.path}", at.home)
    if not same_cloud(at.home, at.tenant):
        direct = at.path is AccessPath.DIRECT_CONNECT
        for found in judge_clouds(at.home, at.tenant, direct_connect=direct):
            yield Finding(found.rule, found.tenant, found.setting, refusal=found.refusal)


def _path(at: Progress, home: Tenant, tenant: Tenant) -> AccessPath:
    """Return how the account comes in.

    A path that was asked for is taken. Otherwise, and this is a choice, an account without an object in the tenant
    comes in as a service provider where its tenant is marked as one, or over direct connect where both sides allow it
    for this user and application; everybody else collaborates.
    """
    wanted = at.request.around.path
    if wanted in (AccessPath.DIRECT_CONNECT, AccessPath.SERVICE_PROVIDER):
        return wanted
    if at.present is not None or at.home_user is None:
        return AccessPath.COLLABORATION
    here, there = tenant.policy.cross_tenant, home.policy.cross_tenant
    if here.service_provider(home.id):
        return AccessPath.SERVICE_PROVIDER
    assert at.applications is not None
    person = person_of(at.home_user)
    for setting in (there.direct_connect_outbound(tenant.id), here.direct_connect_inbound(home.id)):
        if not setting_passes(setting.value, person, at.applications):
            return AccessPath.COLLABORATION
    return AccessPath.DIRECT_CONNECT if same_cloud(home, tenant) else AccessPath.COLLABORATION


def home_outbound(at: Progress) -> Findings:
    """Ask the home tenant whether the user may go to the tenant, and to this application there."""
    assert at.tenant is not None
    assert at.home is not None
    assert at.home_user is not None
    if at.home_user.external is not None:
        yield Finding(f"{at.home_user.way}: no home tenant, so no partner settings apply", at.home)
        return
    if at.path is AccessPath.NONE:
        yield Finding(OWN, at.home)
        return
    settings = at.home.policy.cross_tenant
    if at.path is AccessPath.SERVICE_PROVIDER:
        blocked = settings.block_service_provider_outbound(at.tenant.id)
        no = refusal(500212) if blocked.value else None
        words = "blocked" if blocked.value else "not blocked"
        yield Finding(words, at.home, "blockServiceProviderOutboundAccess", blocked.source, blocked.value, no)
    elif at.path is AccessPath.DIRECT_CONNECT:
        setting = settings.direct_connect_outbound(at.tenant.id)
        yield from _lists(at, at.home, "b2bDirectConnectOutbound", setting, 500212)
    else:
        setting = settings.collaboration_outbound(at.tenant.id)
        yield from _lists(at, at.home, "b2bCollaborationOutbound", setting, 500212)


def resource_inbound(at: Progress) -> Findings:
    """Ask the tenant whether it lets the user of that home in, and to this application."""
    assert at.tenant is not None
    assert at.home is not None
    assert at.home_user is not None
    if at.home_user.external is not None:
        yield from _outsider(at, at.tenant, at.home_user.way)
        return
    if at.path is AccessPath.NONE:
        yield Finding(OWN, at.tenant)
        return
    settings = at.tenant.policy.cross_tenant
    if at.path is AccessPath.SERVICE_PROVIDER:
        marked = settings.service_provider(at.home.id)
        no = None if marked else refusal(500213, "The account's tenant is no service provider of the tenant.")
        words, source = ("marked", "partner") if marked else ("not marked", "service")
        yield Finding(words, at.tenant, "isServiceProvider", source, marked, no)
    elif at.path is AccessPath.DIRECT_CONNECT:
        setting = settings.direct_connect_inbound(at.home.id)
        yield from _lists(at, at.tenant, "b2bDirectConnectInbound", setting, 500213)
    else:
        setting = settings.collaboration_inbound(at.home.id)
        yield from _lists(at, at.tenant, "b2bCollaborationInbound", setting, 500213)


def _outsider(at: Progress, tenant: Tenant, way: SignInWay) -> Findings:
    """Personal accounts share a tenant that can be a partner; the others have none, and defaults mean tenants only."""
    settings = tenant.policy.cross_tenant
    own = settings.partners.get(PERSONAL_TENANT)
    if way is not SignInWay.PERSONAL or own is None or own.collaboration_inbound is None:
        yield Finding(f"{way}: no home tenant, so no partner settings apply", tenant)
        return
    yield from _lists(at, tenant, "b2bCollaborationInbound", settings.collaboration_inbound(PERSONAL_TENANT), 500213)


def _lists(at: Progress, tenant: Tenant, name: str, setting: Effective[B2BSetting], code: int) -> Iterator[Finding]:
    assert at.applications is not None
    users, applications = setting.value.users, setting.value.applications
    about_user = judge_user(users, person_of(at.home_user))
    no = None if about_user.passes else refusal(code)
    yield Finding(f"users {about_user.rule}", tenant, name, setting.source, about_user.hit, no)
    about_application = judge_applications(applications, at.applications)
    no = None if about_application.passes else refusal(code)
    yield Finding(f"applications {about_application.rule}", tenant, name, setting.source, about_application.hit, no)
