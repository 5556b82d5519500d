"""Registering a second factor while signing in, where a policy asks for one and the person has none."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from tunneld.idp.ceremonies import Purpose
from tunneld.idp.conversation import passkey
from tunneld.idp.conversation.mfa import owner_of, record, usable
from tunneld.idp.conversation.turns import Again, Answer, Answered, Conversation, Declined, Page, Turn
from tunneld.idp.credentials import MAX_METHODS, PASSKEY, SOFTWARE_OATH, AuthenticatorApp, add_app, registered
from tunneld.idp.method_records import REGISTERED, method_changed
from tunneld.idp.passkeys import offered
from tunneld.idp.passkeys import register as register_passkey
from tunneld.idp.sealing import new_id
from tunneld.idp.store import Session
from tunneld.idp.totp import key_uri, matching_step, new_seed, qr_code, shown_seed
from tunneld.idp.vault import lock, unlock
from tunneld.policy.directory import ObjectKey
from tunneld.policy.refusals import refusal

OFFER_S = 900  # how long a shown seed may be confirmed: as long as a device code lives
WRONG_CODE = "That code does not belong to this key. Check the clock of your device and try again."
EXPIRED = "The page was open for too long. Here is a new key."
ALREADY = "A method is registered already; use that one. More can be added on the security info page."


def show_app(talk: Conversation, session: Session, owner: ObjectKey, error: str = "", **more: object) -> Response:
    """Show a seed as QR code and text. It stays in the page, encrypted, until a code proves that it was taken.

    After a wrong code it is the same one: an app has it by then, and would need another entry for a fresh one.
    """
    provider = talk.provider
    kept = _offered(talk, session, owner) if error == WRONG_CODE else None
    offer = kept or {"id": new_id(), "seed": new_seed().hex(), "until": provider.now() + OFFER_S}
    tenant, name = provider.directory.tenants[owner[0]], talk.name_of(session.account)
    seed = bytes.fromhex(offer["seed"])
    values = {
        "username": name, "asking": tenant.display_name, "error": error, "seed": shown_seed(seed),
        "qr": qr_code(key_uri(seed, issuer=tenant.display_name, account=name)),
        "offer": lock(provider.seal, _offer_to(session, owner), json.dumps(offer).encode()), "passkey": False, **more,
    }
    return talk.page("register_mfa.html", values)


async def take_app(talk: Conversation, session: Session, owner: ObjectKey) -> str | None:
    """Register the app whose code was typed; None when that went well, else the sentence."""
    provider, fields = talk.provider, talk.fields
    offer = _offered(talk, session, owner)
    if offer is None:
        return EXPIRED
    known = await registered(provider.database, owner)
    if len(known.apps) >= MAX_METHODS:
        return "There are too many authenticator apps. Remove one first."
    seed = bytes.fromhex(offer["seed"])
    step = matching_step(seed, fields.get("code", ""), provider.now())
    if step is None:
        return WRONG_CODE
    if any(app.id == offer["id"] for app in known.apps):
        return "This key is registered already."
    name = _name(fields.get("name", ""), "Authenticator app")
    app = AuthenticatorApp(
        offer["id"], owner, name, lock(provider.seal, f"seed\0{offer['id']}", seed), step, provider.now()
    )
    await add_app(provider.database, app)
    await method_changed(provider, talk.request, owner, REGISTERED, method=SOFTWARE_OATH, name=name)
    return None


async def take_passkey(talk: Conversation, owner: ObjectKey) -> bool:
    """Register the passkey that the browser made; tell whether that went well."""
    provider = talk.provider
    challenge = passkey.finish(talk, Purpose.REGISTER, owner)
    known = await registered(provider.database, owner)
    if challenge is None or len(known.passkeys) >= MAX_METHODS:
        return False
    name = _name(talk.fields.get("name", ""), "Passkey")
    if not await register_passkey(provider, owner, name, challenge, talk.fields.get("credential", "")):
        return False
    await method_changed(provider, talk.request, owner, REGISTERED, method=PASSKEY, name=name)
    return True


def _name(typed: str, otherwise: str) -> str:
    return typed.strip()[:64] or otherwise


def _offered(talk: Conversation, session: Session, owner: ObjectKey) -> dict[str, Any] | None:
    """Return the seed that the page came with, while it may be confirmed."""
    opened = unlock(talk.provider.seal, _offer_to(session, owner), talk.fields.get("offer", ""))
    offer: dict[str, Any] | None = json.loads(opened) if opened is not None else None
    return offer if offer is not None and talk.provider.now() < offer["until"] else None


def _offer_to(session: Session, owner: ObjectKey) -> str:
    return f"offer\0{session.id}\0{owner[0]}\0{owner[1]}"


async def _show(turn: Turn) -> Response:
    owner = owner_of(turn)
    possible = usable(turn.interaction)
    if SOFTWARE_OATH not in possible and PASSKEY in possible:
        known = await registered(turn.talk.provider.database, owner)
        return passkey.show_registration(turn.talk, owner, known, turn.error)
    more = {"passkey": PASSKEY in possible and offered(turn.talk.provider)}
    return show_app(turn.talk, turn.session, owner, turn.error, **more)


async def _take_app(turn: Turn) -> Answer:
    owner = owner_of(turn)
    if await _has_one(turn, owner) or SOFTWARE_OATH not in usable(turn.interaction):
        return Again(ALREADY)
    wrong = await take_app(turn.talk, turn.session, owner)
    if wrong is not None:
        return Again(wrong)
    await record(turn, SOFTWARE_OATH)
    return Answered()


async def _ask_passkey(turn: Turn) -> Answer:
    owner = owner_of(turn)
    if await _has_one(turn, owner) or PASSKEY not in usable(turn.interaction):
        return Again(ALREADY)
    return passkey.show_registration(turn.talk, owner, await registered(turn.talk.provider.database, owner))


async def _take_passkey(turn: Turn) -> Answer:
    owner = owner_of(turn)
    if await _has_one(turn, owner) or PASSKEY not in usable(turn.interaction):
        return Again(ALREADY)
    if not await take_passkey(turn.talk, owner):
        return Again("The passkey was not created. Try again.")
    await record(turn, PASSKEY)
    return Answered()


async def _has_one(turn: Turn, owner: ObjectKey) -> bool:
    """A password alone may add the first method and no other: else a stolen password would bring its own app."""
    return bool((await registered(turn.talk.provider.database, owner)).methods)


async def _decline(turn: Turn) -> Answer:
    del turn
    return Declined(refusal(50074))


PAGE = Page(
    _show,
    {
        "register": _take_app, "passkey_offer": _ask_passkey, "passkey_register": _take_passkey,
        "decline": _decline,
    },
)
