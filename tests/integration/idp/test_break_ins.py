"""Ways in that were open once: each test goes the whole way of the attack and is refused where it used to pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.idp.factors import Authenticator, add_passkey
from tests.integration.idp.graph.admin import Admin, administrator, error, give_role
from tests.integration.idp.guests.people import DANA, DANA_MAIL, STRANGER, Scene
from tests.integration.idp.world import (
    ALEX,
    ALEX_F,
    ALEX_W,
    BOB,
    CONTOSO,
    FABRIKAM,
    PRIVATE_F,
    VAULT,
    WIKI_F,
    WOODGROVE,
    Clock,
    PageForm,
    World,
    answer,
    bearer,
    scope_of,
)
from tunneld.idp.guests.personal import personal_account
from tunneld.policy.directory import ACCESS_PANEL, ENROLMENT_API

EVIL, EVIL_PAGE = "evil@mail.example", "https://evil.example/cb"
APPLICATIONS, USERS = "/v1.0/applications", "/v1.0/users"
REVIEWS = "/v1.0/identityGovernance/accessReviews/definitions"


@pytest.fixture
async def scene(prepared: Path, tmp_path: Path, clock: Clock) -> AsyncIterator[Scene]:
    world = World.copy(prepared, tmp_path, clock)
    try:
        yield await Scene.open(world)
    finally:
        await world.close()


async def test_who_holds_a_role_is_not_invited_away_by_a_lesser_administrator(scene: Scene) -> None:
    bob = await administrator(scene.world, "User Administrator", oid=BOB)
    assert error(await scene.invite(EVIL, by=bob, invitedUser={"id": ALEX})) == (403, "Authorization_RequestDenied")
    user = scene.user(ALEX)
    assert user is not None
    assert user.password_hash
    assert not user.pending


async def test_a_guest_who_holds_a_role_is_reset_and_taken_out_by_global_administrators_alone(scene: Scene) -> None:
    guest = await scene.invited(STRANGER)
    await guest.redeem_by_mail()
    await give_role(scene.world, "Security Administrator", oid=guest.oid)
    bob = await administrator(scene.world, "User Administrator", oid=BOB)
    refused = await scene.invite(STRANGER, by=bob, invitedUser={"id": guest.oid}, resetRedemption=True)
    assert error(refused) == (403, "Authorization_RequestDenied")
    review = (await bob.send("POST", REVIEWS, {"displayName": "Guests", "inactiveDays": 1})).json()
    denied = [{**one, "decision": "Deny"} for one in review["decisions"]]
    assert (await bob.send("PATCH", f"{REVIEWS}/{review['id']}", {"decisions": denied})).status_code == 204
    refused = await bob.send("POST", f"{REVIEWS}/{review['id']}/applyDecisions")
    assert error(refused) == (403, "Authorization_RequestDenied")
    assert scene.user(guest.oid) is not None
    assert (await scene.admin.send("POST", f"{REVIEWS}/{review['id']}/applyDecisions")).status_code == 200
    assert scene.user(guest.oid) is None


@pytest.mark.parametrize("pages", [[], [EVIL_PAGE]])
async def test_the_id_of_another_client_is_taken(scene: Scene, pages: list[str]) -> None:
    assert scene.world.provider is not None
    before = scene.world.provider.directory.clients
    bob = await administrator(scene.world, "Application Administrator", oid=BOB)
    body = {"displayName": "x", "appId": ACCESS_PANEL, "redirectUris": pages}
    assert error(await bob.send("POST", APPLICATIONS, body)) == (409, "appIdTaken")
    made = (await bob.send("POST", APPLICATIONS, {"displayName": "x"})).json()
    moved = await bob.send("PATCH", f"{APPLICATIONS}/{made['id']}", {"appId": ACCESS_PANEL, "redirectUris": pages})
    assert error(moved) == (409, "appIdTaken")
    assert scene.world.provider.directory.clients == before


async def test_a_tenant_takes_no_client_from_another(scene: Scene) -> None:
    assert scene.world.provider is not None
    theirs = await administrator(scene.world, tenant=FABRIKAM, oid=DANA)
    body = {"displayName": "Theirs", "redirectUris": ["https://fabrikam.example/cb"]}
    client = (await theirs.send("POST", APPLICATIONS, body)).json()["id"]
    registered = scene.world.provider.directory.clients[client]
    body = {"displayName": "x", "appId": client}
    assert error(await scene.admin.send("POST", APPLICATIONS, body)) == (409, "appIdTaken")
    assert scene.world.provider.directory.clients[client] == registered


@pytest.mark.parametrize("of_the_document", [True, False])
async def test_an_owner_makes_no_other_application_their_own(scene: Scene, of_the_document: bool) -> None:
    secret = VAULT
    if not of_the_document:
        secret = (await scene.admin.send("POST", APPLICATIONS, {"displayName": "Secret"})).json()["id"]
    mine = (await scene.admin.send("POST", APPLICATIONS, {"displayName": "Bob's", "owners": [BOB]})).json()["id"]
    bob = scene.member(BOB)
    moved = await bob.send("PATCH", f"{APPLICATIONS}/{mine}", {"appId": secret, "assignments": {"users": [BOB]}})
    assert error(moved) == (409, "appIdTaken")
    signed_in = await scene.world.browser().sign_in("contoso", user="bob@contoso.example", scope=scope_of(secret))
    assert answer(signed_in)["error"] == "access_denied"
    assert (await bob.send("PATCH", f"{APPLICATIONS}/{mine}", {"appId": BOB})).status_code == 204
    assert (await scene.admin.send("PATCH", f"{APPLICATIONS}/{secret}", {"displayName": "Renamed"})).status_code == 204


async def registered(scene: Scene, audience: str = "AzureADMyOrg") -> str:
    """Register an application whose pages are the attacker's, as its owner could."""
    bob = await administrator(scene.world, "Application Administrator", oid=BOB)
    body = {"displayName": "Game", "redirectUris": [EVIL_PAGE], "signInAudience": audience}
    made = await bob.send("POST", APPLICATIONS, body)
    assert made.status_code == 201
    return str(made.json()["id"])


