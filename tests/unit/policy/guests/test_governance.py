"""Access packages judged by the clock, reviews, and guests whom nobody has seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from tests.unit.policy.documents import ALEX, APP, GUEST, HOME, LOCKED_APP, PENDING, RESOURCE, STAFF, document, link
from tunneld.policy.directory import DAEMON_CLIENT, Directory
from tunneld.policy.guests.governance import (
    AccessPackageAssignment,
    AccessReview,
    as_time,
    expired,
    ghosts,
    moment,
    open_review,
    removed_by,
)
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, Conflict, ObjectRef
from tunneld.policy.overlay import change_directory
from tunneld.policy.sign_in import Deny, Grant, PasswordProof, SessionProof, SignInRequest, evaluate

NOW = 2_000_000_000
PACKAGE, ASSIGNMENT = "cccccccc-0000-4000-8000-00000000000a", "cccccccc-0000-4000-8000-00000000000b"
DAY = 86400


def change(kind: str, key: str, **members: Any) -> Change:
    """One write of an object; no members delete it."""
    value = KINDS[kind].model.model_validate({"id": key, **members}) if members else None
    return Change(ObjectRef(RESOURCE, kind, key), value)


def package(**members: Any) -> Change:
    return change("accessPackage", PACKAGE, **{"displayName": "Partner kit", "applications": [LOCKED_APP], **members})


def assignment(start: int, end: int | None, **members: Any) -> Change:
    times = {"startDateTime": as_time(start), "expirationDateTime": as_time(end) if end else None}
    given = {"accessPackageId": PACKAGE, "targetId": GUEST, **times, **members}
    return change("accessPackageAssignment", ASSIGNMENT, **given)


def world(*changes: Change) -> Directory:
    found = change_directory(link(document()), changes)
    assert isinstance(found, Directory), found
    return found


def opens(directory: Directory, now: int, audience: str = LOCKED_APP) -> bool:
    question = SignInRequest(RESOURCE, DAEMON_CLIENT, audience, (HOME, ALEX), PasswordProof(True, False), True)
    outcome = evaluate(question, directory, now)
    assert isinstance(outcome, Grant) or outcome.code == 50105
    return isinstance(outcome, Grant)


@pytest.mark.parametrize(
    ("now", "open_"), [(NOW - 1, False), (NOW, True), (NOW + DAY - 1, True), (NOW + DAY, False), (NOW + 9 * DAY, False)]
)
def test_an_assignment_holds_from_its_first_second_up_to_its_last(now: int, open_: bool) -> None:
    """Judged when the token is asked for: nothing has to sweep it away first."""
    assert opens(world(package(), assignment(NOW, NOW + DAY)), now) is open_


def test_an_assignment_without_end_lasts() -> None:
    """Until it is removed, which takes effect at once."""
    directory = world(package(), assignment(NOW, None))
    assert opens(directory, NOW + 999 * DAY)
    without = change_directory(directory, [change("accessPackageAssignment", ASSIGNMENT)])
    assert isinstance(without, Directory)
    assert not opens(without, NOW + 999 * DAY)


def test_a_package_gives_groups_and_what_is_assigned_to_them() -> None:
    """The token's groups follow too."""
    raw = document()
    raw["tenants"][1]["applications"][1]["assignments"] = {"groups": [STAFF]}
    raw["tenants"][1]["users"][0]["groups"] = []
    before = link(raw)
    assert not opens(before, NOW)
    directory = change_directory(before, [package(applications=[], groups=[STAFF]), assignment(NOW, NOW + DAY)])
    assert isinstance(directory, Directory)
    assert opens(directory, NOW)
    assert not opens(directory, NOW + DAY)
    question = SignInRequest(RESOURCE, DAEMON_CLIENT, LOCKED_APP, (HOME, ALEX), PasswordProof(True, False), True)
    granted = evaluate(question, directory, NOW)
    assert isinstance(granted, Grant)
    assert granted.user.groups == (STAFF,)


def test_a_changed_package_reaches_those_who_hold_it() -> None:
    """At the next token."""
    directory = world(package(applications=[APP]), assignment(NOW, None))
    assert not opens(directory, NOW)
    changed = change_directory(directory, [package()])
    assert isinstance(changed, Directory)
    assert opens(changed, NOW)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ([package(applications=[])], "emptyPackage"),
        ([package(applications=[STAFF])], "unknownApplication"),
        ([assignment(NOW, None)], "unknownPackage"),
        ([package(), assignment(NOW, None, targetId=STAFF)], "unknownUser"),
        ([package(), assignment(NOW, NOW)], "emptyPeriod"),
        ([package(), assignment(NOW, NOW - 1)], "emptyPeriod"),
    ],
)
def test_contradictions_are_refused(changes: list[Change], rule: str) -> None:
    """With the rule's name."""
    found = change_directory(link(document()), changes)
    assert isinstance(found, Conflict)
    assert found.rule == rule
    assert found.mend


