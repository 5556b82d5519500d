"""A guest in a real browser: invited over the API, a code from the outbox, review permissions, and My Apps."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from selenium.webdriver.common.by import By

from tests.browser.site import Person

pytestmark = pytest.mark.slow

SAM = "sam@mail.example"


def invite(person: Person, address: str) -> str:
    """Sign in as Alex, invite somebody, forget Alex; return the link of the invitation."""
    person.open("contoso")
    person.sign_in()
    token = person.site.redeem("contoso", person.arrived()["code"])["access_token"]
    body = {
        "invitedUserEmailAddress": address, "inviteRedirectUrl": person.site.callback, "sendInvitationMessage": True,
        "invitedUserDisplayName": "Sam <i>Mail</i>",
    }
    with person.site.http() as http:
        response = http.post("/v1.0/invitations", json=body, headers={"authorization": f"Bearer {token}"})
    assert response.status_code == 201, response.text
    person.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    return str(response.json()["inviteRedeemUrl"])


def mails(person: Person) -> list[str]:
    found = []
    for path in sorted((person.site.root / "state" / "outbox").glob("*.eml")):
        message = message_from_bytes(path.read_bytes(), policy=policy.default)
        assert isinstance(message, EmailMessage)
        found.append(str(message.get_content()).replace("\r", ""))
    return found


def test_from_the_mail_to_my_apps(person: Person) -> None:
    link = invite(person, SAM)
    assert link in mails(person)[-1]
    person.driver.get(link)
    assert person.heading == "You are invited"
    assert SAM in person.text
    person.shoot("invited")
    person.press("passcode_send")
    assert person.heading == "Enter code"
    code = re.search(r"^\d{8}$", mails(person)[-1], re.MULTILINE)
    assert code
    person.type("code", "00000000")
    person.press("passcode")
    assert "not the one we sent" in person.driver.find_element(By.CSS_SELECTOR, "[role=alert]").text
    person.type("code", code[0])
    person.shoot("passcode")
    person.press("passcode")
    assert person.heading == "Review permissions"
    assert "Contoso would like to" in person.text
    person.press("consent")
    person.arrived()
    assert "back at the program" in person.text
    person.driver.get(f"{person.site.base}/contoso/myapps")
    assert person.heading == "My Apps"
    assert SAM in person.text
    person.shoot("my-apps")
    person.press("leave")
    assert "You left Contoso" in person.text
    assert person.complaints() == []
