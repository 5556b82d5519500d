"""The sign-in log and the audit log: JSON lines with one correlation id, and never a secret in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from tunneld.idp.audit_log import audit_record, audit_row, write_audits
from tunneld.idp.changes import AuditEntry
from tunneld.idp.database import Database
from tunneld.journal.records import LineFile
from tunneld.journal.timestamps import rfc3339
from tunneld.model.errors import DocumentError
from tunneld.policy.sign_in import Deny, Grant, SignInRequest

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
            _write_text(self.file, row["body"])


class Records:
    """Rows for the API, and two append-only files of the same records for everybody else.

    A full disk loses lines of the files, and the program's log says so.
    """

    def __init__(
        self, sign_ins: LineFile, audit: LineFile, database: Database, clock: Callable[[], float]
    ) -> None:
        self._sign_ins = sign_ins
        self._audit = audit
        self._database = database
        self._clock = clock

    @classmethod
    def open(cls, directory: Path, database: Database, clock: Callable[[], float]) -> Records:
        """Open `sign-ins.jsonl` and `audit.jsonl` for appending (0600). Raises DocumentError."""
        try:
            sign_ins, audit = LineFile(directory / "sign-ins.jsonl"), LineFile(directory / "audit.jsonl")
        except OSError as error:
            raise DocumentError(str(error.filename or directory), "", str(error.strerror)) from None
        return cls(sign_ins, audit, database, clock)

    def close(self) -> None:
        self._sign_ins.close()
        self._audit.close()

    def sign_in(
        self, request: SignInRequest, outcome: Grant | Deny, *, now: float, via: str, user: str, correlation_id: str
    ) -> None:
        """Write one decision: who asked for what where, the answer, and the steps to it."""
        denied = isinstance(outcome, Deny)
        _write(
            self._sign_ins,
            {
                "time": rfc3339(now),
                "correlation_id": correlation_id,
                "tenant": request.tenant,
                "user": user,
                "home": request.account[0] if request.account else None,
                "client": request.client_id,
                "audience": request.audience,
                "via": via,
                "result": "refused" if denied else "granted",
                "code": outcome.code if isinstance(outcome, Deny) else 0,
                "reason": str(outcome.reason) if isinstance(outcome, Deny) else None,
                "trace": [step.to_json() for step in outcome.trace],
            },
        )

    def audit(self, activity: str, *, now: float, correlation_id: str, **details: object) -> None:
        """Write one change of state: what happened, to whom."""
        line = {"time": rfc3339(now), "correlation_id": correlation_id, "activity": activity}
        _write(self._audit, {**line, **details})

    def prepare(self, entries: Sequence[AuditEntry], now: float, correlation_id: str) -> PreparedAudits:
        """Make the records of a write, to be stored in its transaction."""
        records = [audit_record(entry, now=now, correlation_id=correlation_id) for entry in entries]
        rows = [audit_row(record, entry, now) for record, entry in zip(records, entries, strict=True)]
        return PreparedAudits(self._audit, rows)

    async def store_audits(self, entries: Sequence[AuditEntry], correlation_id: str) -> None:
        """Store audit records that belong to no change of the directory's objects."""
        prepared = self.prepare(entries, self._clock(), correlation_id)
        async with self._database.transaction() as connection:
            await prepared.insert(connection)
        prepared.export()


def _write(file: LineFile, line: dict[str, object]) -> None:
    _write_text(file, json.dumps(line, separators=(",", ":")))


def _write_text(file: LineFile, text: str) -> None:
    try:
        file.write(text.encode("ascii") + b"\n")
    except OSError as error:
        _log.warning("record_lost", error=error.strerror)
