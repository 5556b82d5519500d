"""The page behind an invitation's link: from the ticket to the right provider, review permissions, and onwards.

The link proves nothing about who opens it; only the account that it names can accept. What was decided about the
address since the invitation was sent is judged first, each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tunneld.idp.answers import correlation_of
from tunneld.idp.conversation.book import BOOK
from tunneld.idp.conversation.errand import Errand
from tunneld.idp.conversation.sign_in import show_sign_in
from tunneld.idp.conversation.turns import Conversation
from tunneld.idp.decisions import Wanted
from tunneld.idp.guests.acceptance import record_failure
from tunneld.idp.guests.guest_objects import link
from tunneld.idp.guests.tickets import invitation_of
from tunneld.idp.guests.ways import choice_for
from tunneld.idp.pages import message_page, refusal_page
from tunneld.idp.provider import Provider
from tunneld.idp.sessions import find_session
from tunneld.idp.store import Session
from tunneld.idp.tenant_pages import Fields, tenant_page
from tunneld.policy.directory import ACCESS_PANEL, SignInWay, Tenant, User
from tunneld.policy.guests.invitation import Proposal, Refuse, judge_redemption
from tunneld.policy.guests.invitation_object import Invitation
from tunneld.policy.guests.redemption import Choice
from tunneld.policy.refusals import refusal
from tunneld.policy.sign_in import Deny, Grant

_LABELS = {
    SignInWay.HOME: ("use_home", "Use my work or school account"),
    SignInWay.FEDERATION: ("federation", "Sign in at my organization"),
    SignInWay.SOCIAL: ("federation", "Continue with Google"),
    SignInWay.MAIL: ("passcode_send", "Mail me a code"),
    SignInWay.PERSONAL: ("personal_sign_in", "Use my personal account"),
}
_NOBODY = "This organization has switched off every way to sign in with your address. Ask whoever invited you."


@tenant_page
async def redeem(provider: Provider, request: Request, tenant: Tenant, fields: Fields) -> Response:
    """Serve GET and POST /{tenant}/redeem."""
    invitation = invitation_of(provider, tenant, fields.get("ticket", ""))
    guest = tenant.users.get(invitation.invited_user.id) if invitation and invitation.invited_user else None
    if invitation is None or guest is None:
        return message_page(
            heading="This invitation is not valid", text="It was withdrawn, or a newer one has taken its place.",
            tenant=tenant, status=404,
        )
    return await _Redemption(provider, request, tenant, invitation, guest).serve(fields)


class _Redemption:
    """One request of somebody who follows a link."""

    def __init__(
        self, provider: Provider, request: Request, tenant: Tenant, invitation: Invitation, guest: User
    ) -> None:
        self._provider = provider
        self._request = request
        self._tenant = tenant
        self._invitation = invitation
        self._guest = guest

    async def serve(self, fields: Mapping[str, str]) -> Response:
        """Judge the invitation as everything stands now, and go on with the conversation."""
        if self._guest.pending:
            refused = await self._judge()
            if refused is not None:
                return refused
        talk = self._talk(fields)
        if self._request.method == "POST":
            return await talk.answer_form()
        return await talk.begin(fresh=not await self._is_invited(await find_session(self._provider, self._request)))

    async def _judge(self) -> Response | None:
        address = self._invitation.invited_user_email_address
        proposal = Proposal(self._tenant, None, address, application=self._invitation.application or "")
        outcome = judge_redemption(proposal, self._provider.directory)
        if not isinstance(outcome, Refuse):
            return None
        await record_failure(
            self._provider, self._tenant, self._guest, outcome.message,
            {"gate": outcome.gate, "tenant": outcome.tenant, "rule": outcome.code},
            correlation_id=correlation_of(self._request),
        )
        found = refusal(outcome.aadsts or 50014, outcome.message)
        return message_page(
            heading="This invitation cannot be accepted", text=f"{outcome.message} {outcome.mend}",
            tenant=self._tenant, detail=f"AADSTS{found.code}, {outcome.gate} of {outcome.tenant}", status=403,
        )

    def _talk(self, fields: Mapping[str, str]) -> Conversation:
        client = self._provider.directory.clients[ACCESS_PANEL]
        address = self._invitation.invited_user_email_address
        errand = Errand(
            Wanted(self._tenant, client, ACCESS_PANEL), (("ticket", fields.get("ticket", "")),), self._conclude,
            self._refuse, redirect_uri=self._invitation.invite_redirect_url, via="redemption_",
        )
        factors = {**BOOK.first_factors, "use_home": self._use_home, "sign_in": self._sign_in}
        book = replace(BOOK, sign_in=self._show, first_factors=factors)
        # No hint: it would hold a guest's own session against the home account of the same address.
        return Conversation(self._provider, self._request, errand, {"username": address, **fields}, book)

    async def _is_invited(self, session: Session | None) -> bool:
        """Tell whether a session is the invited person's: of the guest, or of the account at home."""
        if session is None:
            return False
        account = self._provider.directory.account(self._invitation.invited_user_email_address)
        mine = {(self._tenant.id, self._guest.oid), self._guest.home}
        return session.account in mine or (self._guest.pending and session.account == account)

    async def _show(self, talk: Conversation, error: str) -> Response:
        """Show the one way to sign in, or the ways to choose from."""
        choice = await self._choice()
        if choice.ways == (SignInWay.HOME,):
            return await show_sign_in(talk, error)
        if not choice.ways:
            return message_page(
                heading="This invitation cannot be accepted", text=_NOBODY, tenant=self._tenant, detail=choice.rule,
                status=403,
            )
        options = [
            ("personal_offer", "Create a personal account") if way is SignInWay.PERSONAL and choice.create
            else _LABELS[way] for way in choice.ways
        ]
        values = {
            "username": self._invitation.invited_user_email_address, "error": error, "options": options,
            "password": any(action == "personal_sign_in" for action, _ in options),
        }
        return talk.page("invited.html", values)

    async def _choice(self) -> Choice:
        if self._guest.pending:
            return await choice_for(self._provider, self._tenant, self._invitation.invited_user_email_address)
        return Choice((self._guest.way,), "redeemed before")

    async def _use_home(self, talk: Conversation) -> Response:
        return await show_sign_in(talk, "")

    async def _sign_in(self, talk: Conversation) -> Response:
        """Let the home account have its place before it is asked for; only the right password comes further."""
        if self._guest.pending and SignInWay.HOME in (await self._choice()).ways:
            await link(
                self._provider, self._tenant, self._guest, self._invitation.invited_user_email_address,
                correlation_id=correlation_of(self._request),
            )
        return await BOOK.first_factors["sign_in"](talk)

    async def _conclude(self, grant: Grant, session: Session) -> Response:
        """Send the guest where the invitation leads; somebody else is told whose it is."""
        del session
        if grant.user.oid != self._guest.oid:
            return message_page(
                heading="This invitation is for somebody else",
                text=f"You are signed in as {grant.home_user.upn}. Sign out, and follow the link again.",
                tenant=self._tenant, status=403,
            )
        return RedirectResponse(self._invitation.invite_redirect_url, status_code=303)

    def _refuse(self, denied: Deny) -> Response:
        if not denied.trace:  # nothing was decided: the person said no
            text = "You are not a guest of the organization. The link stays good if you change your mind."
            return message_page(heading="Nothing was accepted", text=text, tenant=self._tenant)
        return refusal_page(self._request, denied.refusal, self._tenant)
