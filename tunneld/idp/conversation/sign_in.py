"""The first page: who are you, and the password."""

from __future__ import annotations

from starlette.responses import Response

from tunneld.idp.conversation.turns import Answer, Conversation, Declined, Page, Turn
from tunneld.idp.federation.first_factors import send_to_provider, social_buttons
from tunneld.idp.guests.branding import style_url
from tunneld.idp.pages import LOCKED, WRONG_CREDENTIALS
from tunneld.idp.passkeys import offered
from tunneld.policy.directory import Tenant
from tunneld.policy.guests.branding import branding_of
from tunneld.policy.refusals import refusal

AGAIN = "It has been a while, or this organization asks each time: sign in again to continue."


async def show_sign_in(talk: Conversation, error: str) -> Response:
    """Show the page with the name that was typed, or that the client hinted at.

    Whom an outside provider signs in is sent there at once.
    """
    if not error and talk.request.method == "GET":
        away = await send_to_provider(talk, talk.errand.login_hint)
        if away is not None:
            return away
    return _page(talk, talk.fields.get("username", talk.errand.login_hint)[:128], error)


async def take_password(talk: Conversation) -> Response:
    """Judge a typed name and password."""
    provider = talk.provider
    typed = talk.fields.get("username", "")
    away = await send_to_provider(talk, typed)
    if away is not None:
        return away
    account, proof = await provider.gate.check(
        provider.directory, typed, talk.fields.get("password", ""), provider.now()
    )
    wrong = LOCKED if proof.locked else WRONG_CREDENTIALS
    return await talk.proven(account, proof, typed=typed, wrong=wrong)


async def _show_again(turn: Turn) -> Response:
    return _page(turn.talk, turn.talk.name_of(turn.session.account), turn.error, lead=AGAIN)


async def _decline(turn: Turn) -> Answer:
    del turn
    return Declined(refusal(65004, "The user cancelled the sign-in."))


# A fresh sign-in is asked for although there is a session. The answers are the first factors', which come before.
PAGE = Page(_show_again, {"decline": _decline})


def _page(talk: Conversation, username: str, error: str, lead: str = "") -> Response:
    wanted = talk.errand.wanted
    home = talk.provider.directory.home_realm(username)
    branding = branding_of(home or wanted.tenant)
    # Ways in for guests from outside, who have to name the organization that they visit.
    visited = talk.errand.at_home is None
    values = {
        "client": wanted.client.name, "username": username, "error": error, "lead": lead,
        "passkeys": offered(talk.provider), "social": social_buttons(talk) if visited else [],
        # By domain, not by account: the page must look the same for accounts that do not exist.
        "home": _display_name(home), "branding": branding, "style": style_url(home or wanted.tenant),
        "passcodes": visited and wanted.tenant.policy.collaboration.one_time_passcode,
        "personal": visited
        and wanted.tenant.policy.cross_tenant.redemption_order().value.fallback != "emailOneTimePasscode",
    }
    return talk.page("sign_in.html", values)


def _display_name(tenant: Tenant | None) -> str:
    return tenant.display_name if tenant else ""
