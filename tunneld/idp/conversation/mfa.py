"""Second factors: use one that is registered, at home or at the visited tenant."""

from __future__ import annotations

from starlette.responses import Response

from tunneld.idp.ceremonies import Purpose
from tunneld.idp.conversation import passkey
from tunneld.idp.conversation.turns import Again, Answer, Answered, Declined, Page, Turn
from tunneld.idp.credentials import PASSKEY, SOFTWARE_OATH, AuthenticatorApp, registered, use_step
from tunneld.idp.evidence import HOME, record_method
from tunneld.idp.passkeys import signer
from tunneld.idp.provider import Provider
from tunneld.idp.session_facts import owner_at
from tunneld.idp.totp import matching_step
from tunneld.idp.vault import unlock
from tunneld.policy.conditional_access.outcome import Interaction
from tunneld.policy.directory import ObjectKey
from tunneld.policy.facts import MethodUse, Place
from tunneld.policy.refusals import refusal

WRONG_CODE = "That code is not right. Wait for the next one and try again."
USED_CODE = "That code was used already. Wait for the next one."
LOCKED = "Too many wrong codes. Verification is locked for a while. Try again later."
# At a visited tenant the published table of usable methods has the code of an app, and no passkey.
USABLE = {Place.HOME: frozenset({SOFTWARE_OATH, PASSKEY}), Place.RESOURCE: frozenset({SOFTWARE_OATH})}


def owner_of(turn: Turn) -> ObjectKey:
    """Return whose methods are asked for: the account's at home, or the guest object's at the visited tenant."""
    if turn.interaction.place is Place.HOME:
        return turn.session.account
    owner = owner_at(turn.talk.provider, turn.session.account, turn.talk.errand.wanted.tenant)
    return owner or turn.session.account


def place_of(turn: Turn) -> str:
    """Return where a use is recorded."""
    return HOME if turn.interaction.place is Place.HOME else turn.talk.errand.wanted.tenant.id


def usable(interaction: Interaction) -> frozenset[str]:
    """Return which of our methods would help: those in a combination that is asked for, or all."""
    here = USABLE[interaction.place]
    if not interaction.methods:
        return here
    return here & frozenset().union(*interaction.methods)


async def record(turn: Turn, method: str) -> None:
    """Record a method for this session at the place that asked for it."""
    provider = turn.talk.provider
    await record_method(provider.database, turn.session.id, place_of(turn), MethodUse(method, provider.now()))


async def show(turn: Turn) -> Response:
    """Show the field for a code; where only a passkey will do, ask for that at once."""
    owner = owner_of(turn)
    known = await registered(turn.talk.provider.database, owner)
    methods = known.methods & usable(turn.interaction)
    if methods == {PASSKEY} and not turn.error:
        return passkey.show_second_factor(turn.talk, owner, known)
    tenant = turn.talk.provider.directory.tenants[owner[0]]
    values = {
        "username": turn.talk.name_of(turn.session.account), "asking": tenant.display_name, "error": turn.error,
        "code": SOFTWARE_OATH in methods, "passkey": PASSKEY in methods, "security": f"/{tenant.id}/mysecurityinfo",
    }
    return turn.talk.page("mfa.html", values)


async def check_code(
    provider: Provider, owner: ObjectKey, apps: tuple[AuthenticatorApp, ...], typed: str
) -> str | None:
    """Judge a typed code; None when it is right, else the sentence. A code is good once, and guesses are counted."""
    gate, now = provider.factors.codes, provider.now()
    if gate.locked(owner, now):
        return LOCKED
    for app in apps:
        seed = unlock(provider.seal, f"seed\0{app.id}", app.seed)
        step = matching_step(seed, typed, now) if seed is not None else None
        if step is not None:
            if not await use_step(provider.database, app.id, step):
                gate.missed(owner, now)
                return USED_CODE
            gate.passed(owner)
            return None
    gate.missed(owner, now)
    return LOCKED if gate.locked(owner, now) else WRONG_CODE


async def _take_code(turn: Turn) -> Answer:
    provider, owner = turn.talk.provider, owner_of(turn)
    known = await registered(provider.database, owner)
    if SOFTWARE_OATH not in known.methods & usable(turn.interaction):
        return Again("A code will not do here.")
    wrong = await check_code(provider, owner, known.apps, turn.talk.fields.get("code", ""))
    if wrong is not None:
        return Again(wrong)
    await record(turn, SOFTWARE_OATH)
    return Answered()


async def _ask_passkey(turn: Turn) -> Answer:
    owner = owner_of(turn)
    known = await registered(turn.talk.provider.database, owner)
    if PASSKEY not in known.methods & usable(turn.interaction):
        return Again("A passkey will not do here.")
    return passkey.show_second_factor(turn.talk, owner, known)


async def _take_passkey(turn: Turn) -> Answer:
    provider, owner = turn.talk.provider, owner_of(turn)
    challenge = passkey.finish(turn.talk, Purpose.SECOND_FACTOR, owner)
    found = await signer(provider, challenge, turn.talk.fields.get("credential", "")) if challenge else None
    # Whose passkey it is decides, not that it is somebody's.
    if found != owner or PASSKEY not in usable(turn.interaction):
        return Again(passkey.NOT_RECOGNIZED)
    await record(turn, PASSKEY)
    return Answered()


async def _decline(turn: Turn) -> Answer:
    del turn
    return Declined(refusal(50074))


PAGE = Page(
    show,
    {"mfa": _take_code, "passkey_ask": _ask_passkey, "passkey_mfa": _take_passkey, "decline": _decline},
)
