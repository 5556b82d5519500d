"""A small world for the identity provider: two home tenants, two that receive guests, and a browser to drive it."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import shutil
import time
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from sqlalchemy import create_engine

from tunneld.idp.application import build_application
from tunneld.idp.database import schema
from tunneld.idp.keys import KeyRing
from tunneld.idp.provider import Provider
from tunneld.idp.settings import IdpSettings
from tunneld.journal.authorities import TenantNames, renew_directory
from tunneld.policy.directory import DAEMON_CLIENT, DIRECTORY_API, ENROLMENT_API
from tunneld.policy.key_schedule import KeyPolicy
from tunneld.policy.passwords import hash_password

BASE = "https://idp.test"
CALLBACK = "http://127.0.0.1:45123/callback"

CONTOSO = "11111111-1111-4111-8111-111111111111"
FABRIKAM = "22222222-2222-4222-8222-222222222222"
WOODGROVE = "33333333-3333-4333-8333-333333333333"
TAILSPIN = "44444444-4444-4444-8444-444444444444"
ALEX, BOB, EVE = (f"aaaaaaaa-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
ALEX_F, ALEX_W = "bbbbbbbb-0000-4000-8000-000000000001", "cccccccc-0000-4000-8000-000000000001"
STAFF = "dddddddd-0000-4000-8000-000000000001"
WIKI, VAULT, WIKI_F = (f"eeeeeeee-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
PRIVATE, PRIVATE_F, INTERNET = (f"ffffffff-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
PASSWORD = "correct horse"
COST = (2**4, 8, 1)

DIRECTORY_SCOPE = f"openid profile offline_access api://{DIRECTORY_API}/.default"
ENROLMENT_SCOPE = f"api://{ENROLMENT_API}/user_impersonation"


def scope_of(audience: str) -> str:
    return f"api://{audience}/user_impersonation"


def password_hash(password: str = PASSWORD) -> str:
    return hash_password(password, salt=b"0123456789abcdef", cost=COST)


def directory() -> dict[str, Any]:
    """Return the directory document as JSON values, for tests to change."""
    return {
        "tenants": [
            {
                "id": CONTOSO, "name": "contoso", "display_name": "Contoso", "domains": ["contoso.example"],
                "ca_certificate": "certs/contoso/ca.pem", "ca_key": "certs/contoso/ca.key",
                "forwarding_profiles": ["contoso.json"], "channels": {"private": PRIVATE, "internet": INTERNET},
                "applications": [
                    {"id": WIKI, "name": "Wiki", "assignments": {"groups": ["staff"]}},
                    {"id": VAULT, "name": "Vault"},
                ],
                "groups": [{"id": STAFF, "name": "Staff"}],
                "users": [
                    {"oid": ALEX, "upn": "alex@contoso.example", "display_name": "Alex Berg",
                     "password_hash": password_hash(), "groups": ["staff"]},
                    {"oid": BOB, "upn": "bob@contoso.example", "display_name": "Bob",
                     "password_hash": password_hash()},
                    {"oid": EVE, "upn": "eve@contoso.example", "display_name": "Eve",
                     "password_hash": password_hash(), "state": "disabled"},
                ],
            },
            {
                "id": FABRIKAM, "name": "fabrikam", "display_name": "Fabrikam", "domains": ["fabrikam.example"],
                "ca_certificate": "certs/fabrikam/ca.pem", "ca_key": "certs/fabrikam/ca.key",
                "forwarding_profiles": ["fabrikam.json"],
                "applications": [{"id": WIKI_F, "name": "Wiki", "assignments": {"users": [ALEX_F]}}],
                "users": [
                    {"oid": ALEX_F, "upn": "alex_contoso.example#EXT#@fabrikam.example", "display_name": "Alex (guest)",
                     "user_type": "guest", "home": {"tenant": "contoso", "oid": ALEX}},
                ],
            },
            {
                "id": WOODGROVE, "name": "woodgrove", "display_name": "Woodgrove Bank", "domains": [],
                "consent_required": True,
                "users": [
                    {"oid": ALEX_W, "upn": "alex@woodgrove.example", "display_name": "Alex",
                     "home": {"tenant": CONTOSO, "oid": "alex@contoso.example"}},
                ],
            },
            {"id": TAILSPIN, "name": "tailspin", "display_name": "Tailspin Toys", "domains": ["tailspin.example"]},
        ],
    }


def profile(tenant: str, audience: str | None, assignments: dict[str, Any]) -> dict[str, Any]:
    channel: dict[str, Any] = {"edge": f"{tenant}.private.edge.test:8443"}
    if audience:
        channel["audience"] = audience
    return {
        "schema": 1, "id": f"{tenant}-private", "tenant": tenant, "version": 3, "assignments": assignments,
        "channels": {"private": channel},
        "applications": [{"id": WIKI, "name": "Wiki"}],
        "rules": [{"id": "wiki", "channel": "private", "application": WIKI, "destinations": ["wiki.corp.internal"]}],
    }


def prepare(root: Path) -> None:
    """Write what is slow to make and the same for every test: certificates, profiles, signing keys, empty tables."""
    names = [TenantNames(name, (f"{name}.edge.test",)) for name in ("contoso", "fabrikam")]
    renew_directory(root / "certs", names)
    (root / "contoso.json").write_text(json.dumps(profile("contoso", None, {"groups": ["Staff"]})))
    (root / "fabrikam.json").write_text(json.dumps(profile("fabrikam", PRIVATE_F, {"user_types": ["guest"]})))
    keys = KeyRing(root / "state" / "idp-keys", KeyPolicy(1, 1, 1))
    keys.advance(dict.fromkeys((CONTOSO, FABRIKAM, WOODGROVE, TAILSPIN), ()), int(time.time()))
    database = root / "state" / "idp.sqlite"
    database.touch(0o600)
    engine = create_engine(f"sqlite:///{database}")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    schema.create_all(engine)
    engine.dispose()


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """Files in a temporary directory, and the provider that was opened over them."""

    root: Path
    clock: Clock
    settings: IdpSettings
    provider: Provider | None = None
    app: Any = None
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    @classmethod
    def copy(cls, prepared: Path, root: Path, clock: Clock, **lifetimes: Any) -> World:
        """Make a world of its own in `root` out of a prepared one."""
        shutil.copytree(prepared, root, dirs_exist_ok=True)
        world = cls(root, clock, IdpSettings(
            listen="127.0.0.1:0", public_url=BASE, certificate=root / "certs/idp/idp.pem",
            key=root / "certs/idp/idp.key", directory=root / "directory.json", state=root / "state" / "idp.sqlite",
            lifetimes=lifetimes,
        ))
        world.write_directory(directory())
        return world

    def write_directory(self, document: dict[str, Any]) -> None:
        (self.root / "directory.json").write_text(json.dumps(document))

    async def open(self) -> None:
        self.provider = await Provider.open(self.settings, BASE, self.clock)
        self.app = build_application(self.provider)

    async def close(self) -> None:
        for client in self.clients:
            await client.aclose()
        self.clients.clear()
        if self.provider is not None:
            await self.provider.close()
            assert self.app.inner.state.internal_errors == 0, "an internal error was answered with a 500"
            self.provider = None

    def browser(self) -> Browser:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=BASE)
        self.clients.append(client)
        return Browser(client)

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.root / "state" / name).read_text().splitlines()]


class PageForm(HTMLParser):
    """The fields of a page's form, its buttons, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.buttons: list[str] = []
        self.action = ""
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = values["action"]
        elif tag == "input":
            self.fields[values["name"]] = values.get("value", "")
        elif tag == "button":
            self.buttons.append(values["value"])

    def handle_data(self, data: str) -> None:
        self.text += data


