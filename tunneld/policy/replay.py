"""Recorded sign-ins asked again of a changed policy: who would gain what, who would lose what, and which step says so.

A record is the question that was asked (`SignInRequest`) and when. The same question at the same moment is put to the
policy in force and to the candidate; the recorded answer itself is not compared, since people and settings may have
changed since it was given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from tunneld.policy.directory import Directory
from tunneld.policy.sign_in import Deny, Grant, SignInRequest, evaluate
from tunneld.policy.what_if import decided_by


@dataclass(frozen=True, slots=True)
class RecordedSignIn:
    """One sign-in of the log, as it can be asked again."""

    id: str
    at: int  # seconds since the epoch
    request: SignInRequest


@dataclass(frozen=True, slots=True)
class Difference:
    """What changes for one person at one application of one tenant: `gains`, `loses`, or is `refused otherwise`.

    `before` and `after` name the deciding step; `sign_ins` are the records it was found in.
    """

    change: str
    user: str
    home: str
    tenant: str
    application: str
    before: str
    after: str
    sign_ins: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:  # a JSON object has any shape
        """Return the row of a report."""
        return {
            "change": self.change, "userPrincipalName": self.user, "homeTenant": self.home, "tenant": self.tenant,
            "application": self.application, "before": self.before, "after": self.after, "count": len(self.sign_ins),
            "signIns": list(self.sign_ins),
        }


@dataclass(slots=True)
class Comparison:
    """What a replay found, in the order of people, tenants and applications."""

    replayed: int = 0
    unchanged: int = 0
    differences: tuple[Difference, ...] = field(default=())

    def summary(self) -> dict[str, int]:
        """Return the counts: sign-ins that were asked again, and people who gain or lose something."""
        by_change: dict[str, set[str]] = {}
        for difference in self.differences:
            by_change.setdefault(difference.change, set()).add(difference.user)
        return {
            "signInsReplayed": self.replayed, "signInsUnchanged": self.unchanged,
            "usersGaining": len(by_change.get(GAINS, ())), "usersLosing": len(by_change.get(LOSES, ())),
            "usersRefusedOtherwise": len(by_change.get(OTHERWISE, ())),
        }


GAINS, LOSES, OTHERWISE = "gains", "loses", "refusedOtherwise"


def replay(records: Iterable[RecordedSignIn], before: Directory, after: Directory, reader: str = "") -> Comparison:
    """Ask every record of both policies and group what differs, as the tenant of the id `reader` may see it.

    Of another tenant's settings it sees whether they let somebody pass; "" sees everything.
    """
    comparison = Comparison()
    groups: dict[Difference, list[str]] = {}
    for record in records:
        comparison.replayed += 1
        old = evaluate(record.request, before, record.at)
        new = evaluate(record.request, after, record.at)
        was, now = _told(old, before, reader), _told(new, after, reader)
        change = _change(old, new, was != now)
        if change is None:
            comparison.unchanged += 1
            continue
        user, home, tenant, application = _who(record.request, before, after, reader)
        group = Difference(change, user, home, tenant, application, was, now)
        groups.setdefault(group, []).append(record.id)
    comparison.differences = tuple(
        replace(group, sign_ins=tuple(ids)) for group, ids in sorted(groups.items(), key=lambda item: _order(item[0]))
    )
    return comparison


def _order(row: Difference) -> tuple[str, ...]:
    return row.change, row.user, row.home, row.tenant, row.application, row.before, row.after


def _told(outcome: Grant | Deny, directory: Directory, reader: str) -> str:
    """Return the line of the step that decided; where another tenant's settings did, only that they did."""
    last = outcome.trace[-1].tenant if outcome.trace else ""
    foreign = reader and isinstance(outcome, Deny) and last not in ("", directory.tenants[reader].name)
    return f"AADSTS{outcome.code} in the other tenant" if foreign and isinstance(outcome, Deny) else decided_by(outcome)


def _change(old: Grant | Deny, new: Grant | Deny, told_otherwise: bool) -> str | None:
    if isinstance(old, Deny) and isinstance(new, Deny):
        # Another refusal at another step: nobody gains or loses, but somebody will ask why the words changed.
        return OTHERWISE if told_otherwise else None
    if isinstance(old, Grant) and isinstance(new, Grant):
        return None
    return GAINS if isinstance(new, Grant) else LOSES


def _who(request: SignInRequest, before: Directory, after: Directory, reader: str) -> tuple[str, str, str, str]:
    account, tenant = request.account, before.tenant(request.tenant) or after.tenant(request.tenant)
    user = (before.user(account) or after.user(account)) if account else None
    home = (before.tenants.get(account[0]) or after.tenants.get(account[0])) if account else None
    foreign = reader and tenant is not None and tenant.id != reader  # whose applications have names of their own
    resource = tenant.resource(request.audience) if tenant and not foreign else None
    return (
        user.upn if user else "", home.name if home else "", tenant.name if tenant else request.tenant,
        resource.name if resource else request.audience,
    )
