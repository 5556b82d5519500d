"""How many flows may be open."""

from __future__ import annotations

import pytest

from tunneld.edge.caps import Caps
from tunneld.edge.settings import LimitsSection
from tunneld.model.reasons import Reason

LIMITS = LimitsSection(flows=4, flows_per_user=3, flows_per_application=2)


@pytest.mark.parametrize(
    "taken",
    [
        [("a", "x"), ("b", "x")],
        [("u", None), ("u", "y"), ("u", "z")],
        [("a", None), ("b", None), ("c", None), ("d", None)],
    ],
    ids=["application", "user", "everybody"],
)
def test_each_cap_refuses_the_next_flow_and_a_release_makes_room(taken: list[tuple[str, str | None]]) -> None:
    """The cap of the application, of the user and of all: one more is refused, and changes no count."""
    caps = Caps(LIMITS)
    for user, application in taken:
        assert caps.take(user, application) is None
    assert caps.take("u", "x") is Reason.TOO_MANY_FLOWS
    assert caps.open == len(taken)
    caps.release(*taken[0])
    assert caps.take("u", "x") is None


def test_counts_return_to_nothing() -> None:
    """After the last release nothing is remembered of anybody."""
    caps = Caps(LIMITS)
    flows = [("u", "x"), ("u", None), ("v", "x")]
    for flow in flows:
        assert caps.take(*flow) is None
    for flow in flows:
        caps.release(*flow)
    assert (caps.open, caps._of_user, caps._to_application) == (0, {}, {})
    assert caps.take("u", "x") is None
