"""What people registered to prove themselves with, besides a password: authenticator apps and passkeys.

A registration belongs to a user object: the home object for methods used at home, the guest's object for methods that
a visited tenant asks for itself. So nothing that one tenant registered is of use in another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, Integer, String, Table, delete, insert, literal, select, union_all, update
from sqlalchemy.exc import IntegrityError

from tunneld.idp.database import Database, schema
from tunneld.policy.directory import ObjectKey

SOFTWARE_OATH, PASSKEY = "softwareOath", "fido2"  # words of Graph's authenticationMethodModes
MAX_METHODS = 10  # of one kind for one person: passkeys are limited to ten in Microsoft Entra ID

_apps = Table(
    "authenticator_apps", schema,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", String(36), nullable=False, index=True),
    Column("oid", String(36), nullable=False),
    Column("name", String(64), nullable=False),
    Column("seed", String(512), nullable=False),  # encrypted
    Column("last_step", BigInteger, nullable=False),  # of the last code taken: none is taken twice
    Column("created_at", Integer, nullable=False),
)
_passkeys = Table(
    "passkeys", schema,
    Column("id", String(1400), primary_key=True),  # base64url of at most 1023 bytes (WebAuthn §4)
    Column("tenant_id", String(36), nullable=False, index=True),
    Column("oid", String(36), nullable=False),
    Column("name", String(64), nullable=False),
    Column("public_key", String(2048), nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    Column("created_at", Integer, nullable=False),
)


@dataclass(frozen=True, slots=True)
class AuthenticatorApp:
    """An app that shows time-based codes; its seed is encrypted."""

    id: str
    owner: ObjectKey
    name: str
    seed: str
    last_step: int
    created_at: int


@dataclass(frozen=True, slots=True)
class Passkey:
    """A public key of an authenticator; `id` and `public_key` are base64url."""

    id: str
    owner: ObjectKey
    name: str
    public_key: str
    sign_count: int
    created_at: int


@dataclass(frozen=True, slots=True)
class Registered:
    """All registrations of one user object."""

    apps: tuple[AuthenticatorApp, ...] = ()
    passkeys: tuple[Passkey, ...] = ()

    @property
    def methods(self) -> frozenset[str]:
        """Return the kinds that there are, as Graph's words."""
        return frozenset(
            word for word, kept in ((SOFTWARE_OATH, self.apps), (PASSKEY, self.passkeys)) if kept
        )


async def registered(database: Database, owner: ObjectKey) -> Registered:
    """Return everything that an object has registered, oldest first."""
    async with database.connect() as connection:
        apps = (await connection.execute(_owned(_apps, owner))).all()
        passkeys = (await connection.execute(_owned(_passkeys, owner))).all()
    return Registered(tuple(map(_app, apps)), tuple(map(_passkey, passkeys)))


async def kinds_of(database: Database, owners: tuple[ObjectKey, ...]) -> dict[ObjectKey, frozenset[str]]:
    """Return which kinds of methods each of the objects has: one question for all, since every decision asks it."""
    questions = [
        select(table.c.tenant_id, table.c.oid, literal(word))
        .where(table.c.tenant_id == tenant_id, table.c.oid == oid)
        for table, word in ((_apps, SOFTWARE_OATH), (_passkeys, PASSKEY))
        for tenant_id, oid in owners
    ]
    found: dict[ObjectKey, set[str]] = {owner: set() for owner in owners}
    async with database.connect() as connection:
        for tenant_id, oid, word in await connection.execute(union_all(*questions)):
            found[tenant_id, oid].add(word)
    return {owner: frozenset(words) for owner, words in found.items()}


async def add_app(database: Database, app: AuthenticatorApp) -> None:
    """Register an authenticator app."""
    await _write(database, insert(_apps).values(
        id=app.id, tenant_id=app.owner[0], oid=app.owner[1], name=app.name, seed=app.seed, last_step=app.last_step,
        created_at=app.created_at,
    ))


async def use_step(database: Database, app_id: str, step: int) -> bool:
    """Mark a code's time step as used; False when it, or a later one, was used before (RFC 6238 §5.2)."""
    newer = update(_apps).where(_apps.c.id == app_id, _apps.c.last_step < step).values(last_step=step)
    return await _write(database, newer) == 1


async def passkey(database: Database, credential_id: str) -> Passkey | None:
    """Return a passkey by its id."""
    async with database.connect() as connection:
        row = (await connection.execute(select(_passkeys).where(_passkeys.c.id == credential_id))).first()
    return _passkey(row) if row is not None else None


async def add_passkey(database: Database, added: Passkey) -> bool:
    """Register a passkey; False when its id is registered already (WebAuthn §7.1 step 22)."""
    try:
        await _write(database, insert(_passkeys).values(
            id=added.id, tenant_id=added.owner[0], oid=added.owner[1], name=added.name, public_key=added.public_key,
            sign_count=added.sign_count, created_at=added.created_at,
        ))
    except IntegrityError:
        return False
    return True


async def count_use(database: Database, credential_id: str, before: int, after: int) -> bool:
    """Move a passkey's counter on; False when another use did so in between (WebAuthn §6.1.1)."""
    same = (_passkeys.c.id == credential_id) & (_passkeys.c.sign_count == before)
    return await _write(database, update(_passkeys).where(same).values(sign_count=after)) == 1


async def remove(database: Database, owner: ObjectKey, method_id: str) -> bool:
    """Forget one method of an object; tell whether there was one."""
    removed = 0
    for table in (_apps, _passkeys):
        mine = (table.c.id == method_id) & (table.c.tenant_id == owner[0]) & (table.c.oid == owner[1])
        removed += await _write(database, delete(table).where(mine))
    return removed == 1


# Rows and statements are typed by their tables, which SQLAlchemy cannot say.
def _owned(table: Table, owner: ObjectKey) -> Any:
    mine = (table.c.tenant_id == owner[0]) & (table.c.oid == owner[1])
    return select(table).where(mine).order_by(table.c.created_at, table.c.id)


def _app(row: Any) -> AuthenticatorApp:
    return AuthenticatorApp(row.id, (row.tenant_id, row.oid), row.name, row.seed, row.last_step, row.created_at)


def _passkey(row: Any) -> Passkey:
    return Passkey(row.id, (row.tenant_id, row.oid), row.name, row.public_key, row.sign_count, row.created_at)


async def _write(database: Database, statement: Any) -> int:
    async with database.connect() as connection:
        return int((await connection.execute(statement)).rowcount)
