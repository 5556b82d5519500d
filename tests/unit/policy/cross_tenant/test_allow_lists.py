"""The lint of allow lists: which helper applications they forget, and what breaks then."""

from __future__ import annotations

import pytest

from tests.support.access_world import PRIVATE
from tunneld.policy.cross_tenant.effective import CLOSED, OPEN, AccessType, B2BSetting, Targets
from tunneld.policy.cross_tenant.matching import (
    APP_ACCESS_PANEL,
    RIGHTS_MANAGEMENT,
    TERMS_OF_USE,
    allow_list_gaps,
)

HELPERS = (RIGHTS_MANAGEMENT, APP_ACCESS_PANEL, TERMS_OF_USE)


def setting(access: AccessType, ids: tuple[str, ...], keywords: tuple[str, ...] = ()) -> B2BSetting:
    return B2BSetting(OPEN.users, Targets(access, False, frozenset(ids), keywords=frozenset(keywords)))


@pytest.mark.parametrize(
    ("checked", "missing"),
    [
        (OPEN, ()), (CLOSED, ()), (setting(AccessType.BLOCKED, (PRIVATE,)), ()),
        (setting(AccessType.ALLOWED, (PRIVATE, *HELPERS)), ()),
        (setting(AccessType.ALLOWED, (PRIVATE,), ("AllMicrosoftApps",)), ()),
        (setting(AccessType.ALLOWED, (PRIVATE,), ("Office365",)), HELPERS),
        (setting(AccessType.ALLOWED, (PRIVATE, TERMS_OF_USE)), HELPERS[:2]),
        (setting(AccessType.ALLOWED, (APP_ACCESS_PANEL,)), (RIGHTS_MANAGEMENT, TERMS_OF_USE)),
    ],
)
def test_gaps(checked: B2BSetting, missing: tuple[str, ...]) -> None:
    """Only an allow list of named applications can forget one."""
    found = allow_list_gaps(checked)
    assert tuple(line.partition(",")[0] for line in found) == missing
    assert all(len(line.partition(", ")[2]) > 20 for line in found)
