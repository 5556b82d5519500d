"""Every rule and exception of cross-tenant synchronization, as (what is there, what the cycle does, why)."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from tunneld.policy.cross_tenant.effective import AutomaticConsent, CrossTenantPolicy, Settings
from tunneld.policy.directory import ExternalIdentity, Group, SignInWay, Tenant, User, UserType
from tunneld.policy.guests.synchronization import (
    Action,
    Situation,
    Step,
    obstacle,
    plan_synchronization,
)
from tunneld.policy.guests.synchronization_job import (
    Clause,
    EntryState,
    Scope,
    SynchronizationEntry,
    SynchronizationJob,
    UserTypeMapping,
    seconds_of,
)
from tunneld.policy.tenant_policy import TenantPolicy

SOURCE, TARGET = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
ALEX, GUEST = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000001"
SALES, STAFF, AROUND = (f"dddddddd-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
NOW = 2_000_000_000


def user(**changes: Any) -> User:
    plain = User(ALEX, "alex@source.example", "Alex", UserType.MEMBER, True, (SALES,), frozenset({SALES}))
    return replace(plain, **changes)


def guest(**changes: Any) -> User:
    known = User(GUEST, "alex_source.example#EXT#@target.example", "Alex", UserType.MEMBER, True, (), frozenset())
    return replace(known, home=(SOURCE, ALEX), **changes)


def tenant(tenant_id: str, *users: User, settings: Settings | None = None, partner: str = "") -> Tenant:
    partners = {partner: settings} if settings else {}
    policy = TenantPolicy(cross_tenant=CrossTenantPolicy(partners=partners))
    held = MappingProxyType({one.oid: one for one in users})
    members = frozenset(one.oid for one in users if SALES in one.groups)
    groups = {SALES: Group(SALES, "Sales", members), AROUND: Group(AROUND, "Around", frozenset({SALES}))}
    return Tenant(tenant_id, tenant_id[:4], "T", (), held, {}, (), {}, policy=policy, groups=groups)


ALLOWS = Settings(user_sync_allowed=True, automatic_consent=AutomaticConsent(inbound=True))
SENDS = Settings(automatic_consent=AutomaticConsent(outbound=True))
BY_GROUP = SynchronizationJob(id=TARGET, scope=Scope(groups=(SALES,)))
BY_USER = SynchronizationJob(id=TARGET, scope=Scope(users=(ALEX,)))


def situation(
    source: User | None, target: User | None = None, entry: SynchronizationEntry | None = None,
    job: SynchronizationJob = BY_GROUP,
) -> Situation:
    return Situation(
        job, tenant(SOURCE, *([source] if source else []), settings=SENDS, partner=TARGET),
        tenant(TARGET, *([target] if target else []), settings=ALLOWS, partner=SOURCE),
        {ALEX: entry} if entry else {},
    )


def step(*arguments: Any, now: int = NOW, **named: Any) -> Step:
    (only,) = plan_synchronization(situation(*arguments, **named), now)
    return only


def entry_after(source: User, job: SynchronizationJob = BY_GROUP) -> SynchronizationEntry:
    """What the job remembers once it has pushed `source`."""
    pushed = step(source, guest(), job=job).entry
    assert pushed is not None
    return pushed


def deleted(days: float) -> SynchronizationEntry:
    update = {"state": EntryState.DELETED, "deleted_at": NOW - int(days * 86400)}
    return entry_after(user()).model_copy(update=update)


CASES: dict[str, tuple[Step, Action, str]] = {
    "new": (step(user()), Action.CREATE, "in scope by group"),
    "new by assignment": (step(user(), job=BY_USER), Action.CREATE, "in scope by user"),
    "in a group inside the assigned one": (
        step(user(groups=(SALES, AROUND)), job=SynchronizationJob(id=TARGET, scope=Scope(groups=(AROUND,)))),
        Action.SKIP, "not in scope",
    ),
    "not in scope": (step(user(groups=())), Action.SKIP, "not in scope"),
    "external": (step(user(home=("x", "y"))), Action.SKIP, "external users are never synchronized"),
    "from outside all tenants": (
        step(user(external=ExternalIdentity(SignInWay.MAIL, "mail", "a@b.example"))), Action.SKIP,
        "external users are never synchronized",
    ),
    "internal guest": (
        step(user(user_type=UserType.GUEST)), Action.SKIP, "internal guests are never synchronized",
    ),
    "disabled and never there": (
        step(user(enabled=False)), Action.SKIP, "disabled at the source before it was ever there",
    ),
    "invited before": (step(user(), guest()), Action.UPDATE, "an external user with this home is there already"),
    "unchanged, and edited at the target": (
        step(user(), guest(display_name="Renamed", enabled=False), entry_after(user())), Action.SKIP,
        "unchanged at the source",
    ),
    "changed": (step(user(display_name="A."), guest(), entry_after(user())), Action.UPDATE, "changed at the source"),
    "disabled": (step(user(enabled=False), guest(), entry_after(user())), Action.DISABLE, "disabled at the source"),
    "enabled again": (
        step(user(), guest(enabled=False), entry_after(user(enabled=False))), Action.UPDATE, "changed at the source",
    ),
    "deleted at the source": (step(None, guest(), entry_after(user())), Action.DELETE, "deleted at the source"),
    "left the group": (
        step(user(groups=()), guest(), entry_after(user())), Action.DELETE, "dropped from the assigned group",
    ),
    "unassigned": (
        step(user(), guest(), entry_after(user(), BY_USER), SynchronizationJob(id=TARGET)), Action.DELETE,
        "no longer assigned",
    ),
    "disabled, then left the group": (
        step(user(enabled=False, groups=()), guest(), entry_after(user(enabled=False))), Action.SKIP,
        "was disabled before it left the group",
    ),
    "disabled and left the group at once": (
        step(user(enabled=False, groups=()), guest(), entry_after(user())), Action.DELETE,
        "dropped from the assigned group",
    ),
    "disabled, then unassigned": (
        step(user(enabled=False), guest(), entry_after(user(enabled=False), BY_USER), SynchronizationJob(id=TARGET)),
        Action.DELETE, "no longer assigned",
    ),
    "back within 30 days": (step(user(), None, deleted(29)), Action.RESTORE, "back in scope within 30 days"),
    "back after 30 days": (step(user(), None, deleted(31)), Action.CREATE, "in scope by group"),
    "back, and invited meanwhile": (
        step(user(), guest(oid=STAFF), deleted(3)), Action.UPDATE, "an external user with this home is there already",
    ),
    "deleted and away": (step(None, None, deleted(3)), Action.SKIP, "deleted before"),
    "deleted for long": (step(None, None, deleted(31)), Action.FORGET, "deleted for more than 30 days"),
    "removed at the target": (
        step(user(), None, entry_after(user())), Action.SKIP, "removed at the target, unchanged at the source",
    ),
    "removed at the target, then changed": (
        step(user(display_name="A."), None, entry_after(user())), Action.CREATE, "in scope by group",
    ),
    "removed on both sides": (
        step(None, None, entry_after(user())), Action.FORGET, "no longer in scope, and gone at the target",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_cycle_does(case: str) -> None:
    """One person, one step, one reason."""
    found, action, reason = CASES[case]
    assert (found.action, found.reason) == (action, reason)


@pytest.mark.parametrize(("apply", "expected"), [("onCreate", None), ("always", UserType.GUEST)])
def test_the_user_type_of_whoever_is_there_is_flipped_only_when_mapped(apply: Any, expected: UserType | None) -> None:
    """A new object gets the mapped type either way."""
    job = BY_GROUP.model_copy(update={"user_type": UserTypeMapping(value="Guest", apply=apply)})
    matched, created = step(user(), guest(), job=job).values, step(user(), job=job).values
    assert matched is not None
    assert created is not None
    assert (matched.user_type, created.user_type) == (expected, UserType.GUEST)


def test_a_new_object_is_a_member_by_default() -> None:
    """Both sides of a multi-tenant organization see colleagues, not guests."""
    values = step(user()).values
    assert values is not None
    assert values.user_type is UserType.MEMBER


@pytest.mark.parametrize(
    ("operator", "value", "hit"),
    [
        ("equals", "sales", True), ("equals", "sale", False), ("notEquals", "legal", True), ("startsWith", "SA", True),
        ("contains", "ale", True), ("contains", "x", False), ("isPresent", "", True), ("notEquals", "Sales", False),
    ],
)
def test_a_filter_compares_without_case(operator: Any, value: str, hit: bool) -> None:
    """The attribute is Graph's."""
    scope = Scope(filters=(Clause(attribute="department", operator=operator, value=value),))
    found = step(user(attributes={"department": "Sales"}), job=SynchronizationJob(id=TARGET, scope=scope))
    assert (found.action is Action.CREATE) is hit


