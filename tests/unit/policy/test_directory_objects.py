"""Users, groups and applications as objects: what they do to the directory, and what is refused."""

from __future__ import annotations

import json
import time
from operator import attrgetter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integration.idp.world import ALEX, ALEX_F, BOB, CONTOSO, EVE, FABRIKAM, STAFF, VAULT, WIKI, directory
from tunneld.model.errors import DocumentError
from tunneld.policy.directory import DAEMON_CLIENT, Directory
from tunneld.policy.directory_document import read_directory
from tunneld.policy.directory_links import link_directory
from tunneld.policy.group_object import groups_of
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, Conflict, ObjectRef
from tunneld.policy.overlay import change_directory, put_objects
from tunneld.policy.views import view, view_all

NEW = "99999999-0000-4000-8000-000000000001"
OTHER = "99999999-0000-4000-8000-000000000002"


def linked(document: dict[str, Any]) -> Directory:
    return link_directory(read_directory(json.dumps(document), where="d"), {}, where="d")


BASE = linked(directory())


def change(kind: str, key: str, tenant: str = CONTOSO, base: Directory = BASE, **members: Any) -> Change:
    present = view(base, tenant, kind, key)
    body = {**(present.stored() if present else {"id": key}), **members}
    return Change(ObjectRef(tenant, kind, key), KINDS[kind].model.model_validate(body))


def after(*changes: Change, base: Directory = BASE) -> Directory:
    result = change_directory(base, changes)
    assert isinstance(result, Directory), result
    return result


@pytest.mark.parametrize("tenant", [CONTOSO, FABRIKAM])
@pytest.mark.parametrize("kind", ["user", "group", "application"])
def test_storing_what_the_document_says_changes_nothing(kind: str, tenant: str) -> None:
    """The view of an object that only the document has, written back: every decision stays as it was."""
    changes = [Change(ObjectRef(tenant, kind, one.to_json()["id"]), one) for one in view_all(BASE, tenant, kind)]
    stored = after(*changes)
    before, now = BASE.tenants[tenant], stored.tenants[tenant]
    decisive = attrgetter("groups", "group_keys", "home", "password_hash", "enabled", "upn", "external_state", "roles")
    assert {oid: decisive(user) for oid, user in now.users.items()} == {
        oid: decisive(user) for oid, user in before.users.items()
    }
    assert now.groups == before.groups
    assert {key: (one.name, one.assignments, one.shape) for key, one in now.applications.items()} == {
        key: (one.name, one.assignments, one.shape) for key, one in before.applications.items()
    }
    assert (stored.accounts, stored.clients) == (BASE.accounts, BASE.clients)
    assert {key: set(places) for key, places in stored.visits.items()} == {
        key: set(places) for key, places in BASE.visits.items()
    }


def test_no_secret_is_shown() -> None:
    shown = view(BASE, CONTOSO, "user", ALEX)
    assert shown is not None
    assert "scrypt" in json.dumps(shown.stored())
    assert "scrypt" not in json.dumps(shown.to_json())
    assert not shown.hidden_members() & shown.to_json().keys()


def test_indexes_follow_a_user() -> None:
    renamed = after(change("user", BOB, userPrincipalName="Robert@contoso.example"))
    assert (renamed.account("robert@contoso.example"), renamed.account("bob@contoso.example")) == ((CONTOSO, BOB), None)
    gone = after(Change(ObjectRef(FABRIKAM, "user", ALEX_F), None))
    assert (CONTOSO, ALEX) in BASE.visits
    assert gone.presence(gone.tenants[FABRIKAM], (CONTOSO, ALEX)) is None
    link = {"tenantId": CONTOSO, "objectId": BOB}
    guest = after(change("user", NEW, FABRIKAM, userPrincipalName="bob_contoso.example#EXT#@fabrikam.example",
                         displayName="Bob", userType="Guest", alternativeSecurityId=link))
    found = guest.presence(guest.tenants[FABRIKAM], (CONTOSO, BOB))
    assert found is not None
    assert found.oid == NEW


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ([change("user", BOB, userPrincipalName="ALEX@contoso.example")], "userPrincipalNameTaken"),
        ([change("user", BOB, userPrincipalName="bob@elsewhere.example")], "domainNotVerified"),
        ([change("user", BOB, alternativeSecurityId={"tenantId": CONTOSO, "objectId": ALEX})], "homeIsHere"),
        ([change("user", NEW, FABRIKAM, userPrincipalName="x@fabrikam.example", displayName="X",
                 alternativeSecurityId={"tenantId": CONTOSO, "objectId": ALEX})], "accountKnown"),
        ([change("user", NEW, FABRIKAM, userPrincipalName="x@fabrikam.example", displayName="X",
                 alternativeSecurityId={"tenantId": CONTOSO, "objectId": NEW})], "unknownHome"),
        ([change("group", STAFF, members=[OTHER])], "unknownMember"),
        ([change("group", STAFF, members=[STAFF])], "memberOfItself"),
        ([change("group", NEW, displayName="STAFF")], "displayNameTaken"),
        ([change("group", ALEX, displayName="Users")], "idTaken"),
        ([change("application", NEW, displayName="X", appId=DAEMON_CLIENT)], "appIdTaken"),
        ([change("application", NEW, displayName="X", owners=[OTHER])], "unknownOwner"),
        ([change("application", NEW, displayName="X",
                 appRoleAssignments=[{"principalId": ALEX, "appRoleId": OTHER}])], "unknownRole"),
        ([change("application", NEW, displayName="X",
                 appRoleAssignments=[{"principalId": OTHER}])], "unknownPrincipal"),
    ],
)
def test_contradictions_are_refused_by_name(changes: list[Change], rule: str) -> None:
    result = change_directory(BASE, changes)
    assert isinstance(result, Conflict)
    assert result.rule == rule
    assert result.message


