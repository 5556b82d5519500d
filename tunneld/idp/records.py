"""The sign-in log and the audit log: JSON lines with one correlation id, and never a secret in them."""

from __future__ import annotations

import json
from pathlib import Path

import structlog

from tunneld.journal.records import LineFile
from tunneld.journal.timestamps import rfc3339
from tunneld.model.errors import DocumentError
from tunneld.policy.sign_in import Deny, Grant, SignInRequest

_log = structlog.get_logger("idp")


class Records:
    """Two append-only files of whole lines. A full disk loses lines, and the program's log says so."""

    def __init__(self, sign_ins: LineFile, audit: LineFile) -> None:
        self._sign_ins = sign_ins
        self._audit = audit

    @classmethod
    def open(cls, directory: Path) -> Records:
        """Open `sign-ins.jsonl` and `audit.jsonl` for appending (0600). Raises DocumentError."""
        try:
            return cls(LineFile(directory / "sign-ins.jsonl"), LineFile(directory / "audit.jsonl"))
        except OSError as error:
            raise DocumentError(str(error.filename or directory), "", str(error.strerror)) from None

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


def _write(file: LineFile, line: dict[str, object]) -> None:
    try:
        file.write(json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n")
    except OSError as error:
        _log.warning("record_lost", error=error.strerror)
