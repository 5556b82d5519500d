"""Writes that the storage tests make, in the test and in the program that it kills."""

from __future__ import annotations

from typing import Any

from tests.integration.idp.world import BOB, CONTOSO, STAFF
from tunneld.idp.changes import Actor, AuditEntry, AuditTarget, ModifiedProperty
from tunneld.idp.provider import Provider
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, ObjectRef
from tunneld.policy.views import view

ADMIN = Actor("user", CONTOSO, BOB, "bob@contoso.example", "192.0.2.7")
STAFF_REF, BOB_REF = ObjectRef(CONTOSO, "group", STAFF), ObjectRef(CONTOSO, "user", BOB)


def changed(provider: Provider, ref: ObjectRef, **members: Any) -> Change:
    """Return an object of the directory with other members."""
    present = view(provider.directory, ref.tenant_id, ref.kind, ref.id)
    assert present is not None
    return Change(ref, KINDS[ref.kind].model.model_validate({**present.stored(), **members}))


def entry(activity: str, target: str = BOB) -> AuditEntry:
    change = ModifiedProperty("displayName", '"old"', '"new"')
    return AuditEntry(activity, "UserManagement", CONTOSO, ADMIN, (AuditTarget(target, "Bob", "User", (change,)),))


async def pair_commit(provider: Provider, number: int) -> None:
    """Write one number into two objects and one audit record."""
    changes = [changed(provider, BOB_REF, displayName=f"Bob {number}"),
               changed(provider, STAFF_REF, description=f"{number}")]
    await provider.commit(changes, [entry(f"Update user {number}")], correlation_id="")
