"""How a PATCH changes cross-tenant settings: what is left out stays, null inherits again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunneld.policy.cross_tenant.documents import AccessDefault
from tunneld.policy.cross_tenant.effective import policy_id

# Sets of switches: a PATCH may name some of them. A missing switch stays, or is off where there was no set before.
_SWITCHES = ("inboundTrust", "automaticUserConsentSettings", "userSyncInbound")

Json = dict[str, Any]  # an object's document before its model judges it


def merge(before: Mapping[str, Any], patch: Mapping[str, Any]) -> Json:
    """Return the document that a PATCH leaves. B2B settings are replaced as a whole: they are inherited as a whole."""
    after = {**before, **patch}
    for name in _SWITCHES:
        old, new = before.get(name), patch.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            after[name] = {**old, **new}
    return after


def merge_default(before: Mapping[str, Any], patch: Mapping[str, Any]) -> Json:
    """Return the default's document after a PATCH: from the first one on it is the administrator's."""
    return {**merge(before, patch), "isServiceDefault": False}


def system_default() -> AccessDefault:
    """Return what `resetToSystemDefault` leaves."""
    return AccessDefault()


def shown_default(tenant_id: str, document: Json) -> Json:
    """Return the default's document with the id that the headers of tenant restrictions name."""
    return {**document, "id": policy_id(tenant_id)}
