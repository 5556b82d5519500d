"""Audit entries for what this server does besides changing objects: certificates, keys, sessions, reloads."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tunneld.idp.changes import SYSTEM, Actor, AuditEntry, AuditTarget

# The categories are Graph's words; which of these activities belongs where is a choice.
_CATEGORIES = {
    "Issue client certificate": ("Device", "User"),
    "Sign out": ("UserManagement", "User"),
    "Revoke refresh tokens": ("UserManagement", "User"),
    "Change signing keys": ("KeyManagement", "Directory"),
    "Reload directory": ("DirectoryManagement", "Directory"),
    "Redeem external user invite": ("UserManagement", "User"),
}
_PLACES = frozenset({"tenant", "home", "oid", "home_oid", "result"})


def own_entry(activity: str, details: Mapping[str, object]) -> AuditEntry:
    """Return the entry; `tenant` or `home` says whose log, `oid` or `home_oid` whom it is about."""
    category, kind = _CATEGORIES.get(activity, ("Other", "Other"))
    tenant_id = str(details.get("tenant") or details.get("home") or "")
    oid = str(details.get("oid") or details.get("home_oid") or "")
    actor = Actor("user", tenant_id, oid, oid) if oid else SYSTEM
    rest = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in details.items()
        if name not in _PLACES
    }
    failed = details.get("result") == "refused"
    targets = (AuditTarget(oid, oid, kind),) if oid else ()
    return AuditEntry(
        activity, category, tenant_id, actor, targets, "failure" if failed else "success",
        str(details.get("because", "")) if failed else "", rest,
    )
