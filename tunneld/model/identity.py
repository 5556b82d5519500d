"""Who is at the other end: what a client certificate says, and what a verified token says."""

from __future__ import annotations

from typing import NamedTuple


class ClientIdentity(NamedTuple):
    """Whom a client certificate speaks for.

    `jkt` is the RFC 7638 thumbprint of its key, `not_after` its end in seconds since the epoch.
    """

    tenant_id: str
    oid: str
    jkt: str
    not_after: float


class VerifiedClaims(NamedTuple):
    """The claims of an access token whose signature, issuer, times and kind were verified. Nobody judged them yet.

    `jkt` is the key the token is bound to (RFC 7800 `cnf`), None for an unbound one. `user_type` is "guest",
    "member" or None where the token does not say. `home_tenant` is the account's own tenant, None where the account
    belongs to none. Times are seconds since the epoch.
    """

    issuer: str
    tenant_id: str
    oid: str
    subject: str
    audience: str
    client_id: str
    scopes: frozenset[str]
    groups: frozenset[str]
    user_type: str | None
    token_id: str
    session_id: str | None
    jkt: str | None
    issued_at: int
    not_before: int
    expires_at: int
    authentication_contexts: frozenset[str] = frozenset()
    capabilities: frozenset[str] = frozenset()
    home_tenant: str | None = None
