"""The page that talks to an authenticator: to sign in, as a second factor, or to register a passkey."""

from __future__ import annotations

from starlette.responses import Response

from tunneld.idp.ceremonies import Purpose
from tunneld.idp.conversation.turns import Conversation
from tunneld.idp.credentials import PASSKEY, Registered
from tunneld.idp.passkeys import assertion_options, offered, registration_options, signer
from tunneld.idp.sessions import CSRF_COOKIE
from tunneld.policy.directory import ObjectKey, SignInWay
from tunneld.policy.sign_in import MethodProof

NOT_RECOGNIZED = "That passkey was not recognized. Try again, or sign in another way."
NOT_OFFERED = "Passkeys need this server to be reached by a host name, not by an IP address."


async def show_sign_in(talk: Conversation) -> Response:
    """Ask for any passkey of this provider: the authenticator says whose it is."""
    return _page(talk, Purpose.SIGN_IN, None, None, "")


async def take_sign_in(talk: Conversation) -> Response:
    """Judge a passkey as the first factor; with the person verified by the authenticator it is also the second."""
    challenge = finish(talk, Purpose.SIGN_IN, None)
    owner = await signer(talk.provider, challenge, talk.fields.get("credential", "")) if challenge else None
    user = talk.provider.directory.user(owner) if owner is not None else None
    if user is None or user.way is not SignInWay.HERE or user.external_state is not None:
        owner = None  # whoever was invited to sign in elsewhere keeps no key of the time before
    return await talk.proven(owner, MethodProof(PASSKEY, owner is not None), typed="", wrong=NOT_RECOGNIZED)


def show_second_factor(talk: Conversation, owner: ObjectKey, known: Registered, error: str = "") -> Response:
    """Ask for one of the passkeys of somebody who has signed in."""
    return _page(talk, Purpose.SECOND_FACTOR, owner, known, error)


def finish(talk: Conversation, purpose: Purpose, owner: ObjectKey | None) -> bytes | None:
    """Return the challenge that the page was given, once."""
    browser = talk.request.cookies.get(CSRF_COOKIE, "")
    ceremony = talk.fields.get("ceremony", "")
    return talk.provider.factors.ceremonies.finish(ceremony, purpose, browser, owner, talk.provider.clock())


def show_registration(talk: Conversation, owner: ObjectKey, known: Registered, error: str = "") -> Response:
    """Ask the authenticator for a new passkey."""
    if not offered(talk.provider):
        return talk.page("message_form.html", {"heading": "Passkeys are not offered here", "text": NOT_OFFERED})
    ceremony, challenge = talk.provider.factors.ceremonies.start(Purpose.REGISTER, *_here(talk, owner))
    options = registration_options(talk.provider, owner, talk.name_of(owner), challenge, known)
    return _show(talk, Purpose.REGISTER, ceremony, options, error=error, username=talk.name_of(owner))


def _page(
    talk: Conversation, purpose: Purpose, owner: ObjectKey | None, known: Registered | None, error: str
) -> Response:
    if not offered(talk.provider):
        return talk.page("message_form.html", {"heading": "Passkeys are not offered here", "text": NOT_OFFERED})
    ceremony, challenge = talk.provider.factors.ceremonies.start(purpose, *_here(talk, owner))
    options = assertion_options(talk.provider, challenge, known)
    return _show(talk, purpose, ceremony, options, error=error, username=talk.name_of(owner) if owner else "")


def _here(talk: Conversation, owner: ObjectKey | None) -> tuple[str, ObjectKey | None, float]:
    return talk.request.cookies.get(CSRF_COOKIE, ""), owner, talk.provider.clock()


_WORDS = {
    Purpose.SIGN_IN: ("Sign in with a passkey", "passkey_sign_in", "Use passkey"),
    Purpose.SECOND_FACTOR: ("Verify with your passkey", "passkey_mfa", "Use passkey"),
    Purpose.REGISTER: ("Create a passkey", "passkey_register", "Create passkey"),
}


def _show(
    talk: Conversation, purpose: Purpose, ceremony: str, options: str, *, error: str, username: str
) -> Response:
    heading, action, button = _WORDS[purpose]
    values = {
        "heading": heading, "ceremony": ceremony, "options": options, "error": error, "username": username,
        "answer": action, "button": button, "kind": "create" if purpose is Purpose.REGISTER else "get",
    }
    return talk.page("passkey.html", values, script=True)
