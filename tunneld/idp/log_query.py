"""Reading a log table: newest first, by conditions on its columns, page by page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Table, and_, or_, select

from tunneld.idp.database import Database

MAX_TOP = 1000  # Graph's limit for these logs

Operator = Literal["eq", "ne", "gt", "ge", "lt", "le", "startswith", "contains", "in"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of a column; `in` takes a sequence."""

    column: str
    operator: Operator
    value: Any  # what the column holds: text or a number, or a sequence of them


@dataclass(frozen=True, slots=True)
class LogPage:
    """Records as Graph shows them; `next` continues after the last one, "" when there are no more."""

    values: tuple[dict[str, Any], ...]
    next: str = ""


async def query_log(
    database: Database, table: Table, tenant_id: str, *,
    where: Sequence[Condition] = (), top: int = 100, after: str = "",
) -> LogPage:
    """Return one page of a tenant's records. Raises ValueError for an `after` that is not one of ours."""
    top = max(1, min(top, MAX_TOP))
    statement = select(table.c.at, table.c.id, table.c.body).where(table.c.tenant_id == tenant_id)
    for condition in where:
        statement = statement.where(_clause(table, condition))
    if after:
        at, record_id = _position(after)
        statement = statement.where(or_(table.c.at < at, and_(table.c.at == at, table.c.id < record_id)))
    statement = statement.order_by(table.c.at.desc(), table.c.id.desc()).limit(top + 1)
    async with database.connect() as connection:
        rows = (await connection.execute(statement)).all()
    more = f"{rows[top - 1].at}.{rows[top - 1].id}" if len(rows) > top else ""
    return LogPage(tuple(json.loads(row.body) for row in rows[:top]), more)


def _position(after: str) -> tuple[int, str]:
    at, _, record_id = after.partition(".")
    if not (at.isascii() and at.isdigit() and len(at) <= 18 and len(record_id) <= 36):
        raise ValueError("not a continuation of this log")
    return int(at), record_id


def _clause(table: Table, condition: Condition) -> Any:  # a column expression
    column, value = table.c[condition.column], condition.value
    if condition.operator == "in":
        return column.in_(list(value))
    if condition.operator == "startswith":
        return column.istartswith(value, autoescape=True)
    if condition.operator == "contains":
        return column.icontains(value, autoescape=True)
    operators = {"eq": "__eq__", "ne": "__ne__", "gt": "__gt__", "ge": "__ge__", "lt": "__lt__", "le": "__le__"}
    return getattr(column, operators[condition.operator])(value)
