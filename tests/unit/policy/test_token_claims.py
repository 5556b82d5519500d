"""What applications may ask for in their tokens, and what everybody gets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.policy.test_protocol_rules import HOME, INPUTS, RESOURCE, grant_of
from tunneld.policy.conditional_access.outcome import AccessVerdict
from tunneld.policy.directory import Application, Assignments, ExternalIdentity, Resource, ResourceKind, SignInWay
from tunneld.policy.facts import DeviceFacts, MethodUse, SessionFacts
from tunneld.policy.sign_in import Grant
from tunneld.policy.token_claims import MOCK_CLAIM, access_claims, id_claims
from tunneld.policy.token_shape import NO_PROPERTIES, TUNNEL_SHAPE, AppRole, TokenShape, shaped

APP = "eeeeeeee-0000-4000-8000-0000000000aa"


def for_application(grant: Grant, shape: TokenShape = TUNNEL_SHAPE, roles: tuple[AppRole, ...] = ()) -> Grant:
    """Return the grant with an application of that shape as its resource."""
    application = Application(APP, "App", Assignments(groups=frozenset({"g0"})), shape, roles)
    tenant = replace(grant.tenant, applications={APP: application})
    return replace(grant, tenant=tenant, resource=Resource(ResourceKind.APPLICATION, APP, "App", "user_impersonation"))


def optional(**claims: frozenset[str]) -> TokenShape:
    return shaped(claims, {}, None)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (TUNNEL_SHAPE, {}),
        (optional(auth_time=NO_PROPERTIES), {"auth_time": 900}),
        (optional(ipaddr=NO_PROPERTIES), {"ipaddr": "192.0.2.1"}),
        (optional(email=NO_PROPERTIES), {"email": "alex@home.example"}),
        (optional(upn=NO_PROPERTIES), {}),
        (optional(idtyp=NO_PROPERTIES), {}),
        (optional(idtyp=frozenset({"include_user_token"})), {"idtyp": "user"}),
        (optional(nonsense=NO_PROPERTIES), {}),
    ],
)
def test_optional_claims_of_a_guest(shape: TokenShape, expected: dict[str, Any]) -> None:
    """Only what the application asked for, and always what the edges read."""
    inputs = replace(INPUTS, authenticated_at=900, address="192.0.2.1", capabilities=("cp1",))
    claims = access_claims(for_application(grant_of(RESOURCE), shape), inputs)
    asked = {"auth_time", "ipaddr", "email", "upn", "idtyp", "nonsense"} & claims.keys()
    assert {name: claims[name] for name in asked} == expected
    assert (claims["acct"], claims["xms_cc"], claims["sid"]) == (1, ["cp1"], "sid")


@pytest.mark.parametrize(
    ("word", "mark"),
    [("include_externally_authenticated_upn", "#ext#"), ("include_externally_authenticated_upn_without_hash", "_ext_")],
)
def test_the_name_of_a_guest_object(word: str, mark: str) -> None:
    """With its property the name is there, with or without the reserved character."""
    grant = grant_of(RESOURCE)
    grant = replace(grant, user=replace(grant.user, upn="alex_home.example#ext#@resource.example"))
    claims = access_claims(for_application(grant, optional(upn=frozenset({word}))), INPUTS)
    assert claims["upn"] == f"alex_home.example{mark}@resource.example"


@pytest.mark.parametrize(
    ("groups", "present"),
    [("None", set()), ("SecurityGroup", {"groups"}), ("ApplicationGroup", {"groups"}), ("DirectoryRole", {"wids"}),
     ("All", {"groups", "wids"}), ("SecurityGroup, DirectoryRole", {"groups", "wids"})],
)
def test_memberships_by_setting(groups: str, present: set[str]) -> None:
    """Groups of the visited tenant, directory roles, or neither; ApplicationGroup lists assigned groups only."""
    grant = grant_of(HOME, 3)
    grant = replace(grant, user=replace(grant.user, roles=frozenset({"role-1"})))
    claims = access_claims(for_application(grant, shaped({}, {}, groups)), INPUTS)
    assert {"groups", "wids"} & claims.keys() == present
    if groups == "ApplicationGroup":
        assert claims["groups"] == ["g0"]


def test_roles_of_an_application() -> None:
    """A role is held directly or by a group; a disabled one by nobody."""
    grant = grant_of(HOME)
    roles = (AppRole("Reader", frozenset({grant.user.oid})), AppRole("Writer", frozenset({"nobody"})),
             AppRole("Off", frozenset({grant.user.oid}), enabled=False))
    assert access_claims(for_application(grant, roles=roles), INPUTS)["roles"] == ["Reader"]


def test_contexts_methods_and_devices() -> None:
    """`acrs` carries what policies published; the mock's claim says who proved what where."""
    facts = SessionFacts(
        home=(MethodUse("password", 5), MethodUse("softwareOath", 7)), device=DeviceFacts("d", HOME, compliant=True)
    )
    grant = replace(grant_of(RESOURCE), access=AccessVerdict(contexts=("c1", "c2")))
    claims = access_claims(grant, replace(INPUTS, facts=facts, continuous=True))
    mock: Any = claims[MOCK_CLAIM]
    assert (claims["acrs"], claims["xms_ssm"]) == (["c1", "c2"], "1")
    assert mock["mfa"] == {"at": "home", "methods": ["password", "softwareOath"], "time": 7}
    assert mock["device"] == {"id": "d", "tid": HOME, "compliant": True, "hybrid": False}
    alone: Any = access_claims(grant, replace(INPUTS, facts=SessionFacts(home=(MethodUse("password", 5),))))
    assert "mfa" not in alone[MOCK_CLAIM]


def test_a_guest_from_outside_names_their_provider() -> None:
    """`idp` is the provider; the name shown is the mail, since the object's name is of our making."""
    grant = grant_of(HOME)
    outside = ExternalIdentity(SignInWay.FEDERATION, "https://sts.partner.example", "s")
    user = replace(grant.user, external=outside, mail="gail@partner.example")
    claims = id_claims(replace(grant, user=user, home_user=user), INPUTS, None)
    assert (claims["idp"], claims["preferred_username"]) == ("https://sts.partner.example", "gail@partner.example")
