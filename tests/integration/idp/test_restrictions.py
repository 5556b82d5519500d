"""What an edge may ask about a token that arrives from a network with a policy: the sign-in's check, once more."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.idp.graph.admin import PARTNERS, Admin
from tests.integration.idp.guests.people import STRANGER, Scene, document
from tests.integration.idp.world import (
    ALEX,
    ALEX_F,
    BOB,
    CONTOSO,
    FABRIKAM,
    STAFF,
    TAILSPIN,
    WIKI_F,
    WOODGROVE,
    Browser,
    Clock,
    World,
    answer,
    bearer,
    password_hash,
    scope_of,
)
from tests.support.access_oracle import everything
from tunneld.idp.guests.personal import create_personal_account
from tunneld.model.reasons import Reason
from tunneld.policy.cross_tenant.effective import policy_id
from tunneld.policy.directory import DAEMON_CLIENT
from tunneld.policy.facts import AccessPath

OLGA, OLGA_F = "aaaaaaaa-0000-4000-8000-000000000021", "bbbbbbbb-0000-4000-8000-000000000021"
NOBODY = "ffffffff-0000-4000-8000-0000000000ff"
PORTAL, DESK = "eeeeeeee-0000-4000-8000-000000000021", "eeeeeeee-0000-4000-8000-000000000022"
POLICY = f"{TAILSPIN}:{policy_id(TAILSPIN)}"
OPEN, SHUT = everything("allowed"), everything("blocked")
DEFAULT = "/v1.0/policies/crossTenantAccessPolicy/default"
Body = dict[str, Any]


def people(access: str, *ids: str, kind: str = "user") -> Body:
    return {**OPEN, "usersAndGroups": {
        "accessType": access, "targets": [{"target": each, "targetType": kind} for each in ids],
    }}


def applications(access: str, *ids: str) -> Body:
    return {**OPEN, "applications": {
        "accessType": access, "targets": [{"target": each, "targetType": "application"} for each in ids],
    }}


class Network:
    """A network of Tailspin, whose administrator is Olga; on it, people of Contoso who visit Fabrikam."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.world = scene.world
        self.owner = Admin.mint(scene.world, TAILSPIN, OLGA)

    async def rule(self, tenant: str, rule: Body | None) -> None:
        """Say in the owner's tenant what is restricted in an external one."""
        saved = await self.owner.send("PATCH", f"{PARTNERS}/{tenant}", {"tenantRestrictions": rule})
        assert saved.status_code == 204, saved.text

    async def token(self, user: str = "alex@contoso.example", tenant: str = "fabrikam", app: str = WIKI_F) -> str:
        tokens = await self.world.browser().signed_in(tenant, user=user, scope=scope_of(app))
        return str(tokens["access_token"])

    async def ask(self, token: str, policy: str = POLICY, tenant: str = FABRIKAM) -> Reason | None:
        """Return the reason of a no; None is a yes. Nothing else is ever said."""
        response = await self.world.browser().http.post(
            f"/{tenant}/tunnel/v1/restrictions", json={"policy": policy}, headers=bearer(token)
        )
        assert response.status_code == 200, response.text
        said = response.json()
        assert said.keys() == {"permitted", "reason"}
        assert said["permitted"] is (said["reason"] is None)
        return None if said["permitted"] else Reason(said["reason"])


@pytest.fixture
async def network(prepared: Path, tmp_path: Path, clock: Clock) -> AsyncIterator[Network]:
    world = World.copy(prepared, tmp_path, clock)
    value = document()
    _, fabrikam, _, tailspin = value["tenants"]
    tailspin["users"] = [
        {"oid": OLGA, "upn": "olga@tailspin.example", "display_name": "Olga", "password_hash": password_hash(),
         "roles": ["Global Administrator"]},
    ]
    tailspin["applications"] = [{"id": DESK, "name": "Desk", "assignments": {"user_types": ["member", "guest"]}}]
    fabrikam["users"].append({
        "oid": OLGA_F, "upn": "olga_tailspin.example#EXT#@fabrikam.example", "display_name": "Olga (guest)",
        "user_type": "guest", "home": {"tenant": "tailspin", "oid": OLGA},
    })
    everybody = {"user_types": ["member", "guest"]}
    fabrikam["applications"].append({"id": PORTAL, "name": "Portal", "assignments": everybody})
    try:
        yield Network(await Scene.open(world, value))
    finally:
        await world.close()


