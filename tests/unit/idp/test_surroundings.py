"""What a decision is told of a request: the client's address, place, platform and the headers of restrictions."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from starlette.requests import Request

from tunneld.idp.session_facts import client_address, surroundings
from tunneld.idp.settings import IdpSettings
from tunneld.policy.directory import Client
from tunneld.policy.facts import Restrictions

DAEMON = Client("c", "program", ("http://127.0.0.1/callback",))
WEB = Client("w", "site", ("https://site.example/cb",))


def settings(**changes: object) -> IdpSettings:
    paths = dict.fromkeys(("certificate", "key", "directory", "state"), Path("x"))
    return IdpSettings.model_validate(paths | changes)


def request(peer: str | None = "192.0.2.7", **headers: str) -> Request:
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": lines, "client": (peer, 1) if peer else None})


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "found"),
    [
        ("192.0.2.7", "198.51.100.1", [], "192.0.2.7"),  # nobody is trusted
        ("192.0.2.7", "198.51.100.1", ["192.0.2.0/24"], "198.51.100.1"),
        ("192.0.2.7", "203.0.113.9, 198.51.100.1", ["192.0.2.0/24"], "198.51.100.1"),  # the left one is hearsay
        ("192.0.2.7", "203.0.113.9, 192.0.2.8", ["192.0.2.0/24"], "203.0.113.9"),  # two proxies
        ("192.0.2.7", "nonsense", ["192.0.2.0/24"], "192.0.2.7"),
        ("2001:db8::1", "198.51.100.1", ["192.0.2.0/24"], "2001:db8::1"),
        ("192.0.2.7", "203.0.113.9, nonsense", ["192.0.2.0/24"], "192.0.2.7"),  # what is left of nonsense is nonsense
        (None, "198.51.100.1", ["0.0.0.0/0"], ""),
    ],
)
def test_client_address(peer: str | None, forwarded: str, proxies: list[str], found: str) -> None:
    """X-Forwarded-For is read from the right, as far as proxies are trusted."""
    assert client_address(request(peer, x_forwarded_for=forwarded), settings(trusted_proxies=proxies)) == found


def test_simulation_is_off_by_default() -> None:
    """Tests may name place; nobody else may."""
    said = request(x_simulated_address="203.0.113.5", x_simulated_country="de")
    plain = surroundings(said, settings(), DAEMON)
    assert (plain.address, plain.country) == ("192.0.2.7", "")
    simulated = surroundings(said, settings(trust_simulation_headers=True), DAEMON)
    assert (simulated.address, simulated.country) == ("203.0.113.5", "DE")
    with pytest.raises(ValidationError):
        settings(trusted_proxies=["everybody"])


@pytest.mark.parametrize(
    ("agent", "platform"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "windows"), ("Mozilla/5.0 (X11; Linux x86_64)", "linux"),
        ("Mozilla/5.0 (Linux; Android 14)", "android"), ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0)", "iOS"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14_0)", "macOS"), ("curl/8", ""),
    ],
)
def test_platform_and_client_type(agent: str, platform: str) -> None:
    """What the client says of itself; a program on the machine is told from a web application by its redirect URI."""
    found = surroundings(request(user_agent=agent), settings(), DAEMON)
    assert (found.platform, found.client_app) == (platform, "mobileAppsAndDesktopClients")
    assert surroundings(request(user_agent=agent), settings(), WEB).client_app == "browser"


def test_restriction_headers() -> None:
    """As received; an absent one is None."""
    found = surroundings(
        request(restrict_access_to_tenants="a.example", sec_restrict_tenant_access_policy="t:p"), settings(), DAEMON
    )
    assert found.restrictions == Restrictions("a.example", None, ("t:p",))
