"""Fixtures: one provider and one browser for all of these tests; each test is a new person without cookies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

from tests.browser.site import Person, Site, chromium, running_site
from tests.integration.idp.world import ALEX, FABRIKAM, WOODGROVE, directory, password_hash, prepare

TERMS = "abcdabcd-0000-4000-8000-000000000001"
PEOPLE = ("totp", "passkey", "second", "plain")


@pytest.fixture(scope="session")
def chromium_there() -> None:
    if shutil.which("chromium") and shutil.which("chromedriver"):
        return
    message = "chromium and chromedriver are missing: apt-get install chromium chromium-driver"
    if os.environ.get("TUNNELD_CI") == "1":
        pytest.fail(message)
    pytest.skip(message)


def policy(number: int, name: str, grant: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"abcdabcd-0000-4000-8000-00000000010{number}", "displayName": name, "state": "enabled",
        "conditions": {
            "users": {"includeUsers": ["All"]}, "applications": {"includeApplications": ["All"]},
            "clientAppTypes": ["all"],
        },
        "grantControls": {"operator": "OR", **grant},
    }


def document() -> dict[str, Any]:
    """The usual world, in which fabrikam demands a second factor and woodgrove has terms of use."""
    made = directory()
    contoso, fabrikam, woodgrove = made["tenants"][:3]
    for number, name in enumerate(PEOPLE):
        oid = f"aaaaaaaa-0000-4000-8000-0000000001{number:02}"
        contoso["users"].append({
            "oid": oid, "upn": f"{name}@contoso.example", "display_name": name.capitalize(),
            "password_hash": password_hash(),
        })
        fabrikam["users"].append({
            "oid": oid.replace("a", "b"), "upn": f"{name}_contoso.example#EXT#@fabrikam.example",
            "display_name": name.capitalize(), "user_type": "guest", "home": {"tenant": "contoso", "oid": oid},
        })
    fabrikam["objects"] = {"conditionalAccessPolicy": [policy(1, "MFA", {"builtInControls": ["mfa"]})]}
    woodgrove["objects"] = {
        "agreement": [
            {"id": TERMS, "displayName": "House rules", "text": "Wipe your feet.\n\nBe kind to the printer."},
        ],
        "conditionalAccessPolicy": [policy(2, "Terms", {"termsOfUse": [TERMS]})],
    }
    assert (fabrikam["id"], woodgrove["id"], contoso["users"][0]["oid"]) == (FABRIKAM, WOODGROVE, ALEX)
    return made


@pytest.fixture(scope="session")
def site(chromium_there: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    prepared = tmp_path_factory.mktemp("prepared")
    prepare(prepared)
    with running_site(prepared, tmp_path_factory.mktemp("site"), document()) as started:
        yield started


@pytest.fixture(scope="session")
def browser(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(site, tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def person(site: Site, browser: webdriver.Chrome, tmp_path: Path) -> Person:
    browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
    return Person(browser, site, tmp_path)
