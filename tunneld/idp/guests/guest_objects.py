"""The user object of a guest, as invitations, redemption and sign-up write it.

Every document here is a part of Graph's user resource, merged into the object that is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunneld.idp.changes import Actor, AuditEntry, AuditTarget
from tunneld.idp.provider import Provider
from tunneld.journal.timestamps import rfc3339
from tunneld.policy.deleted_objects import DeletedObject
from tunneld.policy.directory import Directory, ExternalIdentity, ExternalState, SignInWay, Tenant, User
from tunneld.policy.directory_places import deletion
from tunneld.policy.guests.redemption import identity_issuer
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, GraphObject, ObjectRef
from tunneld.policy.overlay import put_objects
from tunneld.policy.views import view

KIND = "user"
Part = dict[str, Any]  # members of Graph's user


def written(directory: Directory, tenant_id: str, oid: str, part: Mapping[str, Any]) -> GraphObject:
    """Return a user object with the members of `part` set; a new one when there is none."""
    present = view(directory, tenant_id, KIND, oid)
    document = {"id": oid, **(present.stored() if present is not None else {}), **part}
    return KINDS[KIND].model.model_validate(document)


def removed(
    directory: Directory, tenant_id: str, oid: str, now: int, *, before: Sequence[Change] = ()
) -> list[Change]:
    """Return the changes that delete a user so that it can be restored, after those that wait to be committed too."""
    directory = put_objects(directory, before)
    present = view(directory, tenant_id, KIND, oid)
    assert present is not None
    kept = DeletedObject(id=oid, deleted_date_time=rfc3339(now), deleted_at=now, value=present.stored())
    return deletion(directory, tenant_id, kept)


def pending(now: float) -> Part:
    """The state of somebody who has been invited."""
    return {"externalUserState": str(ExternalState.PENDING), "externalUserStateChangeDateTime": rfc3339(now)}


def accepted(now: float) -> Part:
    """The state of somebody who has accepted."""
    return {"externalUserState": str(ExternalState.ACCEPTED), "externalUserStateChangeDateTime": rfc3339(now)}


def mails(user: User, address: str) -> Part:
    """The addresses of somebody who is invited at `address`: that one first, the others beside it."""
    others = {mail.lower() for mail in (user.mail, *user.other_mails) if mail} - {address}
    return {"mail": address, "otherMails": sorted(others)}


def home_link(directory: Directory, address: str) -> Part:
    """The link to the account that an address names in another tenant; no link where it names none."""
    account = directory.account(address) if address else None
    return {"alternativeSecurityId": {"tenantId": account[0], "objectId": account[1]} if account else None}


def no_identity(tenant: Tenant) -> Part:
    """The identities of somebody who has not redeemed: the visited tenant's own domain, as Graph shows them."""
    issuer = identity_issuer(SignInWay.HERE, own_domain(tenant))
    return {
        "external": None, "passwordHash": None,
        "identities": [{"signInType": "userPrincipalName", "issuer": issuer, "issuerAssignedId": None}],
    }


def bound(identity: ExternalIdentity) -> Part:
    """The identities of somebody who redeemed with an account outside all tenants."""
    issuer = identity_issuer(identity.way, "", identity.issuer)
    outside = {"way": str(identity.way), "issuer": identity.issuer, "subject": identity.subject}
    return {
        "alternativeSecurityId": None, "external": outside, "passwordHash": None,
        "identities": [{"signInType": "federated", "issuer": issuer, "issuerAssignedId": identity.subject}],
    }


def bound_at_home() -> Part:
    """The identities of somebody who redeemed with an account of another tenant."""
    issuer = identity_issuer(SignInWay.HOME, "")
    identity = {"signInType": "federated", "issuer": issuer, "issuerAssignedId": None}
    return {"external": None, "passwordHash": None, "identities": [identity]}


async def link(
    provider: Provider, tenant: Tenant, guest: User, address: str, *, correlation_id: str
) -> User:
    """Give a pending guest the link to the account that `address` names, or take it away for the empty address."""
    part = home_link(provider.directory, address)
    present = view(provider.directory, tenant.id, KIND, guest.oid)
    if present is None or present.stored()["alternativeSecurityId"] == part["alternativeSecurityId"]:
        return guest
    who, target = Actor("system", "", "", "Invited Users"), AuditTarget(guest.oid, guest.upn, "User")
    change = Change(ObjectRef(tenant.id, KIND, guest.oid), written(provider.directory, tenant.id, guest.oid, part))
    record = AuditEntry("Update user", "UserManagement", tenant.id, who, (target,))
    await provider.commit([change], [record], correlation_id=correlation_id)
    return provider.directory.tenants[tenant.id].users[guest.oid]


def owns(tenant: Tenant, user: User, application: str) -> bool:
    """Tell whether somebody is an owner of an application."""
    return any(
        application in (one.id, one.object_id) and user.oid in one.owners for one in tenant.applications.values()
    )


def guest_of_address(tenant: Tenant, address: str) -> User | None:
    """Return the guest with an address of its own, redeemed or not; none has the empty one."""
    if not address:
        return None
    for user in tenant.users.values():
        outside = user.home is not None or user.external is not None or user.external_state is not None
        if outside and address in {mail.lower() for mail in (user.mail, *user.other_mails)}:
            return user
    return None


def own_domain(tenant: Tenant) -> str:
    """Return the domain of guests' names: the tenant's first, or one made of its short name."""
    return tenant.domains[0] if tenant.domains else f"{tenant.name}.invalid"
