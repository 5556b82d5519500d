"""The directory document: every mistake is named with its place, and nothing half-read comes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.policy.documents import (
    ALEX,
    APP,
    BOB,
    CHANNEL,
    GUEST,
    HASH,
    HOME,
    PENDING,
    RESOURCE,
    STAFF,
    document,
    link,
    profile,
)
from tunneld.model.errors import DocumentError
from tunneld.policy.directory import DAEMON_CLIENT, DIRECTORY_API, ENROLMENT_API, Assignments, ResourceKind, User
from tunneld.policy.directory_document import read_directory

Change = Callable[[dict[str, Any]], object]


def user(raw: dict[str, Any], tenant: int, index: int) -> Any:
    return raw["tenants"][tenant]["users"][index]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda d: d.update(tenants=[]), "tenants"),
        (lambda d: d.update(nonsense=1), "nonsense"),
        (lambda d: d["tenants"][0].update(id="x"), "tenants[0].id"),
        (lambda d: d["tenants"][1].update(id=HOME), "tenants[1].id"),
        (lambda d: d["tenants"][1].update(name="Home"), "tenants[1].name"),
        (lambda d: d["tenants"][1].update(domains=["home.example"]), "tenants[1].domains[0]"),
        (lambda d: d["tenants"][0].update(token_lifetime=[9, 3]), "tenants[0].token_lifetime"),
        (lambda d: d["tenants"][0].update(token_lifetime=[1, 999999]), "tenants[0].token_lifetime[1]"),
        (lambda d: d["tenants"][0].update(channels={"x": CHANNEL}), "tenants[0].channels.x"),
        (lambda d: d["tenants"][0].update(channels={"private": CHANNEL, "internet": CHANNEL}), "tenants[0].channels"),
        (lambda d: d["tenants"][1].update(channels={"private": APP}), "tenants[1].channels.private"),
        (lambda d: user(d, 0, 1).update(oid=ALEX), "tenants[0].users[1].oid"),
        (lambda d: user(d, 0, 1).update(upn="alex@HOME.example"), "tenants[0].users[1].upn"),
        (lambda d: user(d, 0, 0).update(upn="alex@else.example"), "tenants[0].users[0].upn"),
        (lambda d: user(d, 0, 0).update(upn="alex"), "tenants[0].users[0].upn"),
        (lambda d: user(d, 0, 0).update(password_hash="secret"), "tenants[0].users[0].password_hash"),
        (lambda d: user(d, 0, 0).update(state="pending"), "tenants[0].users[0].state"),
        (lambda d: user(d, 0, 0).update(user_type="guest"), "tenants[0].users[0].home"),
        (lambda d: user(d, 0, 0).update(groups=["Staff"]), "tenants[0].users[0].groups[0]"),
        (lambda d: user(d, 0, 0).pop("password_hash"), "tenants[1].users[0].home.oid"),
        (lambda d: user(d, 1, 0).update(password_hash=HASH), "tenants[1].users[0].password_hash"),
        (lambda d: user(d, 1, 0)["home"].update(tenant="nowhere"), "tenants[1].users[0].home.tenant"),
        (lambda d: user(d, 1, 0)["home"].update(tenant="resource"), "tenants[1].users[0].home.tenant"),
        (lambda d: user(d, 1, 0)["home"].update(oid=GUEST), "tenants[1].users[0].home.oid"),
        (lambda d: user(d, 1, 1)["home"].update(oid=ALEX), "tenants[1].users[1].home"),
        (lambda d: d["tenants"][1]["applications"][1].update(id=APP), "tenants[1].applications[1].id"),
        (lambda d: d["tenants"][1]["applications"][1].update(id=DIRECTORY_API), "tenants[1].applications[1].id"),
        (lambda d: d["clients"][0].update(id=DAEMON_CLIENT), "clients[0].id"),
    ],
)
def test_mistakes_are_named_with_their_place(change: Change, path: str) -> None:
    """The message is one line with the file and the path inside it, and shows no hash."""
    raw = document()
    change(raw)
    with pytest.raises(DocumentError) as caught:
        link(raw)
    assert caught.value.path.startswith(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("d.json: ")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "line 1"), ('{"tenants":[],\n"tenants":[]}', "twice"), ("[" * 3, "not TOML"), ("tenants = 1", "tenants"),
        ('{"a":' * 100_000, "recursion"), ("x = 1\nx = 2\n", "line 2"), ("", "tenants: Field required"),
        (" " * 16_777_217, "larger"),
    ],
)
def test_broken_text(text: str, said: str) -> None:
    """Neither JSON nor TOML, or the wrong shape: the place where it broke is said."""
    with pytest.raises(DocumentError) as caught:
        read_directory(text, where="d.toml")
    assert said.lower() in str(caught.value).lower()


def test_count_of_further_mistakes_is_told() -> None:
    """The first mistake in full, the others as a number."""
    raw = document()
    raw["tenants"][0]["id"] = raw["tenants"][1]["id"] = "x"
    with pytest.raises(DocumentError, match="1 more problem"):
        link(raw)


def test_toml_and_json_give_the_same_directory() -> None:
    """Both forms of the example in the documentation's style are read alike."""
    text = f"""
    [[tenants]]
    id = "{HOME}"
    name = "home"
    display_name = "Home"
    domains = ["home.example"]
      [[tenants.users]]
      oid = "{ALEX}"
      upn = "alex@home.example"
      display_name = "Alex"
      password_hash = "{HASH}"
    """
    raw = {"tenants": [document()["tenants"][0] | {"users": document()["tenants"][0]["users"][:1]}]}
    assert read_directory(text, where="t") == read_directory(json.dumps(raw), where="j")


