"""Passkeys (W3C Web Authentication, level 2)."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from tunneld.idp.provider import Provider


def relying_party(provider: Provider) -> str | None:
    """Return the relying party id, the host of the public URL; None for an IP address, which cannot be one (§5.1.2)."""
    host = urlsplit(provider.base_url).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return host or None
    return None


def offered(provider: Provider) -> bool:
    """Tell whether pages may offer passkeys."""
    return relying_party(provider) is not None
