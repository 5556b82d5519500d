"""From the invitation to the accepted guest, by every way to sign in."""

from __future__ import annotations

import pytest

from tests.integration.idp.guests.people import (
    APPS,
    CONTOSO,
    DANA,
    DANA_MAIL,
    EMIL_MAIL,
    FABRIKAM,
    STRANGER,
    Scene,
    text,
)
from tests.integration.idp.world import PASSWORD, PageForm, answer
from tunneld.idp.guests.personal import create_personal_account, personal_account
from tunneld.policy.directory import SignInWay

LISTS = "invitationsAllowedAndBlockedDomainsPolicy"


async def test_an_account_of_another_tenant(scene: Scene) -> None:
    """The sign-in page is home's, the consent names the inviting organization, and the guest lands where it should."""
    guest = await scene.invited(invitedUserDisplayName="Dana D.")
    assert guest.body["status"] == "PendingAcceptance"
    assert guest.user.upn == "dana_fabrikam.example#ext#@contoso.example"
    assert (guest.state, guest.user.home) == ("PendingAcceptance", (FABRIKAM, DANA))
    assert await guest.identities() == [("userPrincipalName", "contoso.example")]
    before = len(scene.activities())
    browser, page = await guest.open()
    assert "Use your Fabrikam account to continue to Contoso" in text(page)
    assert PageForm(page.text).fields["username"] == DANA_MAIL
    page = await browser.submit(page, "sign_in", username=DANA_MAIL, password=PASSWORD)
    assert "Review permissions" in text(page)
    assert "Contoso would like to" in text(page)
    assert guest.state == "PendingAcceptance"
    done = await browser.submit(page, "consent")
    assert (done.status_code, done.headers["location"]) == (303, APPS)
    assert (guest.state, guest.user.home) == ("Accepted", (FABRIKAM, DANA))
    assert await guest.identities() == [("federated", "ExternalAzureAD")]
    assert scene.activities(before) == [("Redeem external user invite", "success"), ("Update user", "success")]
    kept = await scene.admin.get(f"/v1.0/invitations/{guest.body['id']}")
    assert kept["status"] == "Completed"
    assert "code" in answer(await browser.authorize("contoso"))  # and no page any more


async def test_a_mailbox_alone(scene: Scene) -> None:
    guest = await scene.invited(STRANGER)
    assert guest.user.home is None
    browser, page = await guest.open()
    assert PageForm(page.text).buttons == ["passcode_send"]
    assert scene.mails(STRANGER) == []
    page = await browser.submit(page, "passcode_send")
    page = await browser.submit(page, "passcode", code=scene.code())
    assert "Review permissions" in text(page)
    done = await browser.submit(page, "consent")
    assert done.headers["location"] == APPS
    assert guest.user.way is SignInWay.MAIL
    assert await guest.identities() == [("federated", "mail")]
    # Later, at any application's sign-in page: the same way again.
    later = scene.world.browser()
    page = await later.authorize("contoso")
    page = await later.submit(page, "passcode_send", username=STRANGER, password="")
    assert "code" in answer(await later.submit(page, "passcode", code=scene.code()))


async def test_a_passcode_session_ends_after_a_day(scene: Scene) -> None:
    guest = await scene.invited(STRANGER)
    browser, _ = await guest.redeem_by_mail()
    assert "code" in answer(await browser.authorize("contoso"))
    scene.world.clock.now += 24 * 3600 - 60
    assert "code" in answer(await browser.authorize("contoso"))
    scene.world.clock.now += 61
    assert "Sign in" in text(await browser.authorize("contoso"))


async def test_a_personal_account(scene: Scene) -> None:
    """With passcodes off, a personal account is made on a page; only who reads the mailbox can."""
    await scene.set("emailAuthenticationMethod", "email", {"allowExternalIdToUseEmailOtp": "disabled"})
    guest = await scene.invited(STRANGER)
    browser, page = await guest.open()
    assert PageForm(page.text).buttons == ["personal_offer"]
    page = await browser.submit(page, "personal_offer")
    page = await browser.submit(page, "personal_create", code="00000000", new_password="a good password")
    assert "not the one we sent" in text(page)
    page = await browser.submit(page, "personal_create", code=scene.code(), new_password="short")
    assert "8 to 256 characters" in text(page)
    page = await browser.submit(page, "personal_create", code=scene.code(), new_password="a good password")
    done = await browser.submit(page, "consent")
    assert done.headers["location"] == APPS
    assert guest.user.way is SignInWay.PERSONAL
    assert await guest.identities() == [("federated", "Microsoft Account")]
    later = scene.world.browser()
    page = await later.authorize("contoso")
    wrong = await later.submit(page, "personal_sign_in", username=STRANGER, password="another password")
    assert "incorrect" in text(wrong)
    good = await later.submit(wrong, "personal_sign_in", username=STRANGER, password="a good password")
    assert "code" in answer(good)


