"""How guests without an account in any tenant prove who they are: a mailed passcode, or a personal account.

Whoever asks learns nothing about who is a guest: the page says the same for every address, and only the mailbox of a
guest receives anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response

from tunneld.idp.answers import correlation_of
from tunneld.idp.conversation.turns import Conversation
from tunneld.idp.decisions import decide, first_question
from tunneld.idp.federation.begin import begin_for_address, return_path
from tunneld.idp.guests import guest_objects
from tunneld.idp.guests.letters import passcode_letter
from tunneld.idp.guests.outbox import post
from tunneld.idp.guests.personal import MAX_PASSWORD, MIN_PASSWORD, create_personal_account, personal_account
from tunneld.idp.guests.tickets import invitation_of
from tunneld.idp.guests.ways import choice_for, may_use
from tunneld.idp.pages import LOCKED, WRONG_CREDENTIALS
from tunneld.policy.directory import SignInWay, Tenant, User
from tunneld.policy.guests.addresses import parse_address
from tunneld.policy.guests.passcode import Guess
from tunneld.policy.sign_in import MethodProof, PasswordProof

_SENTENCES = {
    Guess.WRONG: "That code is not the one we sent. Check the mail and try again.",
    Guess.EXPIRED: "That code cannot be used any more. Ask for a new one.",
}
_NO_PROVIDER = "No identity provider of the organization signs in this address."


@dataclass(frozen=True, slots=True)
class _Subject:
    """Whom a page is about: the address that was typed or invited, and the guest whose it is, if any."""

    address: str
    guest: User | None


def _subject(talk: Conversation) -> _Subject:
    tenant = talk.provider.directory.tenants[talk.errand.wanted.tenant.id]
    ticket = talk.fields.get("ticket")
    if ticket is not None:
        invitation = invitation_of(talk.provider, tenant, ticket)
        if invitation is None or invitation.invited_user is None:
            return _Subject("", None)
        return _Subject(invitation.invited_user_email_address, tenant.users.get(invitation.invited_user.id))
    address = parse_address(talk.fields.get("username", "")) or ""
    return _Subject(address, guest_objects.guest_of_address(tenant, address))


async def send_passcode(talk: Conversation) -> Response:
    """Mail a code to the guest, and show the page that asks for it."""
    subject = _subject(talk)
    await _send(talk, subject, SignInWay.MAIL)
    return _passcode_page(talk, subject)


async def take_passcode(talk: Conversation) -> Response:
    """Judge a typed code and go on as the guest."""
    subject = _subject(talk)
    guess = await _judge(talk, subject, SignInWay.MAIL)
    if guess is not Guess.RIGHT or subject.guest is None:
        return _passcode_page(talk, subject, _SENTENCES[guess])
    return await _proven(talk, subject.guest, MethodProof("email", correct=True), subject.address)


async def offer_personal(talk: Conversation) -> Response:
    """Mail the code that proves an address, and show the page where its personal account is made."""
    subject = _subject(talk)
    await _send(talk, subject, SignInWay.PERSONAL)
    return _personal_page(talk, subject)


async def make_personal(talk: Conversation) -> Response:
    """Make a personal account for an address that was proven just now, and go on with it."""
    subject = _subject(talk)
    password = talk.fields.get("new_password", "")
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        return _personal_page(talk, subject, f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters.")
    guess = await _judge(talk, subject, SignInWay.PERSONAL)
    if guess is not Guess.RIGHT or subject.guest is None:
        return _personal_page(talk, subject, _SENTENCES[guess])
    if not await create_personal_account(talk.provider, subject.address, password):
        return await talk.sign_in_page("There is a personal account for this address already. Sign in with it.")
    return await _proven(talk, subject.guest, PasswordProof(correct=True, locked=False), subject.address)


async def take_personal(talk: Conversation) -> Response:
    """Judge the password of a personal account."""
    subject = _subject(talk)
    provider, guest, tenant = talk.provider, subject.guest, talk.errand.wanted.tenant
    found = await personal_account(provider, subject.address)
    allowed = guest is not None and await may_use(provider, tenant, guest, subject.address, SignInWay.PERSONAL)
    encoded = found[1] if found is not None and allowed else None
    name = f"personal\0{subject.address}"
    proof = await provider.gate.judge(
        provider.directory, name, talk.fields.get("password", ""), encoded, provider.now()
    )
    wrong = LOCKED if proof.locked else WRONG_CREDENTIALS
    account = (tenant.id, guest.oid) if guest is not None and encoded is not None else None
    if guest is not None and proof.correct:
        await _apart(talk, guest)
    return await talk.proven(account, proof, typed=subject.address, wrong=wrong)


async def send_away(talk: Conversation) -> Response:
    """Hand over to the outside provider that signs the address in."""
    subject = _subject(talk)
    if subject.guest is not None and subject.guest.pending:
        ways = (await choice_for(talk.provider, talk.errand.wanted.tenant, subject.address)).ways
        if {SignInWay.FEDERATION, SignInWay.SOCIAL} & set(ways):
            await _apart(talk, subject.guest)
    away = await begin_for_address(
        talk.provider, talk.request, talk.errand.wanted.tenant, subject.address,
        return_to=return_path(talk.request, dict(talk.errand.carried)),
    )
    return away if away is not None else await talk.sign_in_page(_NO_PROVIDER)


FIRST_FACTORS = {
    "passcode_send": send_passcode,
    "passcode": take_passcode,
    "personal_offer": offer_personal,
    "personal_create": make_personal,
    "personal_sign_in": take_personal,
    "federation": send_away,
}


def _mailbox(tenant: Tenant, guest: User, subject: _Subject) -> tuple[str, str]:
    """Return what a code proves: this address of this guest, and none of the others that the object has."""
    return tenant.id, f"{guest.oid} {subject.address}"


async def _send(talk: Conversation, subject: _Subject, way: SignInWay) -> None:
    provider, tenant, guest = talk.provider, talk.errand.wanted.tenant, subject.guest
    if guest is None or not guest.enabled or not await _open(talk, subject, way):
        return
    code = provider.passcodes.issue(_mailbox(tenant, guest, subject), provider.now())
    if code is not None:
        await post(provider, passcode_letter(tenant, subject.address, code))


async def _judge(talk: Conversation, subject: _Subject, way: SignInWay) -> Guess:
    """Judge the typed code, and put a wrong one on record as a failed sign-in."""
    provider, tenant, guest = talk.provider, talk.errand.wanted.tenant, subject.guest
    if guest is None or not await _open(talk, subject, way):
        return Guess.WRONG
    guess = provider.passcodes.judge(
        _mailbox(tenant, guest, subject), talk.fields.get("code", "")[:64], provider.now()
    )
    if guess is not Guess.RIGHT:
        account = (tenant.id, guest.oid)
        proof = MethodProof("email", correct=False)
        question = await first_question(provider, talk.request, talk.errand.wanted, account, proof)
        await decide(provider, talk.request, question, via=f"{talk.errand.via}email", typed=subject.address)
    return guess


async def _open(talk: Conversation, subject: _Subject, way: SignInWay) -> bool:
    """Tell whether a code may prove the address: as a passcode, or to make the personal account that is missing."""
    provider, tenant, guest = talk.provider, talk.errand.wanted.tenant, subject.guest
    if guest is None:
        return False
    if way is SignInWay.MAIL:
        return await may_use(provider, tenant, guest, subject.address, way)
    choice = await choice_for(provider, tenant, subject.address)
    return guest.pending and choice.create and way in choice.ways


async def _proven(talk: Conversation, guest: User, proof: MethodProof | PasswordProof, address: str) -> Response:
    tenant = talk.errand.wanted.tenant
    await _apart(talk, guest)
    return await talk.proven((tenant.id, guest.oid), proof, typed=address, wrong=WRONG_CREDENTIALS)


async def _apart(talk: Conversation, guest: User) -> None:
    """Take the link to a home account away from a guest who redeems in another way."""
    if guest.pending and guest.home is not None:
        tenant = talk.errand.wanted.tenant
        await guest_objects.link(talk.provider, tenant, guest, "", correlation_id=correlation_of(talk.request))


def _passcode_page(talk: Conversation, subject: _Subject, error: str = "") -> Response:
    return talk.page("passcode.html", {"username": subject.address or _typed(talk), "error": error})


def _personal_page(talk: Conversation, subject: _Subject, error: str = "") -> Response:
    values = {"username": subject.address or _typed(talk), "error": error, "shortest": MIN_PASSWORD}
    return talk.page("personal_account.html", values)


def _typed(talk: Conversation) -> str:
    return talk.fields.get("username", "")[:128]
