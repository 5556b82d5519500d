"""What the linter says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """Whether somebody cannot get in whatever they do, or only under circumstances."""

    LOCKOUT = "lockout"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong: the rule's stable name, the policies, who is locked out, why, and the mend."""

    rule: str
    severity: Severity
    policies: tuple[str, ...]
    locked_out: tuple[str, ...]
    message: str
    mend: str

    def to_json(self) -> dict[str, Any]:  # a JSON object has any shape
        """Return the finding as the API and `--json` print it."""
        return {
            "rule": self.rule, "severity": self.severity.value, "policies": list(self.policies),
            "lockedOut": list(self.locked_out), "message": self.message, "mend": self.mend,
        }