BOTH: dict[str, Body | None] = {CONTOSO: OPEN, FABRIKAM: OPEN}
RULES: list[tuple[dict[str, Body | None], bool]] = [
    ({}, False),  # the service's default is to block
    (BOTH, True),
    # either tenant's rule refuses, the account's home's as well as the visited one's
    ({CONTOSO: OPEN}, False),
    ({FABRIKAM: OPEN}, False),
    ({**BOTH, CONTOSO: SHUT}, False),
    ({**BOTH, FABRIKAM: SHUT}, False),
    ({**BOTH, WOODGROVE: SHUT}, True),
    # people, by the id of each tenant: the account's at home, the object's where it visits
    ({CONTOSO: people("allowed", ALEX), FABRIKAM: people("allowed", ALEX_F)}, True),
    ({CONTOSO: people("allowed", BOB), FABRIKAM: OPEN}, False),
    ({CONTOSO: people("blocked", ALEX), FABRIKAM: OPEN}, False),
    ({CONTOSO: people("blocked", BOB), FABRIKAM: OPEN}, True),
    ({CONTOSO: OPEN, FABRIKAM: people("blocked", ALEX_F)}, False),
    ({CONTOSO: OPEN, FABRIKAM: people("blocked", ALEX)}, True),
    # groups: those at home that the token knows nothing about
    ({CONTOSO: people("blocked", STAFF, kind="group"), FABRIKAM: OPEN}, False),
    ({CONTOSO: people("allowed", STAFF, kind="group"), FABRIKAM: OPEN}, True),
    ({CONTOSO: OPEN, FABRIKAM: people("blocked", STAFF, kind="group")}, True),
    # applications: the one that the token is for, and the program that has it
    ({**BOTH, FABRIKAM: applications("allowed", WIKI_F)}, True),
    ({**BOTH, FABRIKAM: applications("allowed", PORTAL)}, False),
    ({**BOTH, FABRIKAM: applications("blocked", WIKI_F)}, False),
    ({**BOTH, CONTOSO: applications("blocked", WIKI_F)}, False),
    ({**BOTH, FABRIKAM: applications("blocked", DAEMON_CLIENT)}, False),
]


async def test_the_owners_rules_about_a_guest(network: Network) -> None:
    """One token, and an answer that changes with the policy: a change acts on the next question."""
    token = await network.token()
    for rules, permitted in RULES:
        for tenant in (CONTOSO, FABRIKAM, WOODGROVE):
            await network.rule(tenant, rules.get(tenant))
        found = await network.ask(token)
        assert found == (None if permitted else Reason.TENANT_RESTRICTED), rules


async def test_the_owners_default_is_for_tenants_that_it_does_not_list(network: Network) -> None:
    """And a partner's own rule counts before it."""
    token = await network.token()
    opened = await network.owner.send("PATCH", DEFAULT, {"tenantRestrictions": OPEN})
    assert opened.status_code == 204, opened.text
    assert await network.ask(token) is None
    await network.rule(CONTOSO, SHUT)
    assert await network.ask(token) is Reason.TENANT_RESTRICTED


async def test_a_members_token_meets_one_rule(network: Network) -> None:
    """The account is at home where it is used: the other tenant's rule is not about it."""
    tokens = await network.world.browser().signed_in("contoso")
    for rules, permitted in (({CONTOSO: OPEN, FABRIKAM: SHUT}, True), ({CONTOSO: SHUT, FABRIKAM: OPEN}, False)):
        for tenant, rule in rules.items():
            await network.rule(tenant, rule)
        found = await network.ask(tokens["access_token"], tenant=CONTOSO)
        assert found == (None if permitted else Reason.TENANT_RESTRICTED)


async def test_what_is_the_owners_own_is_not_restricted(network: Network) -> None:
    """Its accounts wherever they go, and its own tenant for whoever is let in there."""
    olga = "olga@tailspin.example"
    assert await network.ask(await network.token(olga, app=PORTAL)) is None
    assert await network.ask(await network.token(olga, "tailspin", DESK), tenant=TAILSPIN) is None


async def test_a_guest_by_mail_or_with_a_personal_account(network: Network) -> None:
    """Somebody from outside all tenants meets the rule of the tenant where their object is."""
    scene = network.scene
    guest = await scene.invited(STRANGER)
    browser, _ = await guest.redeem_by_mail()
    tokens = [await _token_of_session(browser)]
    assert scene.world.provider is not None
    await scene.set("emailAuthenticationMethod", "email", {"allowExternalIdToUseEmailOtp": "disabled"})
    assert await create_personal_account(scene.world.provider, "pat@mail.example", "a good password")
    personal = await scene.invited("pat@mail.example")
    browser, page = await personal.open()
    page = await browser.submit(page, "personal_sign_in", password="a good password")
    await browser.submit(page, "consent")
    tokens.append(await _token_of_session(browser))
    await scene.set("emailAuthenticationMethod", "email", {"allowExternalIdToUseEmailOtp": "enabled"})
    for token, oid in zip(tokens, (guest.oid, personal.oid), strict=True):
        for rule, permitted in (
            (None, False), (OPEN, True), (SHUT, False), (people("blocked", oid), False), (people("allowed", oid), True),
            (people("allowed", ALEX), False),
        ):
            await network.rule(CONTOSO, rule)
            found = await network.ask(token, tenant=CONTOSO)
            assert found == (None if permitted else Reason.TENANT_RESTRICTED), rule


async def _token_of_session(browser: Browser) -> str:
    response = await browser.redeem("contoso", answer(await browser.authorize("contoso"))["code"])
    return str(response.json()["access_token"])


