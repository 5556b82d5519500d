"""What the daemon says about itself, from the channels that are expected and no others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tunneld.client.demands import Demands
from tunneld.client.live import LiveState, TenantSession
from tunneld.client.ports import EdgeAddress
from tunneld.client.status import health, status, tenants
from tunneld.client.tenants import Tenant
from tunneld.forwarding.classifier import Classifier
from tunneld.journal.flows import FlowTable
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Channel

HOME = Tenant("t1", "contoso", "Contoso", "Member", home=True)
GUEST = Tenant("t2", "fabrikam", "Fabrikam", "Guest", home=False)


def tunnel(state: str, reason: Reason | None = None) -> Any:
    return SimpleNamespace(state=state, since=0.0, reason=reason, edge=EdgeAddress("127.0.0.1", 1, "t1.private.edge"))


def identity(signed_in: bool = True, expires: float | None = 100.0) -> Any:
    account = SimpleNamespace(username="alex@contoso.example") if signed_in else None
    credentials = SimpleNamespace(certificate_expires_at=expires, demands=Demands(lambda: 0.0))
    return SimpleNamespace(account=account, key_source="file", credentials=lambda _: credentials)


def discovery(*, guest: bool = True, refreshed: float | None = 5.0) -> Any:
    return SimpleNamespace(
        tenants=lambda: (HOME, GUEST), home=lambda: HOME, home_name="contoso",
        guest_access=guest, refreshed_at=refreshed,
    )


def live(home: bool = True, **channels: Any) -> LiveState:
    session = TenantSession(
        "contoso", "t1", 7, Classifier(None), None, {Channel(name): each for name, each in channels.items()},
        "contoso", home,
    )
    return LiveState(FlowTable(), session)


PROFILES: Any = SimpleNamespace(age_s=lambda _: 1.23456)


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ({}, "no_channels"),
        ({"private": tunnel("connected")}, "connected"),
        ({"private": tunnel("connected"), "internet": tunnel("unreachable")}, "degraded"),
        ({"private": tunnel("unauthenticated")}, "disconnected"),
    ],
)
def test_status_has_the_public_fields(channels: dict[str, Any], expected: str) -> None:
    answer = status(live(**channels), identity(), discovery(), PROFILES)
    assert {"state", "organization", "home", "tenant", "epoch", "channels", "flows", "profile"} <= answer.keys()
    assert (answer["state"], answer["tenant"], answer["home"], answer["epoch"]) == (expected, "contoso", "contoso", 7)
    assert answer["organization"] == "Contoso"  # as discovered meanwhile, not as guessed at the start
    for name in channels:
        assert {"state", "edge", "since"} <= answer["channels"][name].keys()
        assert answer["channels"][name]["since"] == "1970-01-01T00:00:00.000000Z"


def test_nobody_signed_in_is_a_state_of_its_own_and_home_is_what_the_settings_name() -> None:
    answer = status(LiveState(FlowTable()), identity(signed_in=False), discovery(), PROFILES)
    assert (answer["state"], answer["tenant"], answer["home"], answer["user"]) == ("signed_out", None, "contoso", None)


def test_tenants_say_which_is_active_and_how_old_the_knowledge_is() -> None:
    answer = tenants(live(), discovery(), 8.5)
    assert [(t["name"], t["active"]) for t in answer["tenants"]] == [("contoso", True), ("fabrikam", False)]
    assert answer["age_s"] == 3.5
    assert tenants(live(), discovery(refreshed=None), 8.5)["age_s"] is None


@pytest.mark.parametrize(
    ("state", "who", "failing"),
    [
        (LiveState(FlowTable()), identity(signed_in=False), ["signed_in"]),
        (live(), identity(), []),
        (live(home=False), identity(), ["profile"]),
        (live(private=tunnel("connected")), identity(), []),
        (live(private=tunnel("connected")), identity(expires=10.0), ["certificate"]),
        (live(private=tunnel("connected")), identity(expires=None), ["certificate"]),
        (live(private=tunnel("unreachable", Reason.EDGE_UNREACHABLE)), identity(), ["channel private"]),
    ],
)
def test_health_names_what_is_wrong(state: LiveState, who: Any, failing: list[str]) -> None:
    answer = health(state, who, 50.0)
    assert [check["check"] for check in answer["checks"] if not check["ok"]] == failing
    assert answer["healthy"] is (not failing)