@dataclass
class Verifier:
    """A PKCE pair."""

    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def challenge(self) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass
class Browser:
    """A person with a browser, and the client program that sent them."""

    http: httpx.AsyncClient
    pkce: Verifier = field(default_factory=Verifier)

    def request(self, **changes: Any) -> dict[str, str]:
        parameters = {
            "client_id": DAEMON_CLIENT, "response_type": "code", "redirect_uri": CALLBACK, "scope": DIRECTORY_SCOPE,
            "state": "st-1", "nonce": "no-1", "code_challenge": self.pkce.challenge, "code_challenge_method": "S256",
        } | changes
        return {name: value for name, value in parameters.items() if value is not None}

    async def authorize(self, tenant: str, *, headers: dict[str, str] | None = None, **changes: Any) -> httpx.Response:
        url = f"/{tenant}/oauth2/v2.0/authorize"
        return await self.http.get(url, params=self.request(**changes), headers=headers)

    async def submit(self, page: httpx.Response, action: str, **fields: str) -> httpx.Response:
        form = PageForm(page.text)
        assert action in form.buttons, form.text
        return await self.http.post(form.action, data=form.fields | fields | {"action": action})

    async def sign_in(
        self, tenant: str, user: str = "alex@contoso.example", password: str = PASSWORD, **changes: Any
    ) -> httpx.Response:
        page = await self.authorize(tenant, **changes)
        assert page.status_code == 200, page.headers
        return await self.submit(page, "sign_in", username=user, password=password)

    async def token(self, tenant: str, **form: Any) -> httpx.Response:
        fields = {"client_id": DAEMON_CLIENT, **form}
        return await self.http.post(f"/{tenant}/oauth2/v2.0/token", data=fields)

    async def redeem(self, tenant: str, granted: str, **changes: Any) -> httpx.Response:
        fields = {
            "grant_type": "authorization_code", "code": granted, "redirect_uri": CALLBACK,
            "code_verifier": self.pkce.verifier,
        } | changes
        return await self.token(tenant, **fields)

    async def signed_in(self, tenant: str, **changes: Any) -> dict[str, Any]:
        """Sign in through the page and return the token response."""
        response = await self.redeem(tenant, answer(await self.sign_in(tenant, **changes))["code"])
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    async def refresh(self, tenant: str, refresh_token: str, **form: Any) -> httpx.Response:
        return await self.token(tenant, grant_type="refresh_token", refresh_token=refresh_token, **form)

    async def silent(self, tenant: str, credential: str, **changes: Any) -> dict[str, str]:
        headers = {"x-session-credential": credential}
        return answer(await self.authorize(tenant, headers=headers, prompt="none", **changes))


def answer(response: httpx.Response) -> dict[str, str]:
    """Return the parameters of a redirect to the client."""
    assert response.status_code == 303, response.text
    location = response.headers["location"]
    assert location.startswith(CALLBACK + "?"), location
    return dict(parse_qsl(urlsplit(location).query))


def claims(token: str) -> dict[str, Any]:
    """Return the payload of a token, unverified."""
    body = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return decoded


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}