def test_all_clauses_have_to_hold() -> None:
    """And none of them means nobody, not everybody."""
    clauses = (Clause(attribute="department", value="Sales"), Clause(attribute="jobTitle", operator="isPresent"))
    job = SynchronizationJob(id=TARGET, scope=Scope(filters=clauses))
    assert step(user(attributes={"department": "Sales"}), job=job).action is Action.SKIP
    assert step(user(), job=SynchronizationJob(id=TARGET)).reason == "not in scope"


@pytest.mark.parametrize(
    ("source", "target", "word"),
    [
        (SENDS, None, "isSyncAllowed"),
        (SENDS, replace(ALLOWS, user_sync_allowed=False), "isSyncAllowed"),
        (SENDS, replace(ALLOWS, automatic_consent=None), "does not redeem automatically"),
        (None, ALLOWS, "does not redeem automatically"),
    ],
)
def test_without_both_tenants_consent_nothing_runs(
    source: Settings | None, target: Settings | None, word: str
) -> None:
    """And a cycle that does not run leaves everybody who is there."""
    found = Situation(
        BY_GROUP, tenant(SOURCE, settings=source, partner=TARGET), tenant(TARGET, settings=target, partner=SOURCE)
    )
    assert word in (obstacle(found) or "")


def test_consent_of_both_lets_it_run_except_in_one_cloud() -> None:
    """21Vianet's cloud has no synchronization."""
    fine = situation(user())
    assert obstacle(fine) is None
    abroad = replace(fine, target=replace(fine.target, cloud="partner.microsoftonline.cn"))
    assert "cloud" in (obstacle(abroad) or "")


@pytest.mark.parametrize(("text", "seconds"), [("PT40M", 2400), ("PT1H30M", 5400), ("PT5S", 5)])
def test_intervals(text: str, seconds: int) -> None:
    """ISO 8601 durations without days."""
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "PT", "40M", "P1D", "PT40", "PT1M2H"])
def test_bad_intervals(text: str) -> None:
    """Everything else is refused."""
    with pytest.raises(ValueError, match="PT40M"):
        seconds_of(text)
