"""My Apps: what somebody may open in this tenant, where else they may go, and which organizations they may leave."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from tunneld.idp.answers import correlation_of
from tunneld.idp.changes import Actor, AuditEntry, AuditTarget, ConflictError
from tunneld.idp.conversation.book import conversation
from tunneld.idp.conversation.errand import Errand
from tunneld.idp.conversation.turns import Conversation
from tunneld.idp.decisions import Wanted
from tunneld.idp.guests import guest_objects
from tunneld.idp.pages import form_page, message_page, refusal_page
from tunneld.idp.provider import Provider
from tunneld.idp.sessions import clear_session
from tunneld.idp.store import Session
from tunneld.idp.tenant_pages import Fields, tenant_page
from tunneld.policy.directory import ACCESS_PANEL, ObjectKey, Tenant, User
from tunneld.policy.sign_in import Deny, Grant


@tenant_page
async def my_apps(provider: Provider, request: Request, tenant: Tenant, fields: Fields) -> Response:
    """Serve GET and POST /{tenant}/myapps."""
    talk = conversation(provider, request, _Panel(provider, request, tenant).errand(), fields)
    return await talk.answer_form() if request.method == "POST" else await talk.begin()


def memberships(provider: Provider, account: ObjectKey) -> list[tuple[Tenant, User]]:
    """Return where an account has an object besides at home, by the tenants' names."""
    directory = provider.directory
    own = directory.user(account)
    keys = list(directory.visits.get(account, ()))
    if own is not None and own.external is not None:
        keys.append(account)
    found = [(directory.tenants[tenant_id], directory.tenants[tenant_id].users[oid]) for tenant_id, oid in keys]
    return sorted(found, key=lambda pair: pair[0].name)


class _Panel:
    """One request to the page, in one tenant."""

    def __init__(self, provider: Provider, request: Request, tenant: Tenant) -> None:
        self._provider = provider
        self._request = request
        self._tenant = tenant

    def errand(self) -> Errand:
        """Return the errand: whoever comes back with a grant sees the page."""
        client = self._provider.directory.clients[ACCESS_PANEL]
        return Errand(
            Wanted(self._tenant, client, ACCESS_PANEL), (), self._conclude, self._refused, via="my_apps_",
            actions={"leave": self._leave},
        )

    async def _conclude(self, grant: Grant, session: Session) -> Response:
        return self._page(grant, session)

    def _page(self, grant: Grant, session: Session, *, done: str = "", error: str = "") -> Response:
        account, here = session.account, self._tenant
        elsewhere = memberships(self._provider, account)
        home = self._provider.directory.tenants[account[0]]
        places = [home, *(tenant for tenant, user in elsewhere if user.enabled and tenant.id != home.id)]
        values = {
            "hidden": (), "username": grant.home_user.upn if grant.home_user.external is None else grant.home_user.mail,
            "applications": sorted(
                one.name for one in here.applications.values() if one.assignments.closeness(grant.user) is not None
            ),
            "places": [(f"/{tenant.id}/myapps", tenant.display_name, tenant.id == here.id) for tenant in places],
            "leavable": [
                (tenant.id, tenant.display_name) for tenant, _ in elsewhere
                if tenant.policy.collaboration.guests_may_leave
            ],
            "done": done, "error": error,
        }
        return form_page(self._provider, self._request, "my_apps.html", here, values)

    async def _leave(self, talk: Conversation, grant: Grant, session: Session) -> Response:
        """Take the account's object out of an organization; it can be restored there for 30 days."""
        wanted = talk.fields.get("organization", "").lower()
        found = [(tenant, user) for tenant, user in memberships(self._provider, session.account) if tenant.id == wanted]
        if not found:
            return self._page(grant, session, error="You are not a guest of that organization.")
        tenant, user = found[0]
        if not tenant.policy.collaboration.guests_may_leave:
            error = f"{tenant.display_name} does not let its guests leave by themselves. Ask its administrators."
            return self._page(grant, session, error=error)
        record = AuditEntry(
            "Delete external user", "UserManagement", tenant.id, Actor("user", tenant.id, user.oid, user.upn),
            (AuditTarget(user.oid, user.upn, "User"),), details={"reason": "The user left the organization."},
            service="Invited Users",
        )
        changes = guest_objects.removed(self._provider.directory, tenant.id, user.oid, self._provider.now())
        try:
            await self._provider.commit(changes, [record], correlation_id=correlation_of(self._request))
        except ConflictError as error_:
            return self._page(grant, session, error=error_.conflict.message)
        if tenant.id == self._tenant.id:
            response: Response = message_page(
                heading=f"You left {tenant.display_name}", text="You are not a guest there any more.", tenant=tenant
            )
            if session.account[0] == tenant.id:
                clear_session(response)
            return response
        return self._page(grant, session, done=f"You left {tenant.display_name}.")

    def _refused(self, denied: Deny) -> Response:
        if not denied.trace:  # nothing was decided: the person said no
            return message_page(heading="Signed out", text="You can close this page.", tenant=self._tenant)
        return refusal_page(self._request, denied.refusal, self._tenant)