async def test_who_has_a_personal_account_may_choose_it(scene: Scene) -> None:
    """An address with an account in a tenant and a personal one is asked; the choice unlinks the home account."""
    await _make_personal(scene, DANA_MAIL)
    guest = await scene.invited(DANA_MAIL)
    browser, page = await guest.open()
    assert PageForm(page.text).buttons == ["use_home", "personal_sign_in"]
    page = await browser.submit(page, "personal_sign_in", password="a good password")
    done = await browser.submit(page, "consent")
    assert done.headers.get("location") == APPS, text(done)
    assert (guest.user.way, guest.user.home) == (SignInWay.PERSONAL, None)


async def _make_personal(scene: Scene, address: str) -> None:
    assert scene.world.provider is not None
    assert await create_personal_account(scene.world.provider, address, "a good password")
    assert not await create_personal_account(scene.world.provider, address, "somebody else's")
    assert await personal_account(scene.world.provider, address)


async def test_a_direct_link_redeems_as_well(scene: Scene) -> None:
    guest = await scene.invited()
    browser = scene.world.browser()
    page = await browser.sign_in("contoso", user=DANA_MAIL)
    assert "Review permissions" in text(page)
    assert "code" in answer(await browser.submit(page, "consent"))
    assert guest.state == "Accepted"


async def test_silence_does_not_redeem(scene: Scene) -> None:
    guest = await scene.invited()
    browser = scene.world.browser()
    home = await browser.signed_in("fabrikam", user=DANA_MAIL)
    refused = await browser.silent("contoso", home["session_credential"])
    assert refused["error"] == "interaction_required"
    assert "AADSTS50014" in refused["error_description"]
    assert guest.state == "PendingAcceptance"


async def test_saying_no_changes_nothing(scene: Scene) -> None:
    guest = await scene.invited()
    browser, page = await guest.open()
    page = await browser.submit(page, "sign_in", username=DANA_MAIL, password=PASSWORD)
    page = await browser.submit(page, "decline")
    assert "Nothing was accepted" in text(page)
    assert guest.state == "PendingAcceptance"


@pytest.mark.parametrize(
    ("outbound", "inbound", "asked", "subject"),
    [
        (True, True, False, "You have been added to Contoso"),
        (True, False, True, "Alex Berg invited you to access applications of Contoso"),
        (False, True, True, "Alex Berg invited you to access applications of Contoso"),
        (False, False, True, "Alex Berg invited you to access applications of Contoso"),
    ],
)
async def test_automatic_redemption(scene: Scene, outbound: bool, inbound: bool, asked: bool, subject: str) -> None:
    """Home's outbound and the visited tenant's inbound together suppress prompt and invitation mail."""
    home = {"tenantId": CONTOSO, "automaticUserConsentSettings": {"inboundAllowed": not outbound,
                                                                  "outboundAllowed": outbound}}
    here = {"tenantId": FABRIKAM, "automaticUserConsentSettings": {"inboundAllowed": inbound,
                                                                   "outboundAllowed": not inbound}}
    await scene.set("crossTenantAccessPartner", CONTOSO, home, FABRIKAM)
    await scene.set("crossTenantAccessPartner", FABRIKAM, here)
    guest = await scene.invited(sendInvitationMessage=True)
    (mail,) = scene.mails(DANA_MAIL)
    assert mail["Subject"] == subject
    assert (guest.url in str(mail.get_content())) is asked
    browser = scene.world.browser()
    response = await browser.sign_in("contoso", user=DANA_MAIL)
    if asked:
        assert "Review permissions" in text(response)
        assert guest.state == "PendingAcceptance"
    else:
        assert "code" in answer(response)
        assert guest.state == "Accepted"
        assert await guest.identities() == [("federated", "ExternalAzureAD")]


