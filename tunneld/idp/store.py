"""What must survive a restart: sessions, refresh token families, consents and certified keys, in one database.

No token or key is in it: a handle that leaves this server is an id with a MAC (`sealing.py`), so a stolen copy of the
file signs nobody in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Integer, String, Table, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from tunneld.idp.database import Database, schema
from tunneld.policy.directory import ObjectKey

_sessions = Table(
    "sessions", schema,
    Column("id", String(64), primary_key=True),
    Column("home_tid", String(36), nullable=False),
    Column("home_oid", String(36), nullable=False),
    Column("authenticated_at", Integer, nullable=False),
    Column("expires_at", Integer, nullable=False),
    Column("revoked_at", Integer),
)
_families = Table(
    "refresh_families", schema,
    Column("id", String(64), primary_key=True),
    Column("session_id", String(64), nullable=False),
    Column("tenant_id", String(36), nullable=False),
    Column("client_id", String(36), nullable=False),
    Column("scope", String(2048), nullable=False),
    Column("capabilities", String(256), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("expires_at", Integer, nullable=False),
    Column("revoked_at", Integer),
    Column("revoked_because", String(64)),
)
_contexts = Table(  # beside the families, so that older state files open
    "refresh_contexts", schema,
    Column("family_id", String(64), primary_key=True),
    Column("contexts", String(512), nullable=False),  # 99 of them at most, of four characters
)
_consents = Table(
    "consents", schema,
    Column("tenant_id", String(36), primary_key=True),
    Column("home_tid", String(36), primary_key=True),
    Column("home_oid", String(36), primary_key=True),
    Column("at", Integer, nullable=False),
)
_certified = Table(
    "certified_keys", schema,
    Column("tenant_id", String(36), primary_key=True),
    Column("oid", String(36), primary_key=True),
    Column("thumbprint", String(64), primary_key=True),
    Column("expires_at", Integer, nullable=False),
)


# Built once, because they run for every refresh token and building costs as much as running.
_FAMILY = (
    select(
        _families, _sessions.c.home_tid, _sessions.c.home_oid, _sessions.c.authenticated_at,
        _sessions.c.expires_at.label("session_expires_at"), _sessions.c.revoked_at.label("session_revoked_at"),
        _contexts.c.contexts,
    )
    .join(_sessions, _sessions.c.id == _families.c.session_id)
    .outerjoin(_contexts, _contexts.c.family_id == _families.c.id)
    .where(_families.c.id == bindparam("wanted"))
)
_ROTATE = (
    update(_families)
    .where(_families.c.id == bindparam("wanted"))
    .where(_families.c.generation == bindparam("seen"))
    .where(_families.c.revoked_at.is_(None))
    .values(generation=_families.c.generation + 1)
)


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in at the home tenant, used by cookies, session credentials and refresh tokens."""

    id: str
    account: ObjectKey
    authenticated_at: int
    expires_at: int
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """All refresh tokens that descend from one code; only the newest generation is good (RFC 9700 §4.14.2).

    `contexts` are the authentication contexts that its tokens had: a refresh asks for them again by itself.
    """

    id: str
    session_id: str
    tenant_id: str
    client_id: str
    scope: str
    capabilities: tuple[str, ...]
    generation: int
    expires_at: int
    revoked: bool = False
    contexts: tuple[str, ...] = ()


