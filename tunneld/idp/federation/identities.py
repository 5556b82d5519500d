"""Which outside identity a session rests on: what redemption binds to the guest's object."""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, Table, insert, select

from tunneld.idp.database import schema
from tunneld.idp.provider import Provider
from tunneld.policy.directory import ExternalIdentity, SignInWay
from tunneld.policy.federation.compiled import TrustedProvider
from tunneld.policy.federation.vouched import Vouched

_identities = Table(
    "federated_sessions", schema,
    Column("session_id", String(64), primary_key=True),
    Column("way", String(16), nullable=False),
    Column("issuer", String(1024), nullable=False),
    Column("subject", String(512), nullable=False),
    Column("email", String(512), nullable=False),
    Column("at", Integer, nullable=False),
)


async def remember_identity(
    provider: Provider, session_id: str, trusted: TrustedProvider, vouched: Vouched
) -> None:
    """Record who vouched for a session's person."""
    way = SignInWay.SOCIAL if trusted.social else SignInWay.FEDERATION
    values = {
        "session_id": session_id, "way": str(way), "issuer": vouched.issuer, "subject": vouched.subject,
        "email": vouched.email, "at": provider.now(),
    }
    async with provider.database.connect() as connection:
        await connection.execute(insert(_identities).values(**values))


async def identity_of(provider: Provider, session_id: str) -> ExternalIdentity | None:
    """Return the outside identity that a session rests on, None for every other kind of sign-in."""
    async with provider.database.connect() as connection:
        found = await connection.execute(select(_identities).where(_identities.c.session_id == session_id))
        row = found.first()
    return ExternalIdentity(SignInWay(row.way), row.issuer, row.subject) if row is not None else None
