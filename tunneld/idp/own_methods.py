"""The security info page: what somebody proves themselves with in one tenant; list, add, remove.

At home these are the methods of the account. At a visited tenant they are the guest's own there, for where that tenant
does not trust the home's second factor. Policies for the user action `urn:user:registersecurityinfo` apply.
"""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from tunneld.idp.conversation.book import conversation
from tunneld.idp.conversation.errand import Errand
from tunneld.idp.conversation.mfa import USABLE
from tunneld.idp.conversation.passkey import show_registration
from tunneld.idp.conversation.register import show_app, take_app, take_passkey
from tunneld.idp.conversation.turns import Conversation
from tunneld.idp.credentials import PASSKEY, SOFTWARE_OATH, registered, remove
from tunneld.idp.decisions import Wanted
from tunneld.idp.evidence import HOME, proved, record_method
from tunneld.idp.method_records import DELETED, method_changed
from tunneld.idp.pages import form_page, message_page, refusal_page
from tunneld.idp.passkeys import offered
from tunneld.idp.provider import Provider
from tunneld.idp.store import Session
from tunneld.idp.tenant_pages import Fields, tenant_page
from tunneld.policy.conditional_access.outcome import Interaction, Task
from tunneld.policy.directory import ACCESS_PANEL, ObjectKey, Tenant
from tunneld.policy.facts import MethodUse, Place
from tunneld.policy.sign_in import Deny, Grant

REGISTER_ACTION = "urn:user:registersecurityinfo"
RECENT_S = 600  # a second factor must be this fresh before methods are changed: ten minutes in Microsoft Entra ID


@tenant_page
async def security_info(provider: Provider, request: Request, tenant: Tenant, fields: Fields) -> Response:
    """Serve GET and POST /{tenant}/mysecurityinfo."""
    talk = conversation(provider, request, _SecurityPage(provider, request, tenant).errand(), fields)
    return await talk.answer_form() if request.method == "POST" else await talk.begin()


class _SecurityPage:
    """One request to the page, in one tenant."""

    def __init__(self, provider: Provider, request: Request, tenant: Tenant) -> None:
        self._provider = provider
        self._request = request
        self._tenant = tenant

    def errand(self) -> Errand:
        """Return the errand: whoever comes back with a grant sees the list."""
        client = self._provider.directory.clients[ACCESS_PANEL]
        wanted = Wanted(self._tenant, client, ACCESS_PANEL, user_action=REGISTER_ACTION)
        return Errand(
            wanted, (), self._conclude, self._refused, demand=self._demand, via="security_info_",
            actions={
                "add_app": self._offer_app, "register": self._add_app, "add_passkey": self._offer_passkey,
                "passkey_register": self._add_passkey, "remove": self._remove, "decline": self._back,
            },
        )

    async def _demand(self, grant: Grant, session: Session) -> Interaction | None:
        """Somebody who has a method uses it first: a stolen password or an open browser must not add another."""
        known = await registered(self._provider.database, self._owner(grant))
        place = self._place(grant)
        if not known.methods & USABLE[place]:
            return None
        where = HOME if place is Place.HOME else self._tenant.id
        since = self._provider.now() - RECENT_S
        uses = (await proved(self._provider.database, session.id)).at(where)
        if any(use.method in USABLE[place] and use.at >= since for use in uses):
            return None
        return Interaction(Task.MFA, place)

    async def _conclude(self, grant: Grant, session: Session) -> Response:
        return await self._list(grant, session)

    async def _list(self, grant: Grant, session: Session, *, done: str = "", error: str = "") -> Response:
        known = await registered(self._provider.database, self._owner(grant))
        rows = [("Authenticator app", app.name, _day(app.created_at), app.id) for app in known.apps]
        rows += [("Passkey", kept.name, _day(kept.created_at), kept.id) for kept in known.passkeys]
        passkeys = self._place(grant) is Place.HOME and offered(self._provider)
        account = self._provider.directory.user(session.account)
        values = {
            "hidden": (), "username": account.upn if account else "", "rows": rows, "passkeys": passkeys, "done": done,
            "error": error, "visiting": session.account[0] != self._tenant.id,
        }
        return form_page(self._provider, self._request, "security_info.html", self._tenant, values)

    async def _offer_app(self, talk: Conversation, grant: Grant, session: Session) -> Response:
        return show_app(talk, session, self._owner(grant))

    async def _add_app(self, talk: Conversation, grant: Grant, session: Session) -> Response:
        wrong = await take_app(talk, session, self._owner(grant))
        if wrong is not None:
            return show_app(talk, session, self._owner(grant), wrong)
        await self._used(grant, session, SOFTWARE_OATH)
        return await self._list(grant, session, done="The authenticator app was added.")

    async def _offer_passkey(self, talk: Conversation, grant: Grant, session: Session) -> Response:
        if self._place(grant) is not Place.HOME:
            return await self._list(grant, session, error="Passkeys are registered at home only.")
        owner = self._owner(grant)
        return show_registration(talk, owner, await registered(self._provider.database, owner))

    async def _add_passkey(self, talk: Conversation, grant: Grant, session: Session) -> Response:
        if self._place(grant) is not Place.HOME or not await take_passkey(talk, self._owner(grant)):
            return await self._list(grant, session, error="The passkey was not created.")
        await self._used(grant, session, PASSKEY)
        return await self._list(grant, session, done="The passkey was added.")

    async def _remove(self, talk: Conversation, grant: Grant, session: Session) -> Response:
        owner, method_id = self._owner(grant), talk.fields.get("method", "")
        if not await remove(self._provider.database, owner, method_id):
            return await self._list(grant, session, error="There is no such method.")
        await method_changed(self._provider, self._request, owner, DELETED, id=method_id[:64])
        return await self._list(grant, session, done="The method was removed.")

    async def _back(self, talk: Conversation, grant: Grant, session: Session) -> Response:
        del talk
        return await self._list(grant, session)

    async def _used(self, grant: Grant, session: Session, method: str) -> None:
        """A method that was just registered was used in doing so."""
        where = HOME if self._place(grant) is Place.HOME else self._tenant.id
        await record_method(self._provider.database, session.id, where, MethodUse(method, self._provider.now()))

    def _refused(self, denied: Deny) -> Response:
        if not denied.trace:  # nothing was decided: the person said no
            return message_page(heading="Nothing was changed", text="You can close this page.", tenant=self._tenant)
        return refusal_page(self._request, denied.refusal, self._tenant)

    def _owner(self, grant: Grant) -> ObjectKey:
        return self._tenant.id, grant.user.oid

    def _place(self, grant: Grant) -> Place:
        return Place.HOME if grant.home.id == self._tenant.id else Place.RESOURCE


def _day(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