_GROUPS = [f"dddddddd-0000-4000-8000-00000000001{n}" for n in range(4)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(_GROUPS), st.one_of(
    st.none(), st.frozensets(st.sampled_from([*_GROUPS, ALEX, BOB, EVE]), max_size=5),
)), max_size=8))
def test_memberships_are_those_of_the_groups_whatever_was_written(
    writes: list[tuple[str, frozenset[str] | None]],
) -> None:
    """One write after another leaves what the groups say when they are asked from scratch, cycles included."""
    now = BASE
    for group, members in writes:
        value = Change(ObjectRef(CONTOSO, "group", group), None)
        if members is not None:
            value = change("group", group, displayName=group[-4:], members=sorted(members - {group}))
        now = put_objects(now, [value])
    tenant = now.tenants[CONTOSO]
    for user in tenant.users.values():
        assert user.groups == groups_of(user.oid, tenant.groups)
        assert user.group_keys == {*user.groups, *(tenant.groups[one].name.lower() for one in user.groups)}
    stored = [Change(ObjectRef(CONTOSO, "group", key), value) for key, value in tenant.objects.get("group", {}).items()]
    assert put_objects(BASE, stored).tenants[CONTOSO].users == tenant.users


def test_an_application_is_audience_and_client() -> None:
    role = {"id": OTHER, "value": "Reader", "displayName": "Reader"}
    made = after(change(
        "application", NEW, displayName="New", appRoles=[role], redirectUris=["https://new.example/callback"],
        appRoleAssignments=[{"principalId": STAFF, "appRoleId": OTHER}],
        optionalClaims={"accessToken": [{"name": "ipaddr"}]}, groupMembershipClaims="All",
    ))
    application = made.tenants[CONTOSO].applications[NEW]
    assert application.assignments.closeness(made.tenants[CONTOSO].users[ALEX]) == 1
    assert application.assignments.closeness(made.tenants[CONTOSO].users[BOB]) is None
    assert (application.roles[0].value, application.roles[0].holders) == ("Reader", {STAFF})
    assert "ipaddr" in application.shape.access
    assert made.clients[NEW].redirect_uris == ("https://new.example/callback",)
    gone = after(Change(ObjectRef(CONTOSO, "application", NEW), None), base=made)
    assert NEW not in gone.clients
    assert gone.tenants[CONTOSO].applications.keys() == {WIKI, VAULT}


def test_a_seed_names_its_place() -> None:
    document = directory()
    document["tenants"][1]["objects"] = {"group": [{"id": NEW, "displayName": "G", "members": [OTHER]}]}
    with pytest.raises(DocumentError) as caught:
        linked(document)
    assert "tenants[1].objects.group[0].members" in str(caught.value)
    document["tenants"][1]["objects"] = {"group": [{"id": NEW, "displayname": "G"}]}
    with pytest.raises(DocumentError, match=r"tenants\[1\]\.objects\.group\[0\]\.displayName"):
        linked(document)
    document["tenants"][1]["objects"] = {"grup": []}
    with pytest.raises(DocumentError, match="no such kind"):
        linked(document)


def test_roles_and_mail_come_from_the_document() -> None:
    document = directory()
    document["tenants"][0]["users"][1] |= {
        "roles": ["Global Administrator"], "mail": "bob@mail.example", "attributes": {"department": "Sales"}}
    user = linked(document).tenants[CONTOSO].users[BOB]
    assert (len(user.roles), user.mail, user.attributes) == (1, "bob@mail.example", {"department": "Sales"})
    document["tenants"][0]["users"][1]["roles"] = ["Emperor"]
    with pytest.raises(DocumentError, match=r"roles\[0\]"):
        linked(document)


def test_one_user_among_fifty_thousand_is_written_within_the_time_of_a_frame() -> None:
    document = directory()
    document["tenants"][0]["users"] += [
        {"oid": f"aaaaaaaa-1111-4000-8000-{n:012}", "upn": f"u{n}@contoso.example", "display_name": f"U {n}",
         "groups": ["staff"]} for n in range(50_000)
    ]
    large = linked(document)
    wanted = change("user", BOB, base=large, displayName="Robert")
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        after(wanted, base=large)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.06, times  # the goal is 20 ms; CI's machines are slower and shared
    print(f"put of one user: {min(times) * 1000:.1f} ms")
