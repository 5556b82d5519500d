"""The report of each synchronization job's last cycle, kept over a restart."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Column, String, Table, Text, delete, insert, select

from tunneld.idp.administration.cycle_runs import JobKey
from tunneld.idp.database import Database, schema

_reports = Table(
    "synchronization_reports", schema,
    Column("source_id", String(36), primary_key=True),
    Column("target_id", String(36), primary_key=True),
    Column("body", Text, nullable=False),
)


async def keep_report(database: Database, key: JobKey, report: dict[str, Any]) -> None:
    """Store the report of a cycle that has ended, in place of the one before."""
    async with database.transaction() as connection:
        await connection.execute(delete(_reports).where(_of(key)))
        values = {"source_id": key[0], "target_id": key[1], "body": json.dumps(report)}
        await connection.execute(insert(_reports).values(**values))


async def kept_report(database: Database, key: JobKey) -> dict[str, Any] | None:
    """Return the report of a job's last cycle, None when none has ever ended."""
    async with database.connect() as connection:
        row = (await connection.execute(select(_reports.c.body).where(_of(key)))).first()
    return json.loads(row.body) if row is not None else None


def _of(key: JobKey) -> Any:  # a column expression
    return (_reports.c.source_id == key[0]) & (_reports.c.target_id == key[1])
