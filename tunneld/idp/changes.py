"""Writes to the directory and what is put on record about them, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tunneld.model.errors import TunneldError
from tunneld.policy.objects import Conflict

Result = Literal["success", "failure"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who wrote: a user or an application of a tenant, or this server itself."""

    kind: Literal["user", "app", "system"]
    tenant_id: str
    id: str
    name: str  # the user principal name, or the application's display name
    address: str = ""


SYSTEM = Actor("system", "", "", "Directory service")


@dataclass(frozen=True, slots=True)
class ModifiedProperty:
    """One property before and after, each as JSON text; a secret is never given here."""

    name: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class AuditTarget:
    """What was written."""

    id: str
    display_name: str
    type: str  # "User" | "Group" | "Application" | "Policy" | …
    modified: tuple[ModifiedProperty, ...] = ()


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of a tenant's audit log; the words are those of Graph's `directoryAudit`."""

    activity: str
    category: str
    tenant_id: str
    actor: Actor
    targets: tuple[AuditTarget, ...] = ()
    result: Result = "success"
    reason: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    service: str = "Core Directory"


class ConflictError(TunneldError):
    """A write was refused and nothing was changed; the API answers with the conflict."""

    def __init__(self, conflict: Conflict) -> None:
        super().__init__(f"{conflict.rule}: {conflict.message}")
        self.conflict = conflict
