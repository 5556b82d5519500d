"""The steps of a sign-in inside a tenant: request, credential, object, redemption, assignment, Conditional Access."""

from __future__ import annotations

from dataclasses import replace

from tunneld.model.reasons import Reason
from tunneld.policy.conditional_access.evaluate import evaluate_access
from tunneld.policy.conditional_access.outcome import Interaction, Task
from tunneld.policy.conditional_access.subject import Subject
from tunneld.policy.cross_tenant.effective import InboundTrust, named_guid
from tunneld.policy.cross_tenant.matching import Applications
from tunneld.policy.directory import Resource, ResourceKind, SignInWay, Tenant, User, UserType
from tunneld.policy.facts import AccessPath
from tunneld.policy.guests.governance import entitle, may_use
from tunneld.policy.guests.invitation_object import invited_apart
from tunneld.policy.refusals import refusal
from tunneld.policy.sign_in_values import (
    ApplicationConsent,
    Finding,
    Findings,
    MethodProof,
    PasswordProof,
    Progress,
    SessionProof,
    refused,
)

_WITHOUT_OBJECT = (AccessPath.DIRECT_CONNECT, AccessPath.SERVICE_PROVIDER)


def request(at: Progress) -> Findings:
    """Find what the request names: tenant, client, resource. The account is looked up, but not judged."""
    wanted, directory = at.request, at.directory
    at.tenant = directory.tenant(wanted.tenant)
    at.client = directory.clients.get(wanted.client_id)
    at.resource = at.tenant.resource(wanted.audience) if at.tenant else None
    if at.tenant is None:
        yield refused(90002)
    elif at.client is None or (at.client.tenant not in ("", at.tenant.id) and not at.client.everybody):
        yield refused(700016)
    elif at.resource is None:
        yield refused(500011)
    elif not at.client.may_ask(at.tenant, at.resource):
        yield refused(65001)
    else:
        at.applications = Applications.of(at.resource, at.client)
        at.home = directory.tenants.get(wanted.account[0] if wanted.account else wanted.realm)
        user = directory.user(wanted.account) if wanted.account else None
        if user is not None and wanted.account is not None and user.home is None:
            at.home_user = user
            at.present = directory.presence(at.tenant, wanted.account)
        yield Finding(f"{at.resource.kind} {at.resource.id}")


def home_authentication(at: Progress) -> Findings:
    """Judge the account and the credential, at home."""
    proof = at.request.proof
    if isinstance(proof, PasswordProof) and proof.locked:
        yield refused(50053, tenant=at.home)
    elif at.home is None or at.home_user is None:
        yield refused(50034, tenant=at.home)
    elif isinstance(proof, PasswordProof | MethodProof) and not proof.correct:
        yield refused(50126, tenant=at.home)
    elif not at.home_user.enabled:
        yield refused(50057, tenant=at.home)
    elif isinstance(proof, PasswordProof):
        yield Finding("password", at.home)
    elif isinstance(proof, MethodProof):
        yield Finding(proof.method, at.home)
    elif proof.revoked:
        yield refused(50173, tenant=at.home)
    elif at.now - proof.authenticated_at >= proof.lifetime_s:
        yield refused(50173, "The session is too old; a fresh sign-in is needed.", tenant=at.home)
    elif proof.authenticated_at < at.home_user.sessions_valid_from:
        yield refused(50173, tenant=at.home)
    else:
        yield Finding("session", at.home)


def object_in_tenant(at: Progress) -> Findings:
    """Find the object that the account has in the tenant, or do without one where the path allows that."""
    assert at.home is not None
    assert at.home_user is not None
    proof, present = at.request.proof, at.present
    if present is not None and not present.enabled:
        yield refused(50057)
    elif present and isinstance(proof, SessionProof) and proof.authenticated_at < present.sessions_valid_from:
        at.interaction = Interaction(Task.SIGN_IN)  # what was revoked is the past; signing in again is a new session
        yield refused(50173)
    elif at.path in _WITHOUT_OBJECT:
        at.user = visitor(at.home, at.home_user)
        yield Finding(f"no object needed; {at.user.oid} stands for the account")
    elif at.present is None:
        yield refused(50020)
    else:
        assert at.tenant is not None
        at.user = entitle(at.tenant, at.present, at.now)
        yield Finding(f"{at.user.user_type} {at.user.oid}")


def visitor(home: Tenant, account: User) -> User:
    """Return the value that stands for an account without an object in the tenant, made the same way each time.

    A choice: its object id is made from the account's key, so that no home tenant can hand out the id of somebody in
    the tenant; it is a guest, in no group, and named by its home UPN in assignments.
    """
    return User(
        named_guid("visitor", home.id, account.oid), account.upn, account.display_name, UserType.GUEST, True, (),
        frozenset(), (home.id, account.oid), mail=account.mail,
    )


def redemption(at: Progress) -> Findings:
    """See to it that the invitation is accepted, by the user or by both tenants beforehand."""
    assert at.tenant is not None
    assert at.user is not None
    if at.user.way is SignInWay.HERE and not at.user.pending:
        yield Finding("own user")
    elif (unwanted := _unwanted_domain(at, at.tenant, at.user)) is not None:
        yield unwanted
    elif at.request.consented:
        yield Finding("accepted")
    elif not at.user.pending and not at.tenant.consent_required:
        yield Finding("not asked for")
    else:
        yield from _automatic(at, at.tenant, at.user)


