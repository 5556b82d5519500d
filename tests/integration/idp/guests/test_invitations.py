"""POST /invitations: who may, what is refused and by which gate, what is mailed and what is put on record."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.idp.graph.admin import Admin, give_role
from tests.integration.idp.guests.people import (
    ALEX,
    APPS,
    BOB,
    CONTOSO,
    DANA_MAIL,
    EMIL_MAIL,
    FABRIKAM,
    INVITATIONS,
    STRANGER,
    Scene,
    text,
)
from tests.integration.idp.world import EVE, VAULT, WIKI, PageForm

LISTS = "invitationsAllowedAndBlockedDomainsPolicy"
BLOCKED = {
    "usersAndGroups": {"accessType": "blocked", "targets": [{"target": "AllUsers", "targetType": "user"}]},
    "applications": {
        "accessType": "blocked", "targets": [{"target": "AllApplications", "targetType": "application"}],
    },
}


def code(response: Any) -> str:
    return str(response.json()["error"]["code"])


async def test_what_an_invitation_puts_on_record(scene: Scene) -> None:
    before = len(scene.activities())
    guest = await scene.invited(STRANGER, invitedUserDisplayName="Sam", sendInvitationMessage=True)
    assert scene.activities(before) == [
        ("Invite external user", "success"), ("Add user", "success"), ("Add user sponsor", "success"),
        ("Invitation Email", "success"),
    ]
    user = await scene.admin.get(f"/v1.0/users/{guest.oid}")
    assert (user["displayName"], user["mail"], user["userType"]) == ("Sam", STRANGER, "Guest")
    assert (user["externalUserState"], user["creationType"]) == ("PendingAcceptance", "Invitation")
    assert user["sponsors"] == [ALEX]
    assert user["externalUserStateChangeDateTime"]


async def test_the_mail(scene: Scene) -> None:
    """Nothing of a message begins another header; the link is in it and the cc is one."""
    info = {
        "messageLanguage": "de-DE", "customizedMessageBody": "Hello <script>alert(1)</script>\r\nBcc: all@x.example",
        "ccRecipients": [{"emailAddress": {"name": "Boss, \"the\" ö", "address": "boss@mail.example"}}],
    }
    guest = await scene.invited(
        STRANGER, invitedUserDisplayName="Sam Øre", sendInvitationMessage=True, invitedUserMessageInfo=info
    )
    (mail,) = scene.mails()
    assert str(mail["To"]) == f"Sam Øre <{STRANGER}>"
    assert mail["Cc"].addresses[0].addr_spec == "boss@mail.example"
    assert mail["Bcc"] is None
    assert mail["Content-Language"] == "de-DE"
    assert mail.get_content_type() == "text/plain"
    body = str(mail.get_content())
    assert guest.url in body
    assert "Bcc: all@x.example" in body
    folder = scene.world.root / "state" / "outbox"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


async def test_no_mail_unless_asked(scene: Scene) -> None:
    await scene.invited(STRANGER)
    assert scene.mails() == []


@pytest.mark.parametrize(
    ("allowed", "guest", "member"),
    [("everyone", 201, 201), ("adminsGuestInvitersAndAllMembers", 403, 201), ("adminsAndGuestInviters", 403, 403),
     ("none", 403, 403)],
)
async def test_who_may_invite(scene: Scene, allowed: str, guest: int, member: int) -> None:
    invited = await scene.invited(EMIL_MAIL)
    await invited.redeem_at_home(EMIL_MAIL)
    await scene.set("authorizationPolicy", "authorizationpolicy", {"allowInvitesFrom": allowed})
    assert (await scene.invite("a@mail.example", by=scene.member(invited.oid))).status_code == guest
    assert (await scene.invite("b@mail.example", by=scene.member())).status_code == member
    await give_role(scene.world, "Guest Inviter", oid=BOB)
    inviter = await scene.invite("c@mail.example", by=scene.member())
    assert inviter.status_code == (403 if allowed == "none" else 201)
    if allowed == "none":
        assert code(inviter) == "invitationNotAllowed"


async def test_members_are_invited_by_administrators(scene: Scene) -> None:
    refused = await scene.invite(STRANGER, by=scene.member(), invitedUserType="Member")
    assert (refused.status_code, code(refused)) == (403, "memberNeedsAdministrator")
    guest = await scene.invited(STRANGER, invitedUserType="Member")
    assert str(guest.user.user_type) == "member"


async def test_both_tenants_can_refuse_and_are_named(scene: Scene) -> None:
    """A refusal names the gate, whose it is, and is put on record; nobody is made."""
    users = len(scene.world.provider.directory.tenants[CONTOSO].users)  # type: ignore[union-attr]
    before = len(scene.activities())
    await scene.set("b2bManagementPolicy", "b2bmanagementpolicy", {LISTS: {"allowedDomains": ["fabrikam.example"]}})
    listed = await scene.invite(STRANGER)
    assert code(listed) == "domainNotAllowed"
    assert "domain list of contoso" in listed.json()["error"]["message"]
    await scene.set("crossTenantAccessPartner", FABRIKAM, {"tenantId": FABRIKAM, "b2bCollaborationInbound": BLOCKED})
    inbound = await scene.invite()
    assert code(inbound) == "blockedByResource"
    assert inbound.json()["error"]["message"].startswith("AADSTS500213: ")
    await scene.set(
        "crossTenantAccessPartner", CONTOSO, {"tenantId": CONTOSO, "b2bCollaborationOutbound": BLOCKED}, FABRIKAM
    )
    outbound = await scene.invite()
    assert code(outbound) == "blockedByHome"
    assert "b2bCollaborationOutbound of fabrikam" in outbound.json()["error"]["message"]
    assert [line for line in scene.activities(before) if line[0].startswith("Invite")] == [
        ("Invite external user", "failure")
    ] * 3
    assert len(scene.world.provider.directory.tenants[CONTOSO].users) == users  # type: ignore[union-attr]


async def test_a_workload_that_does_not_ask_the_directory(scene: Scene) -> None:
    """Through it everybody is invited, and can accept; only the cross-tenant settings still hold."""
    await scene.set("b2bManagementPolicy", "b2bmanagementpolicy", {LISTS: {"allowedDomains": ["x.example"]}})
    await scene.set("workload", VAULT, {"id": VAULT, "respectsDirectorySettings": False})
    assert (await scene.invite(STRANGER)).status_code == 403
    guest = await scene.invited(STRANGER, application=VAULT)
    _, done = await guest.redeem_by_mail()
    assert done.headers["location"] == APPS


BAD: tuple[tuple[dict[str, Any], int], ...] = (
    ({"invitedUserEmailAddress": "x"}, 400), ({"invitedUserEmailAddress": "bob@contoso.example"}, 400),
    ({"invitedUserEmailAddress": "a@x.example\r\nBcc: b@x.example"}, 400), ({"inviteRedirectUrl": None}, 400),
    ({"inviteRedirectUrl": "javascript:alert(1)"}, 400), ({"inviteRedirectUrl": "//evil.example"}, 400),
    ({"invitedUserDisplayName": "a\r\nBcc: b@x.example"}, 400), ({"invitedUserDisplayName": 7}, 400),
    ({"sendInvitationMessage": "true"}, 400), ({"status": "Completed"}, 400), ({"inviter": BOB}, 400),
    ({"id": ALEX}, 400), ({"surprise": 1}, 400), ({"resetRedemption": True}, 400),
    ({"resetRedemption": True, "invitedUser": {"id": ALEX}}, 400),
    ({"invitedUser": {"id": "eeeeeeee-0000-4000-8000-000000000099"}}, 404),
    ({"resetRedemption": True, "invitedUser": {"id": "eeeeeeee-0000-4000-8000-000000000099"}}, 404),
    ({"invitedUserMessageInfo": {"customizedMessageBody": "x" * 2001}}, 400),
    ({"invitedUserMessageInfo": {"ccRecipients": [{"emailAddress": {"address": "a@x.example"}}] * 2}}, 400),
    ({"invitedUserSponsors": [{"id": ALEX}] * 6}, 400),
)


async def test_bad_invitations(scene: Scene) -> None:
    for changes, status in BAD:
        response = await scene.invite(**{"address": STRANGER, **changes})
        assert response.status_code == status, (changes, response.text)
    assert scene.mails() == []
    assert (await scene.admin.get(INVITATIONS))["value"] == []


async def test_hostile_bodies(scene: Scene) -> None:
    headers = {"authorization": f"Bearer {scene.admin.token}", "content-type": "application/json"}
    for body in (b"", b"[]", b"{", b'"x"', b"null", b'{"a":1,"a":2}', b"[" * 5000, b"\xff\xfe"):
        response = await scene.admin.http.post(INVITATIONS, content=body, headers=headers)
        assert response.status_code == 400, body


async def test_an_invitation_needs_a_token_of_this_tenant(scene: Scene) -> None:
    body = {"invitedUserEmailAddress": STRANGER, "inviteRedirectUrl": APPS}
    assert (await scene.admin.http.post(INVITATIONS, json=body)).status_code == 401
    forged = Admin(scene.admin.http, scene.admin.token[:-6] + "AAAAAA")
    assert (await scene.invite(STRANGER, by=forged)).status_code == 401


async def test_an_invitation_is_repeated(scene: Scene) -> None:
    """The same person, the same object; only the newest link is good. A guest is not invited again."""
    first = await scene.invited()
    second = await scene.invited()
    assert (first.oid, first.url == second.url) == (second.oid, False)
    _, old = await first.open()
    assert old.status_code == 404
    await second.redeem_at_home()
    third = await scene.invite()
    assert (third.status_code, code(third)) == (400, "userExists")


async def test_addresses_that_look_alike_get_names_of_their_own(scene: Scene) -> None:
    one = await scene.invited("a_b@c.example")
    other = await scene.invited("a@b_c.example".replace("b_c", "b-c"))
    twin = await scene.invited("a_b_c.example@c.example".replace("a_b_c.example", "a_b"), invitedUserDisplayName="X")
    assert one.user.upn == "a_b_c.example#ext#@contoso.example"
    assert other.user.upn == "a_b-c.example#ext#@contoso.example"
    assert twin.oid == one.oid


async def test_inviters_see_their_own(scene: Scene) -> None:
    await scene.invited(STRANGER)
    mine = await scene.invite(DANA_MAIL, by=scene.member())
    own = await scene.member().get(INVITATIONS)
    assert [one["invitedUserEmailAddress"] for one in own["value"]] == [DANA_MAIL]
    assert "inviter" not in own["value"][0]
    everything = await scene.admin.get(INVITATIONS)
    assert len(everything["value"]) == 2
    other = scene.member(EVE)
    response = await other.send("GET", f"{INVITATIONS}/{mine.json()['id']}")
    assert response.status_code == 403  # Eve is disabled: her token is worth nothing
    response = await scene.admin.send("GET", f"{INVITATIONS}/{ALEX}")
    assert response.status_code == 404


async def test_who_may_reset(scene: Scene) -> None:
    guest = await scene.invited(STRANGER)
    await guest.redeem_by_mail()
    reset: dict[str, Any] = {"resetRedemption": True, "invitedUser": {"id": guest.oid}}
    assert (await scene.invite(STRANGER, by=scene.member(), **reset)).status_code == 403
    await give_role(scene.world, "Helpdesk Administrator", oid=BOB)
    unknown = await scene.invite("new@mail.example", by=scene.member(), **reset)
    assert (unknown.status_code, code(unknown)) == (400, "addressUnknown")
    assert (await scene.invite(STRANGER, by=scene.member(), **reset)).status_code == 201
    await give_role(scene.world, "Guest Inviter", oid=guest.oid)
    assert (await scene.invite(STRANGER, by=scene.member(), **reset)).status_code == 403
    assert (await scene.invite(STRANGER, **reset)).status_code == 201


async def test_owners_invite_to_their_application(scene: Scene) -> None:
    """An owner needs no role for that, for this application alone, and not where nobody may invite."""
    await scene.set("application", WIKI, {"id": WIKI, "appId": WIKI, "displayName": "Wiki", "owners": [BOB]})
    await scene.set("authorizationPolicy", "authorizationpolicy", {"allowInvitesFrom": "adminsAndGuestInviters"})
    assert (await scene.invite(STRANGER, by=scene.member())).status_code == 403
    assert (await scene.invite(STRANGER, by=scene.member(), application=VAULT)).status_code == 403
    invited = await scene.invite(STRANGER, by=scene.member(), application=WIKI)
    assert invited.status_code == 201
    guest = invited.json()["invitedUser"]["id"]
    path = f"/v1.0/applications/{WIKI}/guests/{guest}"
    assert (await scene.member().send("PUT", path)).status_code == 204
    assert scene.world.provider is not None
    application = scene.world.provider.directory.tenants[CONTOSO].applications[WIKI]
    assert guest in application.assignments.users
    assert (await scene.member().send("PUT", f"/v1.0/applications/{VAULT}/guests/{guest}")).status_code == 403
    assert (await scene.member().send("PUT", f"/v1.0/applications/{WIKI}/guests/{ALEX}")).status_code == 403
    assert (await scene.member().send("DELETE", path)).status_code == 204
    application = scene.world.provider.directory.tenants[CONTOSO].applications[WIKI]
    assert guest not in application.assignments.users
    assert (await scene.member().send("DELETE", path)).status_code == 404
    await scene.set("authorizationPolicy", "authorizationpolicy", {"allowInvitesFrom": "none"})
    assert (await scene.invite("x@mail.example", by=scene.member(), application=WIKI)).status_code == 403


# Abuse of the link and of the pages behind it.


async def test_tickets_that_nobody_made(scene: Scene) -> None:
    browser = scene.world.browser()
    for ticket in ("", "x", "a.b", "." * 600, "%00", "a%0d%0ab", "é"):
        response = await browser.http.get(f"/{CONTOSO}/redeem?ticket={ticket}")
        assert response.status_code in (400, 404), ticket
        assert "text/html" in response.headers["content-type"]


async def test_a_ticket_is_good_at_its_tenant_only(scene: Scene) -> None:
    guest = await scene.invited()
    elsewhere = guest.url.replace(CONTOSO, FABRIKAM, 1).replace("https://idp.test", "")
    assert (await scene.world.browser().http.get(elsewhere)).status_code == 404
    changed = guest.url[:-2] + ("AA" if not guest.url.endswith("AA") else "BB")
    assert (await scene.world.browser().http.get(changed)).status_code == 404


async def test_a_link_that_was_used_leads_on_but_signs_nobody_in(scene: Scene) -> None:
    guest = await scene.invited()
    browser, _ = await guest.redeem_at_home()
    before = len(scene.activities())
    _, page = await guest.open()
    assert "Sign in" in text(page)
    assert "location" not in page.headers
    again = await browser.http.get(guest.url)
    assert again.headers["location"] == APPS
    assert scene.activities(before) == []


async def test_a_deleted_guest_has_no_link(scene: Scene) -> None:
    guest = await scene.invited()
    assert (await scene.admin.send("DELETE", f"/v1.0/users/{guest.oid}")).status_code == 204
    assert (await guest.open())[1].status_code == 404


async def test_guessing_codes(scene: Scene) -> None:
    """Five guesses end a code, six codes an hour are all there are, and each wrong guess is on record."""
    guest = await scene.invited(STRANGER)
    browser, page = await guest.open()
    page = await browser.submit(page, "passcode_send")
    right = scene.code()
    wrong = f"{(int(right) + 1) % 10**8:08d}"
    for _ in range(5):
        page = await browser.submit(page, "passcode", code=wrong)
        assert "not the one we sent" in text(page)
    page = await browser.submit(page, "passcode", code=right)
    assert "cannot be used any more" in text(page)
    failed = [line for line in scene.world.lines("sign-ins.jsonl") if "50126" in str(line)]
    assert len(failed) >= 5
    assert right not in (scene.world.root / "state" / "sign-ins.jsonl").read_text()
    for _ in range(10):
        page = await browser.submit(page, "passcode_send")
    assert len(scene.mails(STRANGER)) == 6
    scene.world.clock.now += 3600
    await browser.submit(page, "passcode_send")
    assert len(scene.mails(STRANGER)) == 7


async def test_codes_expire(scene: Scene) -> None:
    guest = await scene.invited(STRANGER)
    browser, page = await guest.open()
    page = await browser.submit(page, "passcode_send")
    scene.world.clock.now += 1800
    page = await browser.submit(page, "passcode", code=scene.code())
    assert "cannot be used any more" in text(page)


async def test_a_code_is_for_one_guest(scene: Scene) -> None:
    one, other = await scene.invited(STRANGER), await scene.invited("pat@mail.example")
    mine, page = await one.open()
    await mine.submit(page, "passcode_send")
    theirs, page = await other.open()
    page = await theirs.submit(page, "passcode_send")
    page = await theirs.submit(page, "passcode", code=scene.code(STRANGER))
    assert "not the one we sent" in text(page)


async def test_nothing_tells_who_is_a_guest(scene: Scene) -> None:
    await scene.invited(STRANGER)
    pages = []
    for address in (STRANGER, "nobody@mail.example"):
        browser = scene.world.browser()
        page = await browser.authorize("contoso")
        sent = await browser.submit(page, "passcode_send", username=address, password="")
        wrong = await browser.submit(sent, "passcode", code="1")
        pages.append([text(sent).replace(address, "X"), text(wrong).replace(address, "X")])
    assert pages[0] == pages[1]
    assert len(scene.mails()) == 1


async def test_forms_of_other_sites_do_nothing(scene: Scene) -> None:
    guest = await scene.invited(STRANGER)
    ticket = guest.url.partition("ticket=")[2]
    browser = scene.world.browser()
    for action in ("passcode_send", "personal_offer", "federation", "sign_in", "consent"):
        response = await browser.http.post(f"/{CONTOSO}/redeem", data={"ticket": ticket, "action": action})
        assert "out of date" in text(response)
    assert scene.mails() == []


async def test_names_are_text_on_every_page(scene: Scene) -> None:
    script = "<script>alert(1)</script>\"'>"
    await scene.set("organizationalBranding", "branding", {"signInPageText": script, "usernameHintText": script})
    guest = await scene.invited(STRANGER, invitedUserDisplayName=script)
    browser, page = await guest.open()
    pages = [page, await browser.authorize("contoso")]
    page = await browser.submit(page, "passcode_send")
    pages += [page, await browser.submit(page, "passcode", code=scene.code())]
    for one in pages:
        assert "<script" not in one.text
        assert "script-src" not in one.headers["content-security-policy"]


async def test_the_host_header_moves_no_link(scene: Scene) -> None:
    body = {"invitedUserEmailAddress": STRANGER, "inviteRedirectUrl": APPS, "sendInvitationMessage": True}
    response = await scene.admin.send("POST", INVITATIONS, body, host="evil.example")
    assert response.json()["inviteRedeemUrl"].startswith("https://idp.test/")
    assert "evil.example" not in str(scene.mails()[0])


async def test_too_large(scene: Scene) -> None:
    guest = await scene.invited(STRANGER)
    browser, page = await guest.open()
    form = PageForm(page.text)
    response = await browser.http.post(form.action, data=form.fields | {"code": "1" * 70_000, "action": "passcode"})
    assert response.status_code == 413
    response = await browser.http.post(form.action, data=form.fields | {"code": "1" * 30_000, "action": "passcode"})
    assert "cannot be used" in text(response)


async def test_a_disabled_guest_gets_no_code(scene: Scene) -> None:
    guest = await scene.invited(STRANGER)
    assert (await scene.admin.send("PATCH", f"/v1.0/users/{guest.oid}", {"accountEnabled": False})).status_code == 204
    browser, page = await guest.open()
    await browser.submit(page, "passcode_send")
    assert scene.mails() == []
