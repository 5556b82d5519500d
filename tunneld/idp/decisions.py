"""The shell around the sign-in decision: gather what it looks at, ask it, write the log."""

from __future__ import annotations

from starlette.requests import Request

from tunneld.idp.answers import correlation_of
from tunneld.idp.provider import Provider
from tunneld.idp.sessions import proof_of
from tunneld.idp.store import Session
from tunneld.policy.directory import Tenant
from tunneld.policy.sign_in import Deny, Grant, PasswordProof, SessionProof, SignInRequest, evaluate


async def decide(
    provider: Provider, request: Request, wanted: SignInRequest, *, via: str, typed: str = ""
) -> Grant | Deny:
    """Judge a sign-in and record the judgement. `typed` is the user name as somebody wrote it."""
    outcome = evaluate(wanted, provider.directory, provider.now())
    user = provider.directory.user(wanted.account) if wanted.account else None
    name = user.upn if user else typed[:128]
    provider.records.sign_in(
        wanted, outcome, now=provider.clock(), via=via, user=name, correlation_id=correlation_of(request)
    )
    return outcome


async def session_request(
    provider: Provider, tenant: Tenant, client_id: str, audience: str, session: Session,
    *, proof: PasswordProof | SessionProof | None = None, consenting: bool = False,
) -> SignInRequest:
    """Return the question of whether the session's account may have `audience` in `tenant`."""
    visiting = session.account[0] != tenant.id
    consented = consenting or (visiting and await provider.store.consented(tenant.id, session.account))
    return SignInRequest(
        tenant.id, client_id, audience, session.account, proof or proof_of(provider, session), consented
    )
