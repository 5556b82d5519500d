"""Three tenants, one person of each kind, and policies from Graph bodies: the directory for tables about access."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tunneld.policy.directory import (
    DAEMON_CLIENT,
    Application,
    Assignments,
    Client,
    Directory,
    ExternalIdentity,
    ExternalState,
    SignInWay,
    Tenant,
    User,
    UserType,
)
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, ObjectRef
from tunneld.policy.overlay import put_objects
from tunneld.policy.sign_in import SessionProof, SignInRequest

Body = dict[str, Any]

HOME, RESOURCE, OWNER, OTHER = (f"{n}{n}{n}{n}{n}{n}{n}{n}-0000-4000-8000-000000000000" for n in (1, 2, 3, 4))
GUEST, MEMBER, PENDING, DISABLED, STRANGER = (f"aaaaaaaa-0000-4000-8000-00000000000{n}" for n in range(5))
OWN, PASSCODE, SOCIAL, PERSONAL, PENDING_PASSCODE = (f"bbbbbbbb-0000-4000-8000-00000000001{n}" for n in range(5))
STAFF, RESOURCE_STAFF, NOBODYS = (f"dddddddd-0000-4000-8000-00000000000{n}" for n in range(3))
PRIVATE, SUITE = "eeeeeeee-0000-4000-8000-000000000001", "00000003-0000-0ff1-ce00-000000000000"
UNKNOWN = "ffffffff-0000-4000-8000-000000000009"
HOME_PEOPLE = (GUEST, MEMBER, PENDING, DISABLED, STRANGER)
NOW = 1_000_000
SESSION = SessionProof(NOW - 10, revoked=False, lifetime_s=1000)

OUTSIDE = {
    PASSCODE: SignInWay.MAIL, SOCIAL: SignInWay.SOCIAL, PERSONAL: SignInWay.PERSONAL, PENDING_PASSCODE: SignInWay.MAIL,
}
STATES = {GUEST: "enabled", MEMBER: "enabled", PENDING: "pending", DISABLED: "disabled", STRANGER: None}
KIND_OF = {
    "policy": ("crossTenantAccessPolicy", "policy"), "default": ("crossTenantAccessDefault", "default"),
    "template": ("multiTenantOrganizationPartnerTemplate", "template"),
    "synchronizationTemplate": ("multiTenantOrganizationIdentitySyncTemplate", "template"),
}
_ALL = Assignments(user_types=frozenset({"guest", "member"}))


def guest_of(oid: str) -> str:
    """Return the id of the object in the resource tenant."""
    return oid.replace("aaaaaaaa", "cccccccc")


def _home_user(oid: str) -> User:
    name = f"user{oid[-1]}@home.example"
    return User(oid, name, name, UserType.MEMBER, True, (STAFF,), frozenset({STAFF, "staff"}), mail=name)


def _guest(oid: str) -> User:
    state = ExternalState.PENDING if STATES[oid] == "pending" else ExternalState.ACCEPTED
    kind = UserType.MEMBER if oid == MEMBER else UserType.GUEST
    name = f"user{oid[-1]}_home.example#EXT#@resource.example"
    return User(
        guest_of(oid), name, name, kind, STATES[oid] != "disabled", (RESOURCE_STAFF,),
        frozenset({RESOURCE_STAFF}), home=(HOME, oid), external_state=state, mail=f"user{oid[-1]}@home.example",
    )


def _outsider(oid: str) -> User:
    name = f"user{oid[-1]}@nowhere.example"
    state = ExternalState.PENDING if oid == PENDING_PASSCODE else ExternalState.ACCEPTED
    return User(
        oid, f"user{oid[-1]}_nowhere.example#EXT#@resource.example", name, UserType.GUEST, True, (), frozenset(),
        external=ExternalIdentity(OUTSIDE[oid], "mail", name), external_state=state,
    )


def _tenant(tenant_id: str, name: str, users: list[User]) -> Tenant:
    applications = {
        id_: Application(id_, id_, _ALL) for id_ in (PRIVATE, SUITE)
    } if tenant_id == RESOURCE else {}
    return Tenant(
        tenant_id, name, name.title(), (f"{name}.example",), {user.oid: user for user in users}, applications, (), {}
    )


def bare_directory() -> Directory:
    """Return the directory before anybody configured anything."""
    own = User(OWN, "own@resource.example", "Own", UserType.MEMBER, True, (RESOURCE_STAFF,), frozenset())
    guests = [_guest(oid) for oid, state in STATES.items() if state is not None]
    tenants = [
        _tenant(HOME, "home", [_home_user(oid) for oid in HOME_PEOPLE]),
        _tenant(RESOURCE, "resource", [own, *guests, *map(_outsider, OUTSIDE)]),
        _tenant(OWNER, "owner", []), _tenant(OTHER, "other", []),
    ]
    visits = {user.home: ((RESOURCE, user.oid),) for user in guests if user.home is not None}
    clients = {DAEMON_CLIENT: Client(DAEMON_CLIENT, "tunneld", (), trusted=True)}
    return Directory({tenant.id: tenant for tenant in tenants}, {}, clients, visits, {})


BARE = bare_directory()


def changes_of(tenants: Mapping[str, Body]) -> list[Change]:
    """Return the writes that put Graph bodies into tenants: policy, default, template, partners."""
    changes: list[Change] = []
    for tenant_id, bodies in tenants.items():
        for name, (kind, object_id) in KIND_OF.items():
            if bodies.get(name) is not None:
                changes.append(change(tenant_id, kind, object_id, bodies[name]))
        for partner, body in bodies.get("partners", {}).items():
            changes.append(change(tenant_id, "crossTenantAccessPartner", partner, {"tenantId": partner, **body}))
    return changes


def change(tenant_id: str, kind: str, object_id: str, body: Body) -> Change:
    """Return one write of a body, read as the API reads it."""
    model = KINDS[kind].model
    return Change(ObjectRef(tenant_id, kind, object_id), model.model_validate_json(json.dumps(body), strict=True))


def directory_of(tenants: Mapping[str, Body]) -> Directory:
    """Return the directory with policies and clouds, whatever the rules of saving would say of them."""
    placed = {
        id_: replace(tenant, cloud=tenants.get(id_, {}).get("cloud", tenant.cloud))
        for id_, tenant in BARE.tenants.items()
    }
    return put_objects(replace(BARE, tenants=placed), changes_of(tenants))


def attempt_of(oid: str, app: str, *, path: str = "b2bCollaboration", consented: bool = False) -> Body:
    """Return the attempt as the oracle reads it."""
    person: Body = {"oid": oid, "groups": [STAFF] if oid in HOME_PEOPLE else [], "tenant": HOME}
    state: str | None = STATES.get(oid, "enabled")
    own: Body = {"oid": guest_of(oid) if state else "", "groups": [RESOURCE_STAFF] if state else []}
    if oid == OWN:
        person = {"oid": OWN, "groups": [RESOURCE_STAFF], "tenant": RESOURCE}
        own = person
    elif oid in OUTSIDE:
        person = {"oid": oid, "groups": [], "tenant": RESOURCE, "outside": str(OUTSIDE[oid])}
        state, own = ("pending" if oid == PENDING_PASSCODE else "enabled"), person
    return {
        "person": person, "own": own, "tenant": RESOURCE, "app": app, "client": DAEMON_CLIENT,
        "private": app in (PRIVATE, SUITE), "path": path, "object": state, "consented": consented,
    }


def question_of(attempt: Body, **more: Any) -> SignInRequest:
    """Return the same attempt as the product reads it."""
    person = attempt["person"]
    return SignInRequest(
        attempt["tenant"], attempt["client"], attempt["app"], (person["tenant"], person["oid"]), SESSION,
        attempt["consented"], **more,
    )