def test_resolution() -> None:
    """Tenants by any name, accounts by UPN, presence at home and abroad, resources by audience."""
    directory = link(document(), {RESOURCE: [profile(Assignments())]})
    resource, home = directory.tenants[RESOURCE], directory.tenants[HOME]
    assert directory.tenant("RESOURCE") is directory.tenant("resource.example") is directory.tenant(RESOURCE)
    assert directory.tenant("x") is None
    assert directory.account(" ALEX@home.example ") == (HOME, ALEX)
    assert directory.account("alex_home.example#ext#@resource.example") is None
    assert directory.user(("x", ALEX)) is None
    assert directory.home_realm("nobody@HOME.example") is home
    assert directory.home_realm("x@elsewhere.example") is None
    assert directory.presence(home, (HOME, ALEX)) == home.users[ALEX]
    assert directory.presence(home, (HOME, "x")) is None
    assert directory.presence(resource, (RESOURCE, GUEST)) is None
    assert directory.presence(resource, (HOME, ALEX)) == resource.users[GUEST]
    assert resource.users[PENDING].home is not None
    raw = document()
    third = {"id": STAFF, "name": "third", "display_name": "Third", "token_lifetime": [60, 90]}
    visit = {"oid": BOB, "upn": "a@third.example", "display_name": "A", "home": {"tenant": "home", "oid": ALEX}}
    raw["tenants"].append(third | {"users": [visit]})
    wider = link(raw)
    assert wider.presence(wider.tenants[STAFF], (HOME, ALEX)) == wider.tenants[STAFF].users[BOB]
    assert wider.tenants[STAFF].token_lifetime == (60, 90)
    kinds = {}
    for audience in (DIRECTORY_API, ENROLMENT_API, APP, CHANNEL):
        found = resource.resource(audience)
        assert found is not None
        kinds[audience] = found.kind
    assert kinds == {
        DIRECTORY_API: ResourceKind.DIRECTORY, ENROLMENT_API: ResourceKind.ENROLMENT, APP: ResourceKind.APPLICATION,
        CHANNEL: ResourceKind.CHANNEL,
    }
    assert resource.resource(HOME) is None
    assert "password" not in repr(home)


@pytest.mark.parametrize(
    ("assignments", "closeness"),
    [
        (Assignments(), None),
        (Assignments(users=frozenset({GUEST})), 0),
        (Assignments(users=frozenset({"alex_home.example#ext#@resource.example"})), 0),
        (Assignments(groups=frozenset({STAFF})), 1),
        (Assignments(groups=frozenset({"staff"})), 1),
        (Assignments(user_types=frozenset({"guest"})), 2),
        (Assignments(user_types=frozenset({"member"})), None),
        (Assignments(users=frozenset({GUEST}), user_types=frozenset({"member"})), None),
        (Assignments(users=frozenset({"x"}), user_types=frozenset({"guest"})), None),
        (Assignments(groups=frozenset({"x"}), user_types=frozenset({"guest"})), None),
        (Assignments(users=frozenset({GUEST}), groups=frozenset({STAFF})), 0),
    ],
)
def test_assignments(assignments: Assignments, closeness: int | None) -> None:
    """Users and groups name people, user types narrow; alone they name everybody of the type."""
    guest: User = link(document()).tenants[RESOURCE].users[GUEST]
    assert assignments.closeness(guest) == closeness
