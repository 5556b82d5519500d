"""Terms of use: what is shown of an agreement, and which acceptances still count (Graph reference: agreement)."""

from __future__ import annotations

from collections.abc import Iterable

from tunneld.policy.directory import Tenant

_MAX_SHOWN = 20_000  # characters of text on one page


def version_of(tenant: Tenant, agreement_id: str) -> str | None:
    """Return the present version of an agreement: raising it asks everybody again."""
    agreement = tenant.object("agreement", agreement_id)
    return str(agreement.to_json().get("version", 1)) if agreement is not None else None


def in_force(tenant: Tenant, accepted: Iterable[tuple[str, str, int]]) -> frozenset[str]:
    """Return the ids of agreements that were accepted in their present version."""
    return frozenset(
        agreement_id for agreement_id, version, _ in accepted if version == version_of(tenant, agreement_id)
    )


def title_of(tenant: Tenant, agreement_id: str) -> str:
    """Return what an agreement is called."""
    agreement = tenant.object("agreement", agreement_id)
    return str(agreement.to_json().get("displayName") or "") if agreement is not None else ""


def shown_text(tenant: Tenant, agreement_id: str) -> str:
    """Return the text to read, "" when the agreement has only a name."""
    agreement = tenant.object("agreement", agreement_id)
    body = agreement.to_json() if agreement is not None else {}
    text = body.get("text") or ""
    return str(text)[:_MAX_SHOWN]
