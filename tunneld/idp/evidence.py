"""What each session has proved, and which terms people accepted: tables of facts, written once and never guessed.

A method is recorded where it was used. `home` is the account's home tenant, anything else the id of the tenant that
asked for it: a second factor done for one visited tenant says nothing to another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Integer, String, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from tunneld.idp.database import Database, schema
from tunneld.policy.directory import ObjectKey
from tunneld.policy.facts import MethodUse

HOME = "home"

_methods = Table(
    "session_methods", schema,
    Column("session_id", String(64), primary_key=True),
    Column("place", String(36), primary_key=True),
    Column("method", String(64), primary_key=True),
    Column("at", Integer, nullable=False),
)
_devices = Table(
    "session_devices", schema,
    Column("session_id", String(64), primary_key=True),
    Column("device_id", String(36), nullable=False),
    Column("at", Integer, nullable=False),
)
_terms = Table(
    "terms_acceptances", schema,
    Column("tenant_id", String(36), primary_key=True),
    Column("oid", String(36), primary_key=True),
    Column("agreement_id", String(64), primary_key=True),
    Column("version", String(64), primary_key=True),
    Column("at", Integer, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Proved:
    """What a session proved: methods by place, and the device that identified itself."""

    methods: tuple[tuple[str, MethodUse], ...] = ()
    device_id: str | None = None

    def at(self, place: str) -> tuple[MethodUse, ...]:
        """Return the methods used at a place, in the order of their use."""
        return tuple(use for where, use in self.methods if where == place)


async def proved(database: Database, session_id: str) -> Proved:
    """Return what a session proved so far."""
    async with database.connect() as connection:
        rows = (await connection.execute(
            select(_methods).where(_methods.c.session_id == session_id).order_by(_methods.c.at, _methods.c.method)
        )).all()
        device = (await connection.execute(select(_devices).where(_devices.c.session_id == session_id))).first()
    methods = tuple((row.place, MethodUse(row.method, row.at)) for row in rows)
    return Proved(methods, device.device_id if device is not None else None)


async def record_method(database: Database, session_id: str, place: str, use: MethodUse) -> None:
    """Record that a method was used; the latest use counts."""
    key = {"session_id": session_id, "place": place, "method": use.method}
    await _put(database, _methods, key, {"at": use.at})


async def record_device(database: Database, session_id: str, device_id: str, now: int) -> None:
    """Record which device identified itself to a session; a later one replaces it."""
    await _put(database, _devices, {"session_id": session_id}, {"device_id": device_id, "at": now})


async def accept_terms(
    database: Database, owner: ObjectKey, agreement_id: str, version: str, now: int
) -> None:
    """Record that a user object accepted an agreement in a version."""
    key = {"tenant_id": owner[0], "oid": owner[1], "agreement_id": agreement_id, "version": version}
    await _put(database, _terms, key, {"at": now})


async def accepted_terms(database: Database, owner: ObjectKey) -> frozenset[tuple[str, str, int]]:
    """Return (agreement id, version, when) of everything that a user object accepted."""
    mine = (_terms.c.tenant_id == owner[0]) & (_terms.c.oid == owner[1])
    async with database.connect() as connection:
        rows = (await connection.execute(select(_terms).where(mine))).all()
    return frozenset((row.agreement_id, row.version, row.at) for row in rows)


async def sweep(database: Database) -> None:
    """Delete the facts of sessions that are gone."""
    sessions = schema.tables["sessions"]
    async with database.connect() as connection:
        for table in (_methods, _devices):
            await connection.execute(delete(table).where(table.c.session_id.not_in(select(sessions.c.id))))


async def _put(database: Database, table: Table, key: dict[str, str], values: dict[str, Any]) -> None:
    same = update(table).values(**values)
    for name, value in key.items():
        same = same.where(table.c[name] == value)
    async with database.connect() as connection:
        if (await connection.execute(same)).rowcount:
            return
        try:
            await connection.execute(insert(table).values(**key, **values))
        except IntegrityError:
            await connection.execute(same)  # somebody else recorded it in between
