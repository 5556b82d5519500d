"""What accepting an invitation writes: the guest's state and identity, the invitation's status, and the audit log."""

from __future__ import annotations

from tunneld.idp.changes import Actor, AuditEntry, AuditTarget, ModifiedProperty
from tunneld.idp.evidence import HOME, proved
from tunneld.idp.federation.identities import identity_of
from tunneld.idp.guests import guest_objects
from tunneld.idp.guests.personal import personal_account
from tunneld.idp.provider import Provider
from tunneld.policy.directory import ExternalIdentity, ExternalState, SignInWay, Tenant, User
from tunneld.policy.guests.invitation_object import Invitation
from tunneld.policy.objects import Change, ObjectRef
from tunneld.policy.views import fingerprint_of

_CATEGORY = "UserManagement"


async def external_identity(provider: Provider, guest: User, session_id: str) -> ExternalIdentity:
    """Return the identity outside all tenants that a guest's session rests on."""
    vouched = await identity_of(provider, session_id)
    if vouched is not None:
        return vouched
    methods = {use.method for use in (await proved(provider.database, session_id)).at(HOME)}
    found = await personal_account(provider, guest.mail.lower()) if "password" in methods else None
    if found is not None:
        return ExternalIdentity(SignInWay.PERSONAL, "Microsoft Account", found[0])
    return ExternalIdentity(SignInWay.MAIL, "mail", guest.mail.lower())


async def accept(
    provider: Provider, tenant: Tenant, guest: User, identity: ExternalIdentity | None, *, correlation_id: str
) -> None:
    """Turn a pending guest into an accepted one. `identity` is None for an account of another tenant."""
    document = {
        **guest_objects.accepted(provider.clock()),
        **(guest_objects.bound(identity) if identity is not None else guest_objects.bound_at_home()),
    }
    value = guest_objects.written(provider.directory, tenant.id, guest.oid, document)
    changes = [Change(ObjectRef(tenant.id, "user", guest.oid), value), *_completed(tenant, guest)]
    who = Actor("user", tenant.id, guest.oid, guest.upn)
    state = ModifiedProperty("externalUserState", f'"{ExternalState.PENDING}"', f'"{ExternalState.ACCEPTED}"')
    target = AuditTarget(guest.oid, guest.upn, "User", (state,))
    records = [
        AuditEntry("Redeem external user invite", _CATEGORY, tenant.id, who, (target,), service="Invited Users"),
        AuditEntry("Update user", _CATEGORY, tenant.id, who, (target,)),
    ]
    # An administrator may be disabling the same guest: made up from what is there now, or not at all.
    expected = {change.ref: fingerprint_of(provider.directory, change.ref) for change in changes}
    await provider.commit(changes, records, correlation_id=correlation_id, expected=expected)


async def record_failure(
    provider: Provider, tenant: Tenant, guest: User, reason: str, details: dict[str, str], *, correlation_id: str
) -> None:
    """Put on record that an invitation could not be accepted; its state stays as it is."""
    entry = AuditEntry(
        "Redeem external user invite", _CATEGORY, tenant.id, Actor("user", tenant.id, guest.oid, guest.upn),
        (AuditTarget(guest.oid, guest.upn, "User"),), "failure", reason, details, "Invited Users",
    )
    await provider.records.store_audits([entry], correlation_id)


def _completed(tenant: Tenant, guest: User) -> list[Change]:
    found = []
    for key, value in tenant.objects.get("invitation", {}).items():
        if isinstance(value, Invitation) and value.invited_user is not None and value.invited_user.id == guest.oid:
            done = value.model_copy(update={"status": "Completed"})
            found.append(Change(ObjectRef(tenant.id, "invitation", key), done))
    return found
