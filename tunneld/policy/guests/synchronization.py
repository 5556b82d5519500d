"""Cross-tenant synchronization: which external users a cycle creates, updates, disables, deletes and restores.

The source tenant pushes and is the authority; the target only consents, and its own edits survive until the source
object changes next, because the engine never reads them. A step says why it is taken, so that a dry run is a report.
Source: Microsoft Entra documentation, "What is cross-tenant synchronization?" and "Scoping users or groups".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tunneld.policy.directory import Group, ObjectKey, Tenant, User, UserType
from tunneld.policy.guests.synchronization_job import EntryState, SynchronizationEntry, SynchronizationJob, Via

RESTORE_S = 30 * 86400  # a deleted user can be restored for 30 days
UNSUPPORTED_CLOUDS = frozenset({"partner.microsoftonline.cn"})


class Action(StrEnum):
    """What a step does to one person's object in the target."""

    CREATE = "create"
    UPDATE = "update"
    DISABLE = "disable"
    DELETE = "softDelete"
    RESTORE = "restore"
    FORGET = "hardDelete"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class UserValues:
    """What the target's object gets. `user_type` None leaves what is there."""

    display_name: str
    mail: str
    upn: str
    enabled: bool
    attributes: Mapping[str, str]
    user_type: UserType | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One decision about one source account. `entry` is what the job remembers from then on; None forgets it."""

    action: Action
    source: ObjectKey
    target_id: str | None
    reason: str
    values: UserValues | None = None
    entry: SynchronizationEntry | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a cycle looks at: both tenants, and what the job remembers of each source object by its id."""

    job: SynchronizationJob
    source: Tenant
    target: Tenant
    entries: Mapping[str, SynchronizationEntry] = field(default_factory=dict)


def obstacle(situation: Situation) -> str | None:
    """Return why this job may not run now, or None. Whoever cuts the relationship leaves the users that are there."""
    job, source, target = situation.job, situation.source, situation.target
    for tenant in (source, target):
        if tenant.cloud in UNSUPPORTED_CLOUDS:
            return f"cross-tenant synchronization is not offered in the cloud of {tenant.name}"
    inbound = target.policy.cross_tenant.partners.get(source.id)
    if inbound is None or not inbound.user_sync_allowed:
        return f"{target.name} does not allow user synchronization from {source.name} (userSyncInbound.isSyncAllowed)"
    if not target.policy.cross_tenant.automatic_consent(source.id).value.inbound:
        return f"{target.name} does not redeem automatically for {source.name} (automaticUserConsentSettings.inbound…)"
    if not source.policy.cross_tenant.automatic_consent(target.id).value.outbound:
        return f"{source.name} does not redeem automatically for {target.name} (automaticUserConsentSettings.outbound…)"
    del job
    return None


def plan_synchronization(situation: Situation, now: int) -> tuple[Step, ...]:
    """Return one step for every account that the job knows or finds, in the order of their ids."""
    known = sorted({*situation.source.users, *situation.entries})
    guests = {user.home: user for user in situation.target.users.values() if user.home is not None}
    return tuple(_step(situation, oid, guests.get((situation.source.id, oid)), now) for oid in known)


def scope_of(job: SynchronizationJob, user: User, groups: Mapping[str, Group]) -> Via | None:
    """Return by what a user is in scope: "user", "group" or "filter"; None when not.

    Groups count for their direct members only: nesting is not followed.
    """
    scope = job.scope
    if user.oid in scope.users:
        return "user"
    if any(group in groups and user.oid in groups[group].members for group in scope.groups):
        return "group"
    if scope.filters and all(clause.holds(attribute(user, clause.attribute)) for clause in scope.filters):
        return "filter"
    return None


def attribute(user: User, name: str) -> str:
    """Return a user's property by Graph's name, as text."""
    known = {
        "displayName": user.display_name, "userPrincipalName": user.upn, "mail": user.mail,
        "accountEnabled": "true" if user.enabled else "false", "userType": str(user.user_type).capitalize(),
    }
    return known.get(name, user.attributes.get(name, ""))


def is_internal_member(user: User) -> bool:
    """Tell whether the account is one of the source's own members; external users and internal guests never go."""
    return user.home is None and user.external is None and user.user_type is UserType.MEMBER


def _step(situation: Situation, oid: str, guest: User | None, now: int) -> Step:
    user, entry = situation.source.users.get(oid), situation.entries.get(oid)
    via = None
    if user is not None and is_internal_member(user):
        via = scope_of(situation.job, user, situation.source.groups)
    if user is not None and via is not None:
        return _in_scope(situation, user, guest, via=via, now=now)
    return _out_of_scope(situation, oid, guest, now=now) if entry is not None else _never(situation, oid)