async def test_an_application_of_one_tenant_signs_nobody_in_at_another(scene: Scene) -> None:
    client = await registered(scene)
    browser = scene.world.browser()
    await browser.signed_in("fabrikam", user=DANA_MAIL)
    response = await browser.authorize("fabrikam", client_id=client, redirect_uri=EVIL_PAGE)
    assert "code=" not in response.headers.get("location", "")
    assert "AADSTS700016" in response.headers.get("location", response.text)


@pytest.mark.parametrize("audience", [ENROLMENT_API, WIKI_F, PRIVATE_F])
async def test_an_application_for_everybody_gets_no_keys_and_no_applications_elsewhere(
    scene: Scene, audience: str
) -> None:
    client = await registered(scene, "AzureADMultipleOrgs")
    browser = scene.world.browser()
    await browser.signed_in("fabrikam")
    scope = scope_of(audience)
    response = await browser.authorize("fabrikam", client_id=client, redirect_uri=EVIL_PAGE, scope=scope)
    assert "code=" not in response.headers.get("location", "")
    assert "AADSTS65001" in response.headers.get("location", response.text)


@pytest.mark.parametrize(("tenant", "oid", "user"), [
    (CONTOSO, ALEX, "alex@contoso.example"), (FABRIKAM, DANA, DANA_MAIL),
])
async def test_the_role_of_somebody_signed_in_stays_out_of_an_applications_reach(
    scene: Scene, tenant: str, oid: str, user: str
) -> None:
    if tenant == FABRIKAM:  # in Contoso Alex holds it already
        await give_role(scene.world, "Global Administrator", tenant=tenant, oid=oid)
    client = await registered(scene, "AzureADMultipleOrgs")
    browser = scene.world.browser()
    await browser.signed_in(tenant, user=user)
    location = (await browser.authorize(tenant, client_id=client, redirect_uri=EVIL_PAGE)).headers["location"]
    code = location.partition("code=")[2].partition("&")[0]
    tokens = await browser.redeem(tenant, code, client_id=client, redirect_uri=EVIL_PAGE)
    caller = Admin(browser.http, tokens.json()["access_token"])
    assert (await caller.send("GET", "/v1.0/me")).status_code == 200
    await scene.invite(STRANGER)
    assert (await caller.get("/v1.0/invitations"))["value"] == []
    invitation = {"invitedUserEmailAddress": EVIL, "inviteRedirectUrl": EVIL_PAGE}
    for path, body in ((USERS, {"displayName": "x"}), ("/v1.0/invitations", invitation)):
        assert error(await caller.send("POST", path, body)) == (403, "Authorization_RequestDenied")
    assert (await caller.send("GET", "/v1.0/auditLogs/signIns")).status_code == 403
    assert (await caller.send("POST", "/v1.0/me/getMemberGroups", {})).status_code == 200


