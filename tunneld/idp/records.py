"""The sign-in log and the audit log: rows for the API, JSON lines for everybody else, and never a secret in them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from tunneld.idp.audit_log import audit_record, audit_row, audits, guid_of, write_audits
from tunneld.idp.changes import AuditEntry
from tunneld.idp.database import Database
from tunneld.idp.own_activities import own_entry
from tunneld.idp.sign_in_log import question_row, questions, sign_in_row, sign_ins, visit_row, visits, write_sign_ins
from tunneld.journal.records import LineFile
from tunneld.journal.timestamps import rfc3339
from tunneld.model.errors import DocumentError
from tunneld.policy.directory import Directory
from tunneld.policy.sign_in import Deny, Grant, SignInRequest
from tunneld.policy.sign_in_record import Moment, records_of

FLUSH_S = 0.2
MAX_WAITING = 65_536  # rows; minutes of sign-ins while a database server restarts

_log = structlog.get_logger("idp")


@dataclass(frozen=True, slots=True)
class PreparedAudits:
    """Audit records on their way: into the writer's transaction, and then into the file."""

    file: LineFile
    rows: list[dict[str, Any]]

    async def insert(self, connection: AsyncConnection) -> None:
        await write_audits(connection, self.rows)

    def export(self) -> None:
        for row in self.rows:
            _write(self.file, row["body"])


@dataclass(slots=True)
class _Waiting:
    sign_ins: list[dict[str, Any]] = field(default_factory=list)
    questions: list[dict[str, Any]] = field(default_factory=list)
    visits: list[dict[str, Any]] = field(default_factory=list)
    audits: list[dict[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.sign_ins) + len(self.questions) + len(self.visits) + len(self.audits)


class Records:
    """Two append-only files, written at once, and the rows of the same records, written a fifth of a second later.

    A sign-in does not wait for the disk; an audit record of a change is stored in the change's own transaction. A
    full disk loses lines of the files, and the program's log says so.
    """

    def __init__(self, sign_in_file: LineFile, audit_file: LineFile, database: Database,
                 clock: Callable[[], float]) -> None:
        self._sign_in_file = sign_in_file
        self._audit_file = audit_file
        self._database = database
        self._clock = clock
        self._waiting = _Waiting()
        self._flushing = asyncio.Lock()

    @classmethod
    def open(cls, directory: Path, database: Database, clock: Callable[[], float]) -> Records:
        """Open `sign-ins.jsonl` and `audit.jsonl` for appending (0600). Raises DocumentError."""
        try:
            sign_in_file, audit_file = LineFile(directory / "sign-ins.jsonl"), LineFile(directory / "audit.jsonl")
        except OSError as error:
            raise DocumentError(str(error.filename or directory), "", str(error.strerror)) from None
        return cls(sign_in_file, audit_file, database, clock)

    async def close(self) -> None:
        """Store what waits and close the files."""
        try:
            await self.flush()
        except SQLAlchemyError as error:
            _log.warning("records_lost", rows=len(self._waiting), error=type(error).__name__)
        self._sign_in_file.close()
        self._audit_file.close()

    def sign_in(
        self, request: SignInRequest, outcome: Grant | Deny, directory: Directory, *, via: str, user: str,
        correlation_id: str, user_agent: str | None = None, session_id: str | None = None, token_id: str | None = None,
    ) -> None:
        """Record one decision in every tenant that has a part in it. `user` is the name as it was typed, if it was."""
        now = self._clock()
        ids = tuple(str(uuid.uuid4()) for _ in range(3))
        moment = Moment(
            rfc3339(now), guid_of(correlation_id), via, user, ids, user_agent[:512] if user_agent else None, session_id,
            token_id,
        )
        at = int(now * 1_000_000)
        records = records_of(request, outcome, directory, moment)
        for record in records:
            _write(self._sign_in_file, json.dumps(record.body, separators=(",", ":")))
            if record.tenant_id:
                self._keep(self._waiting.sign_ins, sign_in_row(record, at))
        tenant = directory.tenant(request.tenant)
        if tenant is not None:
            asked = next((record.body["id"] for record in records if record.tenant_id == tenant.id), ids[0])
            self._keep(self._waiting.questions, question_row(request, asked, at, tenant.version))
            visit = visit_row(request, records, asked, at)
            if visit is not None:
                self._keep(self._waiting.visits, visit)

    def audit(self, activity: str, *, now: float, correlation_id: str, **details: object) -> None:
        """Record what this server did by itself or for a user: no change of the directory's objects."""
        entry = own_entry(activity, details)
        prepared = self.prepare([entry], now, correlation_id)
        prepared.export()
        for row in prepared.rows:
            self._keep(self._waiting.audits, row)

    def prepare(self, entries: Sequence[AuditEntry], now: float, correlation_id: str) -> PreparedAudits:
        """Make the records of a write, to be stored in its transaction."""
        records = [audit_record(entry, now=now, correlation_id=correlation_id) for entry in entries]
        rows = [audit_row(record, entry, now) for record, entry in zip(records, entries, strict=True)]
        return PreparedAudits(self._audit_file, rows)

    async def store_audits(self, entries: Sequence[AuditEntry], correlation_id: str) -> None:
        """Store audit records that belong to no change of the directory's objects."""
        prepared = self.prepare(entries, self._clock(), correlation_id)
        async with self._database.transaction() as connection:
            await prepared.insert(connection)
        prepared.export()

    async def run(self) -> None:
        """Store what waits, for ever. A database that is away is tried again."""
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self.flush()
            except SQLAlchemyError as error:
                _log.warning("records_waiting", rows=len(self._waiting), error=type(error).__name__)

    async def flush(self) -> None:
        """Store what waits, in one transaction."""
        async with self._flushing:
            batch, self._waiting = self._waiting, _Waiting()
            if not len(batch):
                return
            stored = False
            try:
                async with self._database.transaction() as connection:
                    await write_sign_ins(connection, batch.sign_ins, batch.questions, batch.visits)
                    await write_audits(connection, batch.audits)
                stored = True
            finally:
                if not stored:
                    later = self._waiting
                    self._waiting = _Waiting(
                        batch.sign_ins + later.sign_ins, batch.questions + later.questions,
                        batch.visits + later.visits, batch.audits + later.audits,
                    )

    async def sweep(self, before: int) -> None:
        """Delete records from before a time in seconds; the files are for somebody else to rotate."""
        async with self._database.transaction() as connection:
            for table in (sign_ins, questions, visits, audits):
                await connection.execute(delete(table).where(table.c.at < before * 1_000_000))

    def _keep(self, rows: list[dict[str, Any]], row: dict[str, Any]) -> None:
        if len(self._waiting) < MAX_WAITING:
            rows.append(row)
        else:
            _log.warning("record_lost", error="too many records wait for the database")


def _write(file: LineFile, text: str) -> None:
    try:
        file.write(text.encode("ascii", "backslashreplace") + b"\n")
    except OSError as error:
        with contextlib.suppress(OSError):
            _log.warning("record_lost", error=error.strerror)
