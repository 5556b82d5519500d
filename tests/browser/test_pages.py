"""The pages in a real browser: sign-in, consent, second factors, passkeys, terms of use; and how they look and feel."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.common.virtual_authenticator import Protocol, Transport, VirtualAuthenticatorOptions

from tests.browser.site import Person, code_of
from tests.integration.idp.world import FABRIKAM, PASSWORD, claims

pytestmark = pytest.mark.slow


@pytest.fixture
def authenticator(person: Person) -> Iterator[None]:
    """A platform authenticator that knows its owner's finger."""
    options = VirtualAuthenticatorOptions()
    options.protocol = Protocol.CTAP2
    options.transport = Transport.INTERNAL
    options.has_resident_key = options.has_user_verification = options.is_user_verified = True
    person.driver.add_virtual_authenticator(options)
    yield
    person.driver.remove_virtual_authenticator()


def test_sign_in_by_keyboard(person: Person) -> None:
    """The page can be used without a mouse: the account has the focus, Tab goes on, Enter submits."""
    person.open("contoso")
    person.shoot("sign-in")
    person.driver.switch_to.active_element.send_keys("alex@contoso.example", Keys.TAB)
    person.driver.switch_to.active_element.send_keys(PASSWORD, Keys.ENTER)
    body = person.site.redeem("contoso", person.arrived()["code"])
    assert claims(body["access_token"])["preferred_username"] == "alex@contoso.example"


def test_wrong_password_and_cancel(person: Person) -> None:
    """The page says so in a region that is announced, keeps the name, and cancelling goes back to the program."""
    person.open("contoso")
    person.sign_in(password="wrong")
    alert = person.driver.find_element(By.CSS_SELECTOR, "[role=alert]")
    assert "incorrect" in alert.text
    assert person.driver.find_element(By.ID, "username").get_attribute("value") == "alex@contoso.example"
    person.shoot("wrong-password")
    person.press("decline")
    assert person.arrived()["error"] == "access_denied"


def test_consent_and_terms_of_use(person: Person) -> None:
    """A guest reviews permissions, declines the terms once, and accepts them the next time for good."""
    person.open("woodgrove")
    person.sign_in()
    assert person.heading == "Review permissions"
    person.shoot("consent")
    person.press("consent")
    assert "terms of use" in person.heading
    assert "Be kind to the printer." in person.text
    person.shoot("terms")
    person.press("decline")
    refused = person.arrived()
    assert refused["error_description"].startswith("AADSTS50158")
    person.open("woodgrove")
    person.press("accept")
    assert "code" in person.arrived()
    person.open("woodgrove")
    assert "code" in person.arrived()


def test_totp_registration_and_use(person: Person) -> None:
    """A guest registers an app at the visited tenant; the next sign-in asks for a code, and home has none of it."""
    person.open("fabrikam")
    person.sign_in("totp@contoso.example")
    assert person.heading == "Set up an authenticator app"
    assert person.driver.find_element(By.CSS_SELECTOR, "svg.qr").size["width"] > 100
    person.shoot("register")
    seed = person.driver.find_element(By.ID, "seed").text
    step = int(time.time()) // 30
    person.type("code", "000000" if code_of(seed, step) != "000000" else "111111")
    person.press("register")
    assert person.driver.find_element(By.CSS_SELECTOR, "[role=alert]").is_displayed()
    seed = person.driver.find_element(By.ID, "seed").text
    person.type("code", code_of(seed, int(time.time()) // 30 - 1))
    person.press("register")
    body = person.site.redeem("fabrikam", person.arrived()["code"])
    assert claims(body["access_token"])["tid"] == FABRIKAM
    person.open("fabrikam", prompt="login")
    person.sign_in("totp@contoso.example")
    assert person.heading == "Verify your identity"
    person.shoot("verify")
    person.type("code", code_of(seed, int(time.time()) // 30))
    person.press("mfa")
    assert "code" in person.arrived()
    assert not [line for line in person.complaints() if "Content Security Policy" in line]


@pytest.mark.usefixtures("authenticator")
def test_passkey_registration_sign_in_and_conflict(person: Person) -> None:
    """A passkey is added on the security info page and opens home without a password.

    A visited tenant that does not trust home's second factor cannot use it: the guest registers a code there instead.
    """
    person.driver.get(f"{person.site.base}/contoso/mysecurityinfo")
    person.sign_in("passkey@contoso.example")
    assert "no methods besides your password" in person.text
    person.press("add_passkey")
    assert person.heading == "Create a passkey"
    person.shoot("passkey-create")
    person.type("name", "Laptop")
    person.press("passkey_register")
    assert "The passkey was added." in person.text
    assert "Laptop" in person.text
    person.shoot("security-info")
    person.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    person.open("contoso")
    person.press("passkey")
    person.shoot("passkey-use")
    person.press("passkey_sign_in")
    body = person.site.redeem("contoso", person.arrived()["code"])
    assert claims(body["access_token"])["preferred_username"] == "passkey@contoso.example"
    person.open("fabrikam")
    assert person.heading == "Set up an authenticator app"
    assert not [line for line in person.complaints() if "Content Security Policy" in line]


@pytest.mark.usefixtures("authenticator")
def test_passkey_as_second_factor(person: Person) -> None:
    """With a passkey registered, changing methods after a password sign-in asks for it first."""
    person.driver.get(f"{person.site.base}/contoso/mysecurityinfo")
    person.sign_in("second@contoso.example")
    person.press("add_passkey")
    person.press("passkey_register")
    person.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    person.driver.get(f"{person.site.base}/contoso/mysecurityinfo")
    person.sign_in("second@contoso.example")
    assert person.heading == "Verify with your passkey"
    person.press("passkey_mfa")
    assert person.heading == "Security info"
    person.press("remove")
    assert "The method was removed." in person.text


def test_pages_fit_a_narrow_screen(person: Person) -> None:
    """On a phone nothing is cut off, every field has a label, and the text is large enough to read."""
    metrics = {"width": 340, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    person.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        person.open("fabrikam")
        seen = [_look(person, "narrow-sign-in")]
        person.sign_in("plain@contoso.example")
        seen.append(_look(person, "narrow-register"))
    finally:
        person.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    for page in seen:
        assert page["overflow"] <= 0
        assert page["unlabelled"] == []
        assert page["smallest"] >= 12


def _look(person: Person, name: str) -> dict[str, object]:
    person.shoot(name)
    result: dict[str, object] = person.driver.execute_script(
        """
        const root = document.documentElement;
        const fields = [...document.querySelectorAll("input:not([type=hidden])")];
        const texts = [...document.querySelectorAll("p, li, label, button, input, code")];
        return {
          overflow: root.scrollWidth - root.clientWidth,
          unlabelled: fields.filter((field) => !field.labels.length).map((field) => field.name),
          smallest: Math.min(...texts.map((text) => parseFloat(getComputedStyle(text).fontSize))),
        };
        """
    )
    return result