async def test_a_visitor_without_an_object(network: Network) -> None:
    """Direct connect: at home Bob is known, in the visited tenant nobody is, so only lists of everybody hit."""
    direct = {"b2bDirectConnectInbound": OPEN, "b2bDirectConnectOutbound": OPEN}
    for tenant, partner in ((CONTOSO, FABRIKAM), (FABRIKAM, CONTOSO)):
        await network.scene.set("crossTenantAccessPartner", partner, {"tenantId": partner, **direct}, tenant)
    token = await network.token("bob@contoso.example", app=PORTAL)
    record = network.world.lines("sign-ins.jsonl")[-1]
    assert record["crossTenantAccessType"] == str(AccessPath.DIRECT_CONNECT)
    for rules, permitted in (
        ({}, False), (BOTH, True), ({**BOTH, CONTOSO: people("blocked", BOB)}, False),
        ({**BOTH, FABRIKAM: people("allowed", BOB)}, False), ({**BOTH, FABRIKAM: SHUT}, False),
    ):
        for tenant in (CONTOSO, FABRIKAM):
            await network.rule(tenant, rules.get(tenant))
        found = await network.ask(token)
        assert found == (None if permitted else Reason.TENANT_RESTRICTED), rules


async def test_an_account_that_is_gone_is_refused(network: Network) -> None:
    """Nobody can say any more whether it was on a list, so a list of people must not let it through."""
    token = await network.token()
    await network.rule(CONTOSO, people("blocked", BOB))
    await network.rule(FABRIKAM, OPEN)
    assert await network.ask(token) is None
    gone = await network.scene.admin.send("DELETE", f"/v1.0/users/{ALEX}")
    assert gone.status_code == 204, gone.text
    assert await network.ask(token) is Reason.TENANT_RESTRICTED


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (f"{TAILSPIN}:{policy_id(FABRIKAM)}", Reason.TENANT_RESTRICTED),
        (f"{NOBODY}:{policy_id(NOBODY)}", Reason.TENANT_RESTRICTED),
        (f" {POLICY.upper()} ", None),
        ("", Reason.MALFORMED_REQUEST),
        (TAILSPIN, Reason.MALFORMED_REQUEST),
        (f"{POLICY},{POLICY}", Reason.MALFORMED_REQUEST),
        (f"{POLICY}\n", None),
        (f"{POLICY}\0", Reason.MALFORMED_REQUEST),
        ("restrict-msa", None),  # version 1's word: this account is no personal one
    ],
)
async def test_which_policies_there_are(network: Network, policy: str, reason: Reason | None) -> None:
    """What names no policy refuses everybody, whatever the owner allows."""
    token = await network.token()
    for tenant in (CONTOSO, FABRIKAM):
        await network.rule(tenant, OPEN)
    assert await network.ask(token, policy) is reason


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"null", 400), (b"[]", 400), (b'"x"', 400), (b"{", 400), (b"\xff{}", 400), (b"{}", 400),
        (b'{"policy": null}', 400), (b'{"policy": 5}', 400), (b'{"policy": ["' + POLICY.encode() + b'"]}', 400),
        (b'{"policy": "' + b"x" * 257 + b'"}', 400),
        (b'{"policy": "\\ud800' + b"x" * 256 + b'"}', 400), (b"[" * 60_000, 400), (b'{"policy":' * 6_000, 400),
        (b'{"policy": "x", "policy": "' + POLICY.encode() + b'"}', 400),
        (b'{"policy": "' + b"x" * 65_536 + b'"}', 413),
    ],
)
async def test_bodies(network: Network, body: bytes, status: int) -> None:
    """A sentence, and no verdict."""
    refused = await network.world.browser().http.post(
        f"/{CONTOSO}/tunnel/v1/restrictions", content=body, headers=bearer(Admin.mint(network.world).token)
    )
    assert refused.status_code == status, refused.text
    assert "permitted" not in refused.text


async def test_only_a_tenants_own_access_tokens_are_judged(network: Network) -> None:
    """Nobody's, another tenant's, an ID token, one past its time, and one that was changed."""
    http = network.world.browser().http
    tokens = await network.world.browser().signed_in("fabrikam", scope=f"openid {scope_of(WIKI_F)}")
    good = tokens["access_token"]
    assert await network.ask(good) is Reason.TENANT_RESTRICTED  # judged
    place = f"/{FABRIKAM}/tunnel/v1/restrictions"
    cases: list[tuple[str, dict[str, str], int]] = [
        (place, {}, 401), (place, {"authorization": f"Basic {good}"}, 401), (place, bearer("x"), 401),
        (place, bearer(good[:-4] + "AAAA"), 401), (place, bearer(tokens["id_token"]), 401),
        (f"/{CONTOSO}/tunnel/v1/restrictions", bearer(good), 403),
        (f"/{NOBODY}/tunnel/v1/restrictions", bearer(good), 403),
    ]
    for path, headers, status in cases:
        refused = await http.post(path, json={"policy": POLICY}, headers=headers)
        assert (refused.status_code, "permitted" in refused.text) == (status, False), (path, headers)
    network.world.clock.now += 6000
    late = await http.post(place, content=json.dumps({"policy": POLICY}), headers=bearer(good))
    assert late.status_code == 401