async def test_members_are_named_as_the_api_names_them(scene: Scene) -> None:
    body = {"displayName": "x", "userPrincipalName": "x@contoso.example"}
    link = {"tenantId": FABRIKAM, "objectId": DANA}
    for more in ({"alternative_security_id": link}, {"external_user_state": "Accepted"}, {"password_hash": "x"}):
        assert error(await scene.admin.send("POST", USERS, body | more)) == (400, "BadRequest")
    change = {"kind": "crossTenantAccessPartner", "id": FABRIKAM, "body": {"b2b_direct_connect_inbound": None}}
    refused = await scene.admin.send("POST", "/v1.0/policies/apply", {"changes": [change]})
    assert error(refused) == (400, "BadRequest")


async def test_a_code_proves_the_address_that_it_was_sent_to_and_no_other(scene: Scene) -> None:
    guest = await scene.invited(EVIL)
    victim = "victim@gmail.example"
    assert (await scene.admin.send("PATCH", f"{USERS}/{guest.oid}", {"otherMails": [victim]})).status_code == 204
    await scene.set("emailAuthenticationMethod", "email", {"allowExternalIdToUseEmailOtp": "disabled"})
    browser = scene.world.browser()
    form = PageForm((await browser.authorize("contoso")).text)
    asked = form.fields | {"action": "personal_offer", "username": EVIL}
    form = PageForm((await browser.http.post(form.action, data=asked)).text)
    made = form.fields | {"action": "personal_create", "code": scene.code(EVIL), "new_password": "a long password"}
    await browser.http.post(form.action, data=made | {"username": victim})
    assert scene.world.provider is not None
    assert await personal_account(scene.world.provider, victim) is None
    await browser.http.post(form.action, data=made | {"username": EVIL})
    assert await personal_account(scene.world.provider, EVIL) is not None


async def test_another_address_of_a_guest_is_not_the_one_they_redeemed_with(scene: Scene) -> None:
    guest = await scene.invited(STRANGER)
    await guest.redeem_by_mail()
    assert (await scene.admin.send("PATCH", f"{USERS}/{guest.oid}", {"otherMails": [EVIL]})).status_code == 204
    browser = scene.world.browser()
    form = PageForm((await browser.authorize("contoso")).text)
    await browser.http.post(form.action, data=form.fields | {"action": "passcode_send", "username": EVIL})
    assert not scene.mails(EVIL)
    await browser.http.post(form.action, data=form.fields | {"action": "passcode_send", "username": STRANGER})
    assert len(scene.mails(STRANGER)) == 2


async def test_an_old_session_does_not_accept_in_the_place_of_the_new_address(scene: Scene, clock: Clock) -> None:
    guest = await scene.invited(STRANGER)
    browser, _ = await guest.redeem_by_mail()
    assert "My Apps" in (await browser.http.get("/contoso/myapps")).text
    clock.now += 5
    await scene.admin.send("PATCH", f"{USERS}/{guest.oid}", {"otherMails": [EVIL]})
    reset = await scene.invite(EVIL, invitedUser={"id": guest.oid}, resetRedemption=True)
    assert reset.status_code == 201
    page = PageForm((await browser.http.get("/contoso/myapps")).text)
    assert "consent" not in page.buttons
    assert "sign_in" in page.buttons


async def test_a_passkey_ends_where_somebody_is_invited_to_sign_in_elsewhere(scene: Scene) -> None:
    authenticator = Authenticator()
    await add_passkey(scene.world.browser(), authenticator, "bob@contoso.example")
    for expected in (True, False):
        person = scene.world.browser()
        page = await person.submit(await person.authorize("contoso"), "passkey")
        done = await person.submit(page, "passkey_sign_in", credential=authenticator.get(page))
        assert ("code=" in done.headers.get("location", "")) is expected
        await scene.invite(STRANGER, invitedUser={"id": BOB})
    assert "not recognized" in done.text


