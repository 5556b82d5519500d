"""The objects that were changed through the API, as rows; the directory document itself is never written."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from tunneld.idp.database import Database, schema
from tunneld.policy.objects import Change, ObjectRef

_objects = Table(
    "objects", schema,
    Column("tenant_id", String(36), primary_key=True),
    Column("kind", String(64), primary_key=True),
    Column("id", String(128), primary_key=True),
    Column("body", Text),  # NULL: deleted, whatever the directory document says
    Column("updated_at", BigInteger, nullable=False),
)
_revisions = Table(
    "revisions", schema,
    Column("name", String(16), primary_key=True),
    Column("number", Integer, nullable=False),
)

_DELETE = (
    delete(_objects)
    .where(_objects.c.tenant_id == bindparam("of_tenant"))
    .where(_objects.c.kind == bindparam("of_kind"))
    .where(_objects.c.id == bindparam("of_id"))
)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One row."""

    ref: ObjectRef
    body: str | None


async def read_objects(database: Database) -> tuple[int, list[StoredObject]]:
    """Return the revision and every row, as of one moment."""
    first = insert(_revisions).values(name="objects", number=0)
    async with database.connect() as connection:
        if (await connection.execute(select(_revisions.c.number))).first() is None:
            with contextlib.suppress(IntegrityError):  # somebody else opened the same new database
                await connection.execute(first)
    async with database.transaction() as connection:
        # The lock on the row keeps writers away while the objects are read.
        row = (await connection.execute(select(_revisions.c.number).with_for_update())).one()
        rows = await connection.execute(select(_objects).order_by(_objects.c.tenant_id, _objects.c.kind, _objects.c.id))
        found = [StoredObject(ObjectRef(each.tenant_id, each.kind, each.id), each.body) for each in rows]
    return int(row.number), found


async def revision(database: Database) -> int:
    """Return the number that every write raises by one."""
    async with database.connect() as connection:
        return int((await connection.execute(select(_revisions.c.number))).scalar_one())


async def advance(connection: AsyncConnection, seen: int) -> bool:
    """Raise the revision inside a transaction; False when somebody else has written since `seen`."""
    statement = update(_revisions).where(_revisions.c.number == seen).values(number=seen + 1)
    return (await connection.execute(statement)).rowcount == 1


async def write_objects(connection: AsyncConnection, changes: Iterable[Change], now: int) -> None:
    """Replace the rows of `changes` inside a transaction."""
    last = {change.ref: change.value for change in changes}
    if not last:
        return
    keys = [{"of_tenant": ref.tenant_id, "of_kind": ref.kind, "of_id": ref.id} for ref in last]
    rows = [
        {
            "tenant_id": ref.tenant_id, "kind": ref.kind, "id": ref.id, "updated_at": now,
            "body": None if value is None else json.dumps(value.stored()),
        }
        for ref, value in last.items()
    ]
    await connection.execute(_DELETE, keys)
    await connection.execute(insert(_objects), rows)