def test_a_package_that_somebody_holds_stays() -> None:
    """Its assignments go first, or together with it."""
    directory = world(package(), assignment(NOW, None))
    refused = change_directory(directory, [change("accessPackage", PACKAGE)])
    assert isinstance(refused, Conflict)
    assert refused.rule == "packageInUse"
    both = [change("accessPackageAssignment", ASSIGNMENT), change("accessPackage", PACKAGE)]
    assert isinstance(change_directory(directory, both), Directory)


def test_expired_assignments_are_found() -> None:
    """Exactly those that open nothing any more."""
    tenant = world(package(), assignment(NOW, NOW + DAY)).tenants[RESOURCE]
    assert expired(tenant, NOW + DAY - 1) == ()
    assert [found.id for found in expired(tenant, NOW + DAY)] == [ASSIGNMENT]


def test_ghosts_are_guests_without_a_recent_sign_in() -> None:
    """The longest unseen first; own users are none, whatever they do."""
    tenant = world().tenants[RESOURCE]
    seen = {GUEST: NOW - 40 * DAY}
    found = ghosts(tenant, seen, now=NOW, days=30)
    assert [(ghost.user.oid, ghost.days) for ghost in found] == [(PENDING, None), (GUEST, 40)]
    assert [ghost.user.oid for ghost in ghosts(tenant, seen, now=NOW, days=41)] == [PENDING]
    assert [ghost.user.oid for ghost in ghosts(tenant, seen, now=NOW, days=40)] == [PENDING, GUEST]
    assert ghosts(world().tenants[HOME], {}, now=NOW, days=1) == ()


@pytest.mark.parametrize(
    ("default", "verdicts", "removed"),
    [
        ("None", {}, []), ("Deny", {}, [GUEST, PENDING]), ("Recommendation", {}, [PENDING]),
        ("Approve", {PENDING: "Deny"}, [PENDING]), ("Deny", {PENDING: "Approve"}, [GUEST]),
        ("Recommendation", {PENDING: "Approve", GUEST: "Deny"}, [GUEST]),
    ],
)
def test_a_review_removes_whom_it_denies(default: Any, verdicts: dict[str, Any], removed: list[str]) -> None:
    """A reviewer's word goes before the default, and the default before nothing."""
    draft = AccessReview(id=PACKAGE, display_name="Guests", default_decision=default, created_date_time=as_time(NOW))
    review = open_review(draft, world().tenants[RESOURCE], {GUEST: NOW - DAY}, NOW)
    assert {line.principal_id: line.recommendation for line in review.decisions} == {GUEST: "Approve", PENDING: "Deny"}
    judged = review.model_copy(update={"decisions": tuple(
        line.model_copy(update={"decision": verdicts.get(line.principal_id, "NotReviewed")})
        for line in review.decisions
    )})
    assert sorted(removed_by(judged)) == sorted(removed)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-20T12:00:00", "2026-13-01T00:00:00Z", "9" * 60])
def test_a_time_without_zone_or_sense_is_refused(text: str) -> None:
    """A time that means two moments is no time."""
    with pytest.raises(ValidationError, match="not a time"):
        AccessPackageAssignment(id=ASSIGNMENT, access_package_id=PACKAGE, target_id=GUEST, start_date_time=text)


def test_times_are_written_as_graph_writes_them() -> None:
    """Whatever zone they came in."""
    assert as_time(moment("2026-11-20T13:00:00+01:00")) == "2026-11-20T12:00:00Z"


@pytest.mark.parametrize("tenant", [HOME, RESOURCE])
@pytest.mark.parametrize(("valid_from", "code"), [(NOW - 10, 0), (NOW - 9, 50173)])
def test_sessions_older_than_the_revocation_count_no_more(tenant: str, valid_from: int, code: int) -> None:
    """At home for every tenant, and in a visited tenant for that one."""
    directory = link(document())
    oid = ALEX if tenant == HOME else GUEST
    user = replace(directory.tenants[tenant].users[oid], sessions_valid_from=valid_from)
    changed = replace(directory.tenants[tenant], users={**directory.tenants[tenant].users, oid: user})
    directory = replace(directory, tenants={**directory.tenants, tenant: changed})
    session = SessionProof(NOW - 10, revoked=False, lifetime_s=1000)
    outcome = evaluate(SignInRequest(RESOURCE, DAEMON_CLIENT, APP, (HOME, ALEX), session, True), directory, NOW)
    assert (outcome.code if isinstance(outcome, Deny) else 0) == code