async def test_a_domain_that_was_blocked_meanwhile(scene: Scene) -> None:
    guest = await scene.invited()
    await scene.set("b2bManagementPolicy", "b2bmanagementpolicy", {LISTS: {"blockedDomains": ["fabrikam.example"]}})
    before = len(scene.activities())
    browser, page = await guest.open()
    assert page.status_code == 403
    assert "Invitations to fabrikam.example are not allowed" in text(page)
    assert "AADSTS50014, domain list of contoso" in text(page)
    direct = answer(await browser.sign_in("contoso", user=DANA_MAIL))
    assert direct["error"] == "access_denied"
    assert guest.state == "PendingAcceptance"
    assert scene.activities(before) == [("Redeem external user invite", "failure")]


async def test_an_existing_guest_does_not_care_about_the_list(scene: Scene) -> None:
    guest = await scene.invited()
    browser, _ = await guest.redeem_at_home()
    await scene.set("b2bManagementPolicy", "b2bmanagementpolicy", {LISTS: {"blockedDomains": ["fabrikam.example"]}})
    assert "code" in answer(await browser.authorize("contoso"))
    again = await scene.invite(EMIL_MAIL)
    assert again.status_code == 403


async def test_passcodes_switched_off_shut_their_guests_out_until_a_reset(scene: Scene) -> None:
    guest = await scene.invited(STRANGER)
    await guest.redeem_by_mail()
    await scene.set("emailAuthenticationMethod", "email", {"allowExternalIdToUseEmailOtp": "disabled"})
    count = len(scene.mails(STRANGER))
    browser = scene.world.browser()
    page = await browser.authorize("contoso")
    assert "passcode_send" not in PageForm(page.text).buttons
    form = PageForm(page.text)
    page = await browser.http.post(form.action, data=form.fields | {"action": "passcode_send", "username": STRANGER})
    assert len(scene.mails(STRANGER)) == count
    again = await scene.invited(STRANGER, resetRedemption=True, invitedUser={"id": guest.oid})
    assert (again.oid, guest.state) == (guest.oid, "PendingAcceptance")
    browser, page = await again.open()
    assert PageForm(page.text).buttons == ["personal_offer"]


async def test_a_guest_by_passcode_stays_one(scene: Scene) -> None:
    """An account that appears later changes nothing, until the redemption is reset."""
    guest = await scene.invited(STRANGER)
    await guest.redeem_by_mail()
    await _make_personal(scene, STRANGER)
    browser = scene.world.browser()
    page = await browser.authorize("contoso")
    page = await browser.submit(page, "passcode_send", username=STRANGER, password="")
    assert "code" in answer(await browser.submit(page, "passcode", code=scene.code()))
    other = scene.world.browser()
    page = await other.authorize("contoso")
    page = await other.submit(page, "personal_sign_in", username=STRANGER, password="a good password")
    assert "incorrect" in text(page)


async def test_reset_keeps_the_object_and_changes_the_account(scene: Scene) -> None:
    guest = await scene.invited()
    await guest.redeem_at_home()
    name, before = guest.user.upn, len(scene.activities())
    await scene.admin.send("PATCH", f"/v1.0/users/{guest.oid}", {"otherMails": [STRANGER]})
    again = await scene.invited(STRANGER, resetRedemption=True, invitedUser={"id": guest.oid})
    assert again.oid == guest.oid
    assert (guest.user.upn, guest.state, guest.user.home) == (name, "PendingAcceptance", None)
    assert ("Invite external user with reset invitation status", "success") in scene.activities(before)
    browser = scene.world.browser()
    refused = answer(await browser.sign_in("contoso", user=DANA_MAIL))
    assert "AADSTS50020" in refused["error_description"]
    _, old = await guest.open()
    assert old.status_code == 404  # the first link died with the reset
    browser, page = await again.open()
    page = await browser.submit(page, "passcode_send")
    page = await browser.submit(page, "passcode", code=scene.code())
    assert (await browser.submit(page, "consent")).headers["location"] == APPS


async def test_reset_to_the_same_account_asks_again(scene: Scene) -> None:
    guest = await scene.invited()
    await guest.redeem_at_home()
    again = await scene.invited(resetRedemption=True, invitedUser={"id": guest.oid})
    browser = scene.world.browser()
    page = await browser.sign_in("contoso", user=DANA_MAIL)
    assert "Review permissions" in text(page)
    assert again.state == "PendingAcceptance"


