"""A world with people to invite: Dana of Fabrikam, strangers with a mailbox only, and Alex who administers Contoso."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import httpx

from tests.integration.idp.graph.admin import Admin, give_role
from tests.integration.idp.world import (
    ALEX,
    BOB,
    CONTOSO,
    FABRIKAM,
    Browser,
    PageForm,
    World,
    directory,
    password_hash,
)
from tunneld.idp.changes import SYSTEM, AuditEntry
from tunneld.policy.directory import User
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, ObjectRef

DANA = "aaaaaaaa-0000-4000-8000-000000000011"
EMIL = "aaaaaaaa-0000-4000-8000-000000000012"
DANA_MAIL, EMIL_MAIL = "dana@fabrikam.example", "emil@fabrikam.example"
STRANGER = "sam@mail.example"
APPS = "https://apps.contoso.example/welcome"
INVITATIONS = "/v1.0/invitations"


def document() -> dict[str, Any]:
    value = directory()
    value["tenants"][1]["users"] += [
        {"oid": DANA, "upn": DANA_MAIL, "display_name": "Dana", "password_hash": password_hash()},
        {"oid": EMIL, "upn": EMIL_MAIL, "display_name": "Emil", "password_hash": password_hash()},
    ]
    return value


@dataclass
class Scene:
    """The world, and Contoso's administrator."""

    world: World
    admin: Admin

    @classmethod
    async def open(cls, world: World, value: dict[str, Any] | None = None) -> Scene:
        world.write_directory(value or document())
        await world.open()
        await give_role(world, "Global Administrator")
        return cls(world, Admin.mint(world, CONTOSO, ALEX))

    def member(self, oid: str = BOB) -> Admin:
        return Admin.mint(self.world, CONTOSO, oid)

    async def set(self, kind: str, key: str, body: dict[str, Any], tenant: str = CONTOSO) -> None:
        """Store an object without the API."""
        assert self.world.provider is not None
        value = KINDS[kind].model.model_validate(body)
        entry = AuditEntry("Set up", "Test", tenant, SYSTEM)
        change = Change(ObjectRef(tenant, kind, key), value)
        await self.world.provider.commit([change], [entry], correlation_id="0" * 32)

    async def invite(self, address: str = DANA_MAIL, *, by: Admin | None = None, **changes: Any) -> httpx.Response:
        body = {"invitedUserEmailAddress": address, "inviteRedirectUrl": APPS} | changes
        return await (by or self.admin).send("POST", INVITATIONS, body)

    async def invited(self, address: str = DANA_MAIL, **changes: Any) -> Guest:
        response = await self.invite(address, **changes)
        assert response.status_code == 201, response.text
        body = response.json()
        return Guest(self, body["invitedUser"]["id"], body["inviteRedeemUrl"], body)

    def mails(self, to: str = "") -> list[EmailMessage]:
        """Return the outbox, oldest first."""
        folder = self.world.root / "state" / "outbox"
        found = [
            message_from_bytes(path.read_bytes(), policy=policy.default) for path in sorted(folder.glob("*.eml"))
        ]
        assert all(isinstance(one, EmailMessage) for one in found)
        return [one for one in found if to in str(one["To"])]  # type: ignore[misc]

    def code(self, to: str = STRANGER) -> str:
        text = str(self.mails(to)[-1].get_content()).replace("\r", "")
        found = re.search(r"^(\d{8})$", text, re.MULTILINE)
        assert found, text
        return found[1]

    def activities(self, since: int = 0) -> list[tuple[str, str]]:
        lines = [line for line in self.world.lines("audit.jsonl") if "activityDisplayName" in line]
        return [(line["activityDisplayName"], line["result"]) for line in lines[since:]]

    def user(self, oid: str, tenant: str = CONTOSO) -> User | None:
        assert self.world.provider is not None
        return self.world.provider.directory.tenants[tenant].users.get(oid)


@dataclass
class Guest:
    """Somebody who was invited."""

    scene: Scene
    oid: str
    url: str
    body: dict[str, Any]

    @property
    def user(self) -> User:
        user = self.scene.user(self.oid)
        assert user is not None
        return user

    @property
    def state(self) -> str:
        return str(self.user.external_state)

    async def identities(self) -> list[tuple[str, str]]:
        shown = await self.scene.admin.get(f"/v1.0/users/{self.oid}")
        return [(one["signInType"], one["issuer"]) for one in shown["identities"]]

    async def open(self, browser: Browser | None = None) -> tuple[Browser, httpx.Response]:
        browser = browser or self.scene.world.browser()
        return browser, await browser.http.get(self.url)

    async def redeem_at_home(self, user: str = DANA_MAIL) -> tuple[Browser, httpx.Response]:
        """Sign in at home and accept."""
        browser, page = await self.open()
        page = await browser.submit(page, "sign_in", username=user, password="correct horse")
        return browser, await browser.submit(page, "consent")

    async def redeem_by_mail(self, address: str = STRANGER) -> tuple[Browser, httpx.Response]:
        browser, page = await self.open()
        page = await browser.submit(page, "passcode_send")
        page = await browser.submit(page, "passcode", code=self.scene.code(address))
        return browser, await browser.submit(page, "consent")


def text(response: httpx.Response) -> str:
    return PageForm(response.text).text


__all__ = ["ALEX", "BOB", "CONTOSO", "FABRIKAM"]
