"""The shell around the sign-in decision: gather what it looks at, ask it, write the log."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from starlette.requests import Request

from tunneld.idp.answers import correlation_of
from tunneld.idp.changes import ConflictError
from tunneld.idp.evidence import HOME, Proved
from tunneld.idp.guests.acceptance import accept
from tunneld.idp.provider import Provider
from tunneld.idp.session_facts import facts_of, first_facts, surroundings
from tunneld.idp.sessions import proof_of
from tunneld.idp.store import Session
from tunneld.policy.directory import Client, ObjectKey, SignInWay, Tenant
from tunneld.policy.facts import MethodUse, SessionFacts, Surroundings
from tunneld.policy.sign_in import Deny, Grant, MethodProof, PasswordProof, SessionProof, SignInRequest, evaluate


@dataclass(frozen=True, slots=True)
class Wanted:
    """What access is asked for, whoever asks."""

    tenant: Tenant
    client: Client
    audience: str
    contexts: tuple[str, ...] = ()
    user_action: str = ""
    interactive: bool = True


def judge(provider: Provider, question: SignInRequest) -> Grant | Deny:
    """Return the decision without writing it down: for a page that asks what it is about."""
    return evaluate(question, provider.directory, provider.now())


async def decide(
    provider: Provider, request: Request, question: SignInRequest, *, via: str, typed: str = "",
    session: Session | None = None, token_id: str | None = None,
) -> Grant | Deny:
    """Judge a sign-in and record the judgement, with the id of the token that a grant will be worth.

    `typed` is the user name as somebody wrote it.
    """
    outcome = judge(provider, question)
    user = provider.directory.user(question.account) if question.account else None
    name = user.upn if user else typed[:128]
    provider.records.sign_in(
        question, outcome, provider.directory, via=via, user=name, correlation_id=correlation_of(request),
        user_agent=request.headers.get("user-agent"), session_id=session.id if session else None, token_id=token_id,
    )
    if isinstance(outcome, Grant) and outcome.user.pending:  # both tenants suppress the prompt
        with suppress(ConflictError):  # an administrator changes the guest right now; the next sign-in accepts
            await accept(provider, outcome.tenant, outcome.user, None, correlation_id=correlation_of(request))
    return outcome


async def session_question(
    provider: Provider, request: Request, wanted: Wanted, session: Session, *, proof: SessionProof | None = None
) -> SignInRequest:
    """Return the question of whether the session's account may have what is wanted."""
    return SignInRequest(
        wanted.tenant.id, wanted.client.id, wanted.audience, session.account, proof or proof_of(provider, session),
        await _consented(provider, wanted, session.account),
        facts=await facts_of(provider, request, session, wanted.tenant), around=_around(provider, request, wanted),
    )


async def first_question(
    provider: Provider, request: Request, wanted: Wanted, account: ObjectKey | None,
    proof: PasswordProof | MethodProof, *, device_id: str | None = None,
) -> SignInRequest:
    """Return the same question for somebody who has just typed or presented something."""
    consented = account is not None and await _consented(provider, wanted, account)
    facts = SessionFacts()
    if account is not None and proof.correct:  # a wrong proof learns nothing, not even by how long it takes
        facts = await first_facts(provider, request, account, wanted.tenant, fresh(provider, proof, device_id))
    return SignInRequest(
        wanted.tenant.id, wanted.client.id, wanted.audience, account, proof, consented, facts=facts,
        around=_around(provider, request, wanted),
    )


def method_of(proof: PasswordProof | MethodProof) -> str:
    """Return the word for a first factor."""
    return "password" if isinstance(proof, PasswordProof) else proof.method


def fresh(provider: Provider, proof: PasswordProof | MethodProof, device_id: str | None) -> Proved:
    """Return what a session that begins now would have proved."""
    return Proved(((HOME, MethodUse(method_of(proof), provider.now())),), device_id)


def _around(provider: Provider, request: Request, wanted: Wanted) -> Surroundings:
    return surroundings(
        request, provider.settings, wanted.client, contexts=wanted.contexts, user_action=wanted.user_action,
        interactive=wanted.interactive,
    )


async def _consented(provider: Provider, wanted: Wanted, account: ObjectKey) -> bool:
    """Tell whether somebody accepted the tenant's terms. An invitation that is pending, again perhaps, was not."""
    guest = provider.directory.presence(wanted.tenant, account)
    if guest is not None and (guest.pending or guest.way is SignInWay.HERE):
        return False
    return await provider.store.consented(wanted.tenant.id, account)