async def test_an_internal_user_becomes_a_guest_of_their_own_account(scene: Scene) -> None:
    bob = "aaaaaaaa-0000-4000-8000-000000000002"
    before = len(scene.activities())
    guest = await scene.invited(invitedUser={"id": bob})
    assert guest.oid == bob
    assert ("Invite internal user to B2B collaboration", "success") in scene.activities(before)
    assert guest.user.upn == "bob@contoso.example"
    _, done = await guest.redeem_at_home()
    assert done.headers["location"] == APPS
    page = await scene.world.browser().sign_in("contoso", user="bob@contoso.example")
    assert "incorrect" in text(page)


async def test_the_order_may_put_the_passcode_before_the_account(scene: Scene) -> None:
    order = {"primaryIdentityProviderPrecedenceOrder": [], "fallbackIdentityProvider": "emailOneTimePasscode"}
    guest = await scene.invited()
    await scene.set("crossTenantAccessDefault", "default", {
        "invitationRedemptionIdentityProviderConfiguration": order, "isServiceDefault": False,
    })
    direct = scene.world.browser()
    page = await direct.sign_in("contoso", user=DANA_MAIL)
    page = await direct.submit(page, "consent")
    assert "not accepted with this account" in text(page)
    assert guest.state == "PendingAcceptance"
    _, done = await guest.redeem_by_mail(DANA_MAIL)
    assert done.headers["location"] == APPS
    assert (guest.user.way, guest.user.home) == (SignInWay.MAIL, None)


async def test_home_branding_is_on_the_page_where_home_asks(scene: Scene) -> None:
    await scene.set("organizationalBranding", "branding", {
        "signInPageText": "Fabrikam <b>people</b> only", "backgroundColor": "#123456", "usernameHintText": "you@fab",
    }, FABRIKAM)
    guest = await scene.invited()
    browser, page = await guest.open()
    assert "Fabrikam <b>people</b> only" in text(page)
    assert "<b>people</b>" not in page.text
    assert f'href="/{FABRIKAM}/branding.css"' in page.text
    assert 'placeholder="you@fab"' in page.text
    assert "style-src 'self';" in page.headers["content-security-policy"]
    style = await browser.http.get(f"/{FABRIKAM}/branding.css")
    assert style.text == ":root { --ground: #123456; }\n"
    assert (await browser.http.get(f"/{CONTOSO}/branding.css")).status_code == 404
    assert "Fabrikam" not in (await browser.authorize("contoso")).text


async def test_branding_is_read_and_written_through_the_api(scene: Scene) -> None:
    path = f"/v1.0/organization/{CONTOSO}/branding"
    body = {"signInPageText": "Hello", "backgroundColor": "#00ff00"}
    assert (await scene.admin.send("PATCH", path, body)).status_code == 204
    shown = await scene.admin.get(path)
    assert (shown["signInPageText"], shown["backgroundColor"]) == ("Hello", "#00ff00")
    bad = await scene.admin.send("PATCH", path, {"backgroundColor": "red;}"})
    assert bad.status_code == 400
    assert (await scene.admin.send("PATCH", f"/v1.0/organization/{FABRIKAM}/branding", body)).status_code == 404
    assert (await scene.member().send("PATCH", path, body)).status_code == 403


async def test_only_the_invited_account_accepts(scene: Scene) -> None:
    """Somebody else's account has no object here; somebody else's guest account accepts nothing for the invited one."""
    guest = await scene.invited()
    browser, page = await guest.open()
    page = await browser.submit(page, "sign_in", username=EMIL_MAIL, password=PASSWORD)
    assert "AADSTS50020" in page.text
    assert guest.state == "PendingAcceptance"
    emil = await scene.invited(EMIL_MAIL)
    other, _ = await emil.redeem_at_home(EMIL_MAIL)
    page = await other.http.get(guest.url)
    assert PageForm(page.text).buttons[0] == "sign_in"  # a session of somebody else is no use
    page = await other.submit(page, "sign_in", username=EMIL_MAIL, password=PASSWORD)
    assert "This invitation is for somebody else" in text(page)
    assert guest.state == "PendingAcceptance"