async def at_once(*requests: Coroutine[Any, Any, httpx.Response]) -> list[int]:
    """Send requests at the same time and return what each was answered."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(request) for request in requests]
    return [task.result().status_code for task in tasks]


async def test_disabling_and_signing_out_at_the_same_time_do_both(scene: Scene) -> None:
    path = f"{USERS}/{BOB}"
    assert await at_once(
        scene.admin.send("PATCH", path, {"accountEnabled": False}),
        scene.admin.send("POST", f"{path}/revokeSignInSessions"),
        scene.admin.send("PATCH", path, {"department": "Sales"}),
        scene.admin.send("POST", f"{path}/revokeSignInSessions"),
        scene.admin.send("PATCH", path, {"jobTitle": "Clerk"}),
    ) == [204, 200, 204, 200, 204]
    user = scene.user(BOB)
    assert user is not None
    assert (user.enabled, user.attributes["department"], user.attributes["jobTitle"]) == (False, "Sales", "Clerk")
    assert user.sessions_valid_from > 0


async def test_two_who_create_the_same_object_are_both_answered(scene: Scene) -> None:
    path = "/v1.0/policies/crossTenantAccessPolicy/partners"
    done = await at_once(*(scene.admin.send("POST", path, {"tenantId": FABRIKAM}) for _ in range(3)))
    assert sorted(done) == [201, 409, 409]


@pytest.mark.parametrize(("home", "oid"), [(CONTOSO, ALEX), (FABRIKAM, ALEX_F)])
async def test_a_token_from_before_a_revocation_is_no_good_at_the_api(
    scene: Scene, clock: Clock, home: str, oid: str
) -> None:
    old = Admin.mint(scene.world, home, oid)
    assert (await old.send("GET", "/v1.0/me")).status_code == 200
    clock.now += 5
    assert (await scene.admin.send("POST", f"{USERS}/{ALEX}/revokeSignInSessions")).status_code == 200
    assert error(await old.send("GET", "/v1.0/me")) == (401, "InvalidAuthenticationToken")
    clock.now += 5
    assert (await Admin.mint(scene.world, home, oid).send("GET", "/v1.0/me")).status_code == 200


async def test_a_tenant_without_a_domain_takes_no_name_of_anybody_else(scene: Scene) -> None:
    other = await administrator(scene.world, tenant=WOODGROVE, oid=ALEX_W)
    for name in ("boss@fabrikam.example", STRANGER):
        body = {"displayName": "x", "userPrincipalName": name, "passwordProfile": {"password": "a long password"}}
        assert error(await other.send("POST", USERS, body)) == (400, "domainNotVerified")
    body = {"displayName": "x", "userPrincipalName": "x@woodgrove.invalid"}
    assert (await other.send("POST", USERS, body)).status_code == 201
    guest = await scene.invited(STRANGER)
    assert guest.user.home is None


async def test_half_a_surrogate_pair_is_no_name_of_a_member(scene: Scene) -> None:
    actions = "/beta/roleManagement/directory/resourceNamespaces/microsoft.directory/resourceActions"
    path = f"{actions}/microsoft.directory-users-create"
    headers = bearer(scene.admin.token) | {"content-type": "application/json"}
    sent = await scene.admin.http.request("PATCH", path, content=rb'{"\ud800": 1}', headers=headers)
    assert error(sent) == (400, "BadRequest")


@pytest.mark.parametrize(("lists", "passes"), [
    (["contoso.example"], True), (["contoso.example", "tailspin.example"], False),
    (["tailspin.example", "contoso.example"], False),
])
async def test_a_second_list_of_tenants_opens_nothing(scene: Scene, lists: list[str], passes: bool) -> None:
    browser = scene.world.browser()
    await browser.signed_in("contoso")
    headers = [("restrict-access-to-tenants", one) for one in lists]
    response = await browser.http.get(
        "/contoso/oauth2/v2.0/authorize", params=browser.request(prompt="none"), headers=headers
    )
    assert ("code=" in response.headers["location"]) is passes


async def test_a_bound_token_is_no_bearer_token(scene: Scene) -> None:
    """It was taken without its key, which this API has no way to see."""
    stolen = Admin.mint(scene.world, cnf={"jkt": "J" * 43})
    assert error(await stolen.send("GET", "/v1.0/me")) == (401, "InvalidAuthenticationToken")


@pytest.mark.parametrize(("tenant", "leads_there"), [("contoso", True), ("fabrikam", False), ("common", False)])
async def test_a_sign_out_leads_to_no_other_tenants_application(
    scene: Scene, tenant: str, leads_there: bool
) -> None:
    await registered(scene, "AzureADMultipleOrgs")
    http = scene.world.browser().http
    response = await http.get(f"/{tenant}/oauth2/v2.0/logout", params={"post_logout_redirect_uri": EVIL_PAGE})
    assert (response.headers.get("location", "").startswith(EVIL_PAGE)) is leads_there
