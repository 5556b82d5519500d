"""What an invitation may say, and what branding may show."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.unit.policy.documents import RESOURCE, document, link
from tunneld.policy.directory import Directory
from tunneld.policy.guests.branding import OrganizationalBranding, branding_of
from tunneld.policy.guests.invitation_object import MAX_MESSAGE, Invitation, InvitationRequest
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, ObjectRef
from tunneld.policy.overlay import change_directory

BODY: dict[str, Any] = {
    "invitedUserEmailAddress": " Ann@Partner.EXAMPLE", "inviteRedirectUrl": "https://apps.example/home?a=b#c",
}
FIELDS = ("backgroundColor", "signInPageText", "usernameHintText")


def cc(*addresses: str, name: str = "Boss") -> dict[str, Any]:
    return {"ccRecipients": [{"emailAddress": {"name": name, "address": one}} for one in addresses]}


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"invitedUserDisplayName": "Ann Ø"}, {"invitedUserType": "Member"}, {"sendInvitationMessage": True},
        {"invitedUserMessageInfo": {"messageLanguage": "en-US", "customizedMessageBody": "Hi\r\nthere\t!",
                                    **cc("boss@partner.example")}},
        {"inviteRedirectUrl": "http://127.0.0.1:8080/"}, {"inviteRedirectUrl": "http://localhost/"},
        {"invitedUser": {"id": RESOURCE.upper()}, "resetRedemption": True}, {"invitedUserSponsors": [{"id": RESOURCE}]},
        {"invitedUserMessageInfo": {"customizedMessageBody": "x" * MAX_MESSAGE}},
    ],
)
def test_a_good_invitation(changes: dict[str, Any]) -> None:
    assert InvitationRequest.model_validate(BODY | changes).invited_user_email_address == "ann@partner.example"


@pytest.mark.parametrize(
    "changes",
    [
        {"invitedUserEmailAddress": "ann"}, {"invitedUserEmailAddress": "a@x.example\r\nBcc: b@x.example"},
        {"invitedUserEmailAddress": None}, {"inviteRedirectUrl": None},
        {"invitedUserDisplayName": "Ann\r\nBcc: all@x.example"}, {"invitedUserDisplayName": "Ann\u2028x"},
        {"invitedUserDisplayName": "x" * 257}, {"invitedUserDisplayName": "\x1b[31m"},
        {"invitedUserType": "Admin"}, {"inviteRedeemUrl": "https://evil.example/"}, {"status": "Completed"},
        {"invitedUserMessageInfo": cc("a@x.example", "b@x.example")},
        {"invitedUserMessageInfo": cc("a@x.example", name="a\nBcc: b")},
        {"invitedUserMessageInfo": {"customizedMessageBody": "a\x00b"}},
        {"invitedUserMessageInfo": {"customizedMessageBody": "\ud800"}},
        {"invitedUserMessageInfo": {"customizedMessageBody": "x" * (MAX_MESSAGE + 1)}},
        {"invitedUserMessageInfo": {"messageLanguage": "en\r\nX: y"}},
        {"inviteRedirectUrl": "javascript:alert(1)"}, {"inviteRedirectUrl": "//evil.example/"},
        {"inviteRedirectUrl": "https:/\\evil.example/"}, {"inviteRedirectUrl": "https://a@evil.example/"},
        {"inviteRedirectUrl": "http://evil.example/"}, {"inviteRedirectUrl": "https://evil.example/\r\nX: y"},
        {"inviteRedirectUrl": "https://"}, {"inviteRedirectUrl": "data:text/html,x"},
        {"inviteRedirectUrl": "https://a.example:0x50/"}, {"inviteRedirectUrl": "https://a.example:70000/"},
        {"inviteRedirectUrl": "https://a.example/" + "x" * 2048}, {"inviteRedirectUrl": "/local"},
        {"inviteRedirectUrl": "https://a.example/<script>"}, {"inviteRedirectUrl": "https://[::1/"},
    ],
)
def test_a_bad_invitation(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        InvitationRequest.model_validate(BODY | changes)


def test_what_an_inviter_sees() -> None:
    kept = Invitation.model_validate(BODY | {"id": RESOURCE, "inviter": "somebody"})
    shown = kept.shown("https://idp.example/redeem?ticket=t")
    assert shown["inviteRedeemUrl"] == "https://idp.example/redeem?ticket=t"
    assert shown["status"] == "PendingAcceptance"
    assert "inviter" not in shown


@pytest.mark.parametrize(
    ("body", "good"),
    [
        ({}, True), ({"backgroundColor": "#00ffAA"}, True), ({"backgroundColor": None}, True),
        ({"backgroundColor": "red"}, False), ({"backgroundColor": "#fff;} body{display:none"}, False),
        ({"backgroundColor": "#00ffAA\n"}, False),
        ({"signInPageText": "Hello\nthere"}, True), ({"signInPageText": "x" * 1025}, False),
        ({"usernameHintText": "you@x"}, True), ({"usernameHintText": "a\nb"}, False), ({"bannerLogo": "x"}, False),
    ],
)
def test_branding(body: dict[str, Any], good: bool) -> None:
    if good:
        assert OrganizationalBranding.model_validate(body).to_json() == dict.fromkeys(FIELDS) | body
    else:
        with pytest.raises(ValidationError):
            OrganizationalBranding.model_validate(body)


def test_branding_of_a_tenant() -> None:
    directory = link(document())
    value = KINDS["organizationalBranding"].model.model_validate({"signInPageText": "Hi"})
    changed = change_directory(directory, [Change(ObjectRef(RESOURCE, "organizationalBranding", "branding"), value)])
    assert isinstance(changed, Directory)
    assert branding_of(changed.tenants[RESOURCE]).sign_in_page_text == "Hi"
    assert branding_of(directory.tenants[RESOURCE]) == branding_of(None) == OrganizationalBranding()
