"""The sign-in log as rows, and beside it the questions themselves, to be asked again of another policy."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tunneld.idp.database import Database, schema
from tunneld.policy.replay import RecordedSignIn
from tunneld.policy.sign_in import SignInRequest
from tunneld.policy.sign_in_record import Record

sign_ins = Table(
    "sign_ins", schema,
    Column("id", String(36), primary_key=True),
    Column("tenant_id", String(36), nullable=False),
    Column("at", BigInteger, nullable=False),  # microseconds since the epoch
    Column("user_id", String(36), nullable=False),
    Column("user_name", String(320), nullable=False),
    Column("app_id", String(64), nullable=False),
    Column("resource_id", String(64), nullable=False),
    Column("home_tenant_id", String(36), nullable=False),
    Column("resource_tenant_id", String(36), nullable=False),
    Column("access_type", String(32), nullable=False),
    Column("access_status", String(16), nullable=False),
    Column("error_code", Integer, nullable=False),
    Column("interactive", Integer, nullable=False),
    Column("address", String(64), nullable=False),
    Column("correlation_id", String(36), nullable=False),
    Column("token_id", String(64)),
    Column("body", Text, nullable=False),
)
Index("sign_ins_by_token", sign_ins.c.token_id)
Index("sign_ins_by_time", sign_ins.c.tenant_id, sign_ins.c.at)
Index("sign_ins_by_correlation", sign_ins.c.correlation_id)
Index("sign_ins_by_user", sign_ins.c.tenant_id, sign_ins.c.user_id)

questions = Table(
    "sign_in_questions", schema,  # never shown: a question is whole, and each tenant may see a part of it only
    Column("id", String(36), primary_key=True),  # that of the visited tenant's record
    Column("tenant_id", String(36), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("policy_version", String(64), nullable=False),
    Column("body", Text, nullable=False),
)
Index("sign_in_questions_by_time", questions.c.tenant_id, questions.c.at)

visits = Table(  # which questions are about a tenant's people elsewhere: it may ask them again of its own settings
    "sign_in_questions_of_home", schema,
    Column("id", String(36), primary_key=True),  # that of the home's record
    Column("question_id", String(36), nullable=False),
    Column("tenant_id", String(36), nullable=False),
    Column("at", BigInteger, nullable=False),
)
Index("sign_in_questions_of_home_by_time", visits.c.tenant_id, visits.c.at)

_AT_ONCE = 500  # values in one statement: SQLite takes 32,766 and PostgreSQL 65,535, and both like fewer

_QUESTION: TypeAdapter[SignInRequest] = TypeAdapter(SignInRequest)


class SignInOfToken(NamedTuple):
    """The record of the sign-in that a token came from."""

    id: str
    correlation_id: str
    access_type: str  # Graph's crossTenantAccessType


def sign_in_row(record: Record, at: int) -> dict[str, Any]:
    """Return the columns of a record."""
    body = record.body
    return {
        "id": body["id"], "tenant_id": record.tenant_id, "at": at, "user_id": body["userId"],
        "user_name": body["userPrincipalName"][:320], "app_id": str(body["appId"])[:64],
        "resource_id": str(body["resourceId"])[:64], "home_tenant_id": body["homeTenantId"] or "",
        "resource_tenant_id": body["resourceTenantId"] or "", "access_type": body["crossTenantAccessType"],
        "access_status": body["conditionalAccessStatus"], "error_code": body["status"]["errorCode"],
        "interactive": int(body["isInteractive"]), "address": (body["ipAddress"] or "")[:64],
        "correlation_id": body["correlationId"], "token_id": body["uniqueTokenIdentifier"], "body": json.dumps(body),
    }


def question_row(request: SignInRequest, record_id: str, at: int, version: str) -> dict[str, Any]:
    """Return the columns of a question. It has no secret: a proof says whether it was right, not what it was."""
    return {
        "id": record_id, "tenant_id": request.tenant, "at": at, "policy_version": version,
        "body": json.dumps(_QUESTION.dump_python(request, mode="json")),
    }


def visit_row(request: SignInRequest, records: Sequence[Record], question_id: str, at: int) -> dict[str, Any] | None:
    """Return the columns of a visit; None unless the account's tenant has a record of its own about it."""
    home = request.account[0] if request.account else ""
    own = next((record.body["id"] for record in records if record.tenant_id == home), None)
    if own is None or (own == question_id and request.tenant == home):
        return None
    return {"id": own, "question_id": question_id, "tenant_id": home, "at": at}


async def write_sign_ins(
    connection: AsyncConnection, rows: Sequence[dict[str, Any]], asked: Sequence[dict[str, Any]],
    abroad: Sequence[dict[str, Any]] = (),
) -> None:
    """Insert rows."""
    for table, values in ((sign_ins, rows), (questions, asked), (visits, abroad)):
        if values:
            await connection.execute(insert(table), values)


async def recorded_questions(
    database: Database, tenant_id: str, *, since: int | None = None, until: int | None = None, newest: int = 1000
) -> list[RecordedSignIn]:
    """Return the newest sign-ins to a tenant, and of its people elsewhere, in the order of time; times in seconds."""
    own = select(questions.c.id, questions.c.at, questions.c.body).where(questions.c.tenant_id == tenant_id)
    abroad = (
        select(visits.c.id, visits.c.at, questions.c.body)
        .join(questions, questions.c.id == visits.c.question_id)
        .where(visits.c.tenant_id == tenant_id)
    )
    rows: list[Any] = []
    for statement, at in ((own, questions.c.at), (abroad, visits.c.at)):
        if since is not None:
            statement = statement.where(at >= since * 1_000_000)
        if until is not None:
            statement = statement.where(at < until * 1_000_000)
        async with database.connect() as connection:
            rows += (await connection.execute(statement.order_by(at.desc()).limit(newest))).all()
    rows.sort(key=lambda row: (-row.at, row.id))
    return [
        RecordedSignIn(row.id, row.at // 1_000_000, _QUESTION.validate_json(row.body))
        for row in reversed(rows[:newest])
    ]


async def sign_ins_of_tokens(
    database: Database, tenant_id: str, token_ids: Collection[str]
) -> dict[str, SignInOfToken]:
    """Return by token id which sign-in to a tenant each token came from."""
    found: dict[str, SignInOfToken] = {}
    wanted = sorted(token_ids)
    for first in range(0, len(wanted), _AT_ONCE):
        statement = (
            select(sign_ins.c.token_id, sign_ins.c.id, sign_ins.c.correlation_id, sign_ins.c.access_type)
            .where(sign_ins.c.tenant_id == tenant_id)
            .where(sign_ins.c.token_id.in_(wanted[first : first + _AT_ONCE]))
        )
        async with database.connect() as connection:
            for row in await connection.execute(statement):
                found[row.token_id] = SignInOfToken(row.id, row.correlation_id, row.access_type)
    return found


async def last_sign_ins(database: Database, tenant_id: str) -> dict[str, int]:
    """Return by object id when somebody was last let in, in seconds since the epoch."""
    statement = (
        select(sign_ins.c.user_id, func.max(sign_ins.c.at).label("latest"))
        .where(sign_ins.c.tenant_id == tenant_id)
        .where(sign_ins.c.error_code == 0)
        .group_by(sign_ins.c.user_id)
    )
    async with database.connect() as connection:
        return {row.user_id: int(row.latest) // 1_000_000 for row in await connection.execute(statement)}
