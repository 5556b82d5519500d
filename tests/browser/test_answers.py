"""The answer that a page posts: by its script, under the content policy of a real browser; and shared names."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from selenium.webdriver.support.ui import WebDriverWait

from tests.browser.site import Person
from tests.integration.idp.world import PASSWORD, claims

pytestmark = pytest.mark.slow


def test_form_post_sends_itself_and_the_account_tells_the_organization(person: Person) -> None:
    """From the page that asks for an account to a form at the program, with nobody pressing its button."""
    person.open("common", response_mode="form_post")
    person.shoot("account")
    person.type("username", "alex@contoso.example")
    person.press("find_home")
    person.type("password", PASSWORD)
    person.press("sign_in")
    WebDriverWait(person.driver, 15).until(lambda _: person.text.startswith("posted: "))
    fields = parse_qs(person.text.removeprefix("posted: "))
    assert fields.keys() == {"code", "iss", "state"}
    assert claims(person.site.redeem("common", fields["code"][0])["access_token"])["iss"] == fields["iss"][0]
    assert person.complaints() == []