def _in_scope(situation: Situation, user: User, guest: User | None, *, via: Via, now: int) -> Step:
    entry, source = situation.entries.get(user.oid), (situation.source.id, user.oid)
    values = _values(situation.job, user, new=False)
    state = EntryState.ACTIVE if user.enabled else EntryState.DISABLED
    seen = _fingerprint(values)

    def remembered(target_id: str) -> SynchronizationEntry:
        return SynchronizationEntry(
            id=entry_id(situation.target.id, user.oid), target_id=target_id, fingerprint=seen, via=via, state=state
        )

    if entry is not None and entry.state is EntryState.DELETED:
        if guest is None and now - entry.deleted_at <= RESTORE_S:
            return Step(Action.RESTORE, source, entry.target_id, "back in scope within 30 days", values,
                        remembered(entry.target_id), user.upn)
        entry = None
    if guest is not None and (entry is None or entry.target_id != guest.oid):
        return Step(Action.UPDATE, source, guest.oid, "an external user with this home is there already", values,
                    remembered(guest.oid), user.upn)
    if guest is None:
        if entry is not None and entry.fingerprint == seen:
            return Step(Action.SKIP, source, entry.target_id, "removed at the target, unchanged at the source",
                        None, _seen(entry, via), user.upn)
        if not user.enabled:
            return Step(Action.SKIP, source, None, "disabled at the source before it was ever there", None, None,
                        user.upn)
        return Step(Action.CREATE, source, None, f"in scope by {via}", _values(situation.job, user, new=True),
                    remembered(""), user.upn)
    assert entry is not None
    if entry.fingerprint == seen:
        return Step(Action.SKIP, source, guest.oid, "unchanged at the source", None, _seen(entry, via), user.upn)
    disabled = not user.enabled and entry.state is EntryState.ACTIVE
    reason = "disabled at the source" if disabled else "changed at the source"
    return Step(Action.DISABLE if disabled else Action.UPDATE, source, guest.oid, reason, values,
                remembered(guest.oid), user.upn)


def _out_of_scope(situation: Situation, oid: str, guest: User | None, *, now: int) -> Step:
    entry, user, source = situation.entries[oid], situation.source.users.get(oid), (situation.source.id, oid)
    name = user.upn if user else (guest.upn if guest else oid)
    if entry.state is EntryState.DELETED:
        if now - entry.deleted_at > RESTORE_S:
            return Step(Action.FORGET, source, entry.target_id, "deleted for more than 30 days", name=name)
        return Step(Action.SKIP, source, entry.target_id, "deleted before", None, entry, name)
    if user is not None and entry.state is EntryState.DISABLED and entry.via == "group" and not user.enabled:
        # The published exception: an account that was disabled first and then left the group is not deleted.
        return Step(Action.SKIP, source, entry.target_id, "was disabled before it left the group", None, entry, name)
    if guest is None:
        return Step(Action.FORGET, source, entry.target_id, "no longer in scope, and gone at the target", name=name)
    reason = "deleted at the source" if user is None else _left(entry)
    gone = entry.model_copy(update={"state": EntryState.DELETED, "deleted_at": now})
    return Step(Action.DELETE, source, guest.oid, reason, None, gone, name)


def _left(entry: SynchronizationEntry) -> str:
    return {
        "user": "no longer assigned", "group": "dropped from the assigned group", "filter": "the filter matches no more"
    }[entry.via]


def _never(situation: Situation, oid: str) -> Step:
    user = situation.source.users[oid]
    if user.home is not None or user.external is not None:
        reason = "external users are never synchronized"
    elif user.user_type is not UserType.MEMBER:
        reason = "internal guests are never synchronized"
    else:
        reason = "not in scope"
    return Step(Action.SKIP, (situation.source.id, oid), None, reason, name=user.upn)


def _seen(entry: SynchronizationEntry, via: Via) -> SynchronizationEntry:
    return entry if entry.via == via else entry.model_copy(update={"via": via})


def _values(job: SynchronizationJob, user: User, *, new: bool) -> UserValues:
    mapped = UserType.MEMBER if job.user_type.value == "Member" else UserType.GUEST
    user_type = mapped if new or job.user_type.apply == "always" else None
    copied = {name: user.attributes[name] for name in job.attributes if name in user.attributes}
    return UserValues(user.display_name, user.mail or user.upn, user.upn, user.enabled, copied, user_type)


def _fingerprint(values: UserValues) -> str:
    body = [values.display_name, values.mail, values.upn, values.enabled, sorted(values.attributes.items())]
    # The mapping takes part, so that a changed mapping reaches everybody at the next cycle.
    body.append(str(values.user_type or ""))
    return hashlib.sha256(json.dumps(body).encode()).hexdigest()[:32]


def entry_id(target_tenant: str, oid: str) -> str:
    """Return the id under which a job remembers a source object."""
    return f"{target_tenant}~{oid}"