def _unwanted_domain(at: Progress, tenant: Tenant, user: User) -> Finding | None:
    """Hold a pending guest's domain against the list again: it may have changed since the invitation."""
    assert at.home_user is not None
    if not user.pending:
        return None
    address = user.mail or (user.external.subject if user.external else at.home_user.upn)
    domain = address.rpartition("@")[2]
    if tenant.policy.collaboration.judge_domain(domain).passed or invited_apart(tenant, user.oid):
        return None
    sentence = f"The invitation cannot be accepted: the domain {domain} is not allowed in the tenant."
    no = replace(refusal(50014, sentence), error="access_denied")
    return Finding("AADSTS50014", tenant, "InvitationsAllowedAndBlockedDomainsPolicy", refusal=no)


def _automatic(at: Progress, tenant: Tenant, user: User) -> Findings:
    """Spare the prompt where home's outbound and the tenant's inbound setting both say so."""
    assert at.home is not None
    both = False
    if user.home is not None:
        outbound = at.home.policy.cross_tenant.automatic_consent(tenant.id)
        inbound = tenant.policy.cross_tenant.automatic_consent(at.home.id)
        name, both = "automaticUserConsentSettings", outbound.value.outbound and inbound.value.inbound
        yield Finding(f"outbound {_on(outbound.value.outbound)}", at.home, name, outbound.source)
        yield Finding(f"inbound {_on(inbound.value.inbound)}", tenant, name, inbound.source)
    if not both:
        at.interaction = Interaction(Task.REDEMPTION)
        yield refused(50014)


def _on(allowed: bool) -> str:
    return "allowed" if allowed else "not allowed"


def assignment(at: Progress) -> Findings:
    """Ask whether the resource is assigned to the user, and whether the client may act for them."""
    assert at.tenant is not None
    assert at.user is not None
    assert at.resource is not None
    if at.resource.kind is ResourceKind.APPLICATION:
        yield _application(at.tenant, at.user, at.resource, at.now)
    elif at.resource.kind is ResourceKind.CHANNEL:
        yield _channel(at.tenant, at.user, at.resource)
    else:
        yield Finding("no assignment needed")
    if at.request.application_consent is ApplicationConsent.MISSING:
        at.interaction = Interaction(Task.CONSENT)
        yield refused(65001)
    elif at.request.application_consent is ApplicationConsent.ADMINISTRATOR:
        yield refused(90094)


def _application(tenant: Tenant, user: User, resource: Resource, now: int) -> Finding:
    if may_use(tenant, user, resource.id, now):
        return Finding("application assigned")
    sentence = f"The user is not assigned to the application {resource.name} (application_not_assigned)."
    return refused(50105, sentence)


def _channel(tenant: Tenant, user: User, resource: Resource) -> Finding:
    profile = tenant.profile_of(user)
    if profile is not None and profile.channels.get(resource.name) == resource.id:
        return Finding(f"profile {profile.id}")
    sentence = f"No profile with the {resource.name} channel is assigned to the user (profile_not_assigned)."
    return refused(50105, sentence, reason=Reason.PROFILE_NOT_ASSIGNED)


def conditional_access(at: Progress) -> Findings:
    """Let Conditional Access judge; its verdict says itself which of the steps S9 to S11 its lines belong to."""
    assert at.tenant is not None
    assert at.home is not None
    assert at.home_user is not None
    assert at.client is not None
    assert at.resource is not None
    trust, finding = _trust(at, at.tenant, at.home)
    if finding is not None:
        yield finding
    user = None if at.path in _WITHOUT_OBJECT else at.user
    at.access = evaluate_access(
        Subject(
            at.tenant, user, at.home, at.home_user, at.client, at.resource, at.path, trust, at.request.facts,
            at.request.around, at.now,
        )
    )
    at.interaction = at.access.interaction
    yield from _verdict(at, "S9")


def grant_controls(at: Progress) -> Findings:
    """Carry the verdict's second part over."""
    yield from _verdict(at, "S10")


def session_controls(at: Progress) -> Findings:
    """Carry the verdict's last part over."""
    return _verdict(at, "S11")


def _trust(at: Progress, tenant: Tenant, home: Tenant) -> tuple[InboundTrust, Finding | None]:
    """Return which of home's claims count. A service provider's multifactor authentication always does."""
    if at.path is AccessPath.SERVICE_PROVIDER:
        return InboundTrust(mfa=True), Finding("mfa, as for every service provider", tenant, "inboundTrust", "service")
    assert at.home_user is not None
    if at.path is AccessPath.NONE or at.home_user.external is not None:
        return InboundTrust(), None
    trust = tenant.policy.cross_tenant.inbound_trust(home.id)
    flags = (
        ("mfa", trust.value.mfa), ("compliantDevice", trust.value.compliant_device),
        ("domainJoinedDevice", trust.value.hybrid_joined),
    )
    words = ", ".join(name for name, trusted in flags if trusted) or "nothing"
    return trust.value, Finding(f"trusts {words}", tenant, "inboundTrust", trust.source)


def _verdict(at: Progress, step: str) -> Findings:
    lines = [line for line in at.access.trace if line.step == step]
    at.trace.extend(lines)
    stops = next((line.step for line in at.access.trace if line.effect in ("block", "interrupt")), "S9")
    if at.access.refusal is not None and stops == step:
        yield Finding(f"AADSTS{at.access.refusal.code}", at.tenant, refusal=at.access.refusal)
    elif not lines:
        yield Finding("nothing applies", at.tenant)
