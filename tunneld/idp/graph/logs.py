"""Logs over the API: newest first, filtered in the database as far as it can and in bounded steps beyond that.

Microsoft Graph reference: directoryAudit, signIn. Records are written elsewhere; here nothing is changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, Select, Table, and_, func, or_, select, tuple_
from starlette.responses import JSONResponse, Response

from tunneld.idp.answers import ApiError
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.reading import page_answer, query_of
from tunneld.idp.graph.resource import BETA, V1, Json, Operation
from tunneld.policy.odata import Page, Query, selected, skip_token
from tunneld.policy.odata_filter import Comparison, Filter, Junction, as_time, matches

_STEP = 500  # rows a statement
_WINDOW = 20_000  # rows that one request looks at; the next link goes on from there


class LogRecord(BaseModel):
    """A record of a log, as Graph's reference describes it."""

    model_config = ConfigDict(extra="allow")


def _only(record: Json) -> list[Json]:
    return [record]


@dataclass(frozen=True, slots=True)
class LogTable:
    """A log's table: columns `id`, `tenant_id`, `at` (microseconds), `body` (JSON), and some that can be searched.

    `columns` maps paths of members to columns with equal text; `readings` returns a record in every form that a
    filter may mean.
    """

    table: Table
    time: str
    columns: Mapping[str, str] = field(default_factory=dict)
    readings: Callable[[Json], list[Json]] = _only


def log_operations(log: LogTable, path: str, permission: str, noun: str) -> list[Operation]:
    """Return the two operations of a log: a page, and one record."""

    async def page(call: Call) -> Response:
        query = query_of(call, None)
        newest_first = _direction(log, query)
        return page_answer(call, query, await read_page(call, log, query, newest_first=newest_first))

    async def one(call: Call) -> Response:
        query = query_of(call, None)
        columns = log.table.c
        wanted = select(columns.body).where(columns.tenant_id == call.tenant.id, columns.id == call.parameter().lower())
        async with call.provider.database.connect() as connection:
            row = (await connection.execute(wanted)).first()
        if row is None:
            raise ApiError(404, "Request_ResourceNotFound", "There is no such record.")
        return JSONResponse(selected(query, json.loads(row.body)))

    return [
        Operation("GET", path, page, f"List {noun}, newest first.", permission, (V1, BETA), result=LogRecord,
                  listing=True, tag="logs"),
        Operation("GET", f"{path}/{{id}}", one, f"Get one of the {noun}.", permission, (V1, BETA), result=LogRecord,
                  tag="logs"),
    ]


async def read_page(call: Call, log: LogTable, query: Query, *, newest_first: bool) -> Page:
    """Read until the page is full, the log ends, or the window is used up."""
    await call.provider.records.flush()  # the newest may still wait to be stored
    columns = log.table.c
    order = (columns.at.desc(), columns.id.desc()) if newest_first else (columns.at, columns.id)
    statement = select(columns.id, columns.at, columns.body).where(columns.tenant_id == call.tenant.id)
    statement = statement.where(*_conditions(log, query.filter)).order_by(*order)
    found: list[Json] = []
    after, seen = query.after, 0
    while seen < _WINDOW:
        step = _beyond(statement, log, after, newest_first=newest_first).limit(_STEP)
        async with call.provider.database.connect() as connection:
            rows = (await connection.execute(step)).all()
        for row in rows:
            seen += 1
            if len(found) == query.top:
                assert after is not None
                return Page(tuple(found), 0, skip_token(query, *after))
            record = json.loads(row.body)
            after = (row.id, row.at)
            if query.filter is None or any(matches(query.filter, one) for one in log.readings(record)):
                found.append(selected(query, record))
        if len(rows) < _STEP:
            return Page(tuple(found), 0)
    assert after is not None
    return Page(tuple(found), 0, skip_token(query, *after))


def _beyond(statement: Select[Any], log: LogTable, after: tuple[str, int] | None, *, newest_first: bool) -> Select[Any]:
    if after is None:
        return statement
    place = tuple_(log.table.c.at, log.table.c.id)
    marker = tuple_(after[1], after[0])
    return statement.where(place < marker if newest_first else place > marker)


def _direction(log: LogTable, query: Query) -> bool:
    """Tell whether the newest come first. Raises ApiError(400) for any other order."""
    if query.count:
        raise ApiError(400, "BadRequest", "$count is not supported for logs.", target="$count")
    if not query.order:
        return True
    if len(query.order) != 1 or query.order[0][0] != (log.time,):
        raise ApiError(400, "BadRequest", f"Logs are in order of {log.time} alone.", target="$orderby")
    return query.order[0][1]


def _conditions(log: LogTable, found: Filter | None) -> list[ColumnElement[bool]]:
    """Return what of a filter the database can judge; never more than the filter says."""
    if isinstance(found, Junction):
        parts = [_conditions(log, part) for part in found.parts]
        if found.word == "and":
            return [condition for part in parts for condition in part]
        return [or_(*(and_(*part) for part in parts))] if all(parts) else []
    if not isinstance(found, Comparison):
        return []
    path = "/".join(found.path)
    if path == log.time:
        return _in_time(log, found)
    column = log.columns.get(path)
    if column is None or found.operator != "eq" or not isinstance(found.literal, str) or not found.literal.isascii():
        return []
    return [func.lower(log.table.c[column]) == found.literal.lower()]


def _in_time(log: LogTable, found: Comparison) -> list[ColumnElement[bool]]:
    time = as_time(found.literal)
    if time is None:
        return []
    column, at = log.table.c.at, int(time.timestamp() * 1_000_000)
    # A record shows its time in microseconds, and floating point may be one off: the filter itself is exact.
    if found.operator in ("gt", "ge", "eq"):
        bounds = [column >= at - 1]
        return [*bounds, column <= at + 1] if found.operator == "eq" else bounds
    return [column <= at + 1] if found.operator in ("lt", "le") else []