class Store:
    """Every change is one statement, so it is atomic by itself; a method that returned is on the disk."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_session(self, session: Session) -> None:
        await self._write(
            insert(_sessions).values(
                id=session.id, home_tid=session.account[0], home_oid=session.account[1],
                authenticated_at=session.authenticated_at, expires_at=session.expires_at,
            )
        )

    async def session(self, session_id: str) -> Session | None:
        row = await self._one(select(_sessions).where(_sessions.c.id == session_id))
        return _session(row) if row is not None else None

    async def revoke_session(self, session_id: str, now: int) -> None:
        """End a session, and with it every refresh token that came from it: they are read together."""
        live = (_sessions.c.id == session_id) & _sessions.c.revoked_at.is_(None)
        await self._write(update(_sessions).where(live).values(revoked_at=now))

    async def add_family(self, family: Family) -> None:
        await self._write(
            insert(_families).values(
                id=family.id, session_id=family.session_id, tenant_id=family.tenant_id, client_id=family.client_id,
                scope=family.scope, capabilities=" ".join(family.capabilities), generation=family.generation,
                expires_at=family.expires_at,
            )
        )

    async def family(self, family_id: str) -> tuple[Family, Session] | None:
        """Return a family with the session it came from."""
        row = await self._one(_FAMILY, {"wanted": family_id})
        if row is None:
            return None
        family = Family(row.id, row.session_id, row.tenant_id, row.client_id, row.scope,
                        tuple(row.capabilities.split()), row.generation, row.expires_at, row.revoked_at is not None,
                        tuple((row.contexts or "").split()))
        session = Session(row.session_id, (row.home_tid, row.home_oid), row.authenticated_at,
                          row.session_expires_at, row.session_revoked_at is not None)
        return family, session

    async def rotate(self, family_id: str, generation: int) -> bool:
        """Move a family on by one generation; False when somebody else was first or it was revoked."""
        return await self._write(_ROTATE, {"wanted": family_id, "seen": generation}) == 1

    async def remember_contexts(self, family_id: str, contexts: Iterable[str]) -> None:
        """Keep which authentication contexts the tokens of a family had, in place of those kept before."""
        values = {"family_id": family_id, "contexts": " ".join(sorted(contexts))}
        async with self._database.transaction() as connection:
            await connection.execute(delete(_contexts).where(_contexts.c.family_id == family_id))
            await connection.execute(insert(_contexts).values(**values))

    async def revoke_family(self, family_id: str, because: str, now: int) -> None:
        live = (_families.c.id == family_id) & _families.c.revoked_at.is_(None)
        await self._write(update(_families).where(live).values(revoked_at=now, revoked_because=because))

    async def remember_consent(self, tenant_id: str, account: ObjectKey, now: int) -> None:
        values = {"tenant_id": tenant_id, "home_tid": account[0], "home_oid": account[1], "at": now}
        try:
            await self._write(insert(_consents).values(**values))
        except IntegrityError:
            return  # consented before, which is all that is remembered

    async def consented(self, tenant_id: str, account: ObjectKey) -> bool:
        where = (_consents.c.tenant_id == tenant_id) & (_consents.c.home_tid == account[0])
        row = await self._one(select(_consents.c.at).where(where & (_consents.c.home_oid == account[1])))
        return row is not None

    async def certify(self, tenant_id: str, oid: str, thumbprint: str, expires_at: int) -> None:
        """Record that a key was certified; a renewal of the same key moves its end."""
        known = update(_certified).where(_certified_key(tenant_id, oid, thumbprint)).values(expires_at=expires_at)
        if await self._write(known):
            return
        values = {"tenant_id": tenant_id, "oid": oid, "thumbprint": thumbprint, "expires_at": expires_at}
        try:
            await self._write(insert(_certified).values(**values))
        except IntegrityError:
            await self._write(known)  # somebody else recorded it in between

    async def certified(self, tenant_id: str, oid: str, thumbprint: str, now: int) -> bool:
        live = _certified_key(tenant_id, oid, thumbprint) & (_certified.c.expires_at > now)
        return await self._one(select(_certified.c.expires_at).where(live)) is not None

    async def sweep(self, now: int) -> None:
        """Delete what expired; a family or session is refused by its dates long before it is deleted."""
        for table in (_families, _sessions, _certified):
            await self._write(delete(table).where(table.c.expires_at < now))
        await self._write(delete(_contexts).where(_contexts.c.family_id.not_in(select(_families.c.id))))

    # Rows are typed by their statement, which SQLAlchemy cannot say.
    async def _one(self, statement: Any, values: dict[str, object] | None = None) -> Any:
        async with self._database.connect() as connection:
            return (await connection.execute(statement, values)).first()

    async def _write(self, statement: Any, values: dict[str, object] | None = None) -> int:
        async with self._database.connect() as connection:
            return int((await connection.execute(statement, values)).rowcount)


def _session(row: Any) -> Session:  # as above
    return Session(
        row.id, (row.home_tid, row.home_oid), row.authenticated_at, row.expires_at, row.revoked_at is not None
    )


def _certified_key(tenant_id: str, oid: str, thumbprint: str) -> Any:  # a column expression
    own = (_certified.c.tenant_id == tenant_id) & (_certified.c.oid == oid)
    return own & (_certified.c.thumbprint == thumbprint)
