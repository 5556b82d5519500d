"""Mail addresses that may be invited, and the domain lists that they are held against."""

from __future__ import annotations

import re

MAX_ADDRESS = 254  # RFC 5321 §4.5.3.1.3: a path is 256 octets with its angle brackets
MAX_LOCAL_PART = 64  # RFC 5321 §4.5.3.1.1

# Microsoft Graph reference, invitation: none of ~!#$%^&*()+=[]{}\/|;:"<>?, and no dot or hyphen at either end.
_LOCAL_PART = re.compile(r"[A-Za-z0-9_'](?:[A-Za-z0-9_'.-]*[A-Za-z0-9_'])?")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")


def parse_address(text: str) -> str | None:
    """Return an address in lower case, or None when it cannot be invited.

    Names in other scripts are written as ASCII (RFC 5890): one spelling each, so that no list is walked around.
    """
    local, at, domain = text.strip().rpartition("@")
    if not at or len(local) > MAX_LOCAL_PART or ".." in local or len(text) > MAX_ADDRESS:
        return None
    if not _LOCAL_PART.fullmatch(local) or not is_domain(domain.lower()):
        return None
    return f"{local}@{domain}".lower()


def is_domain(text: str) -> bool:
    """Tell whether `text` is a domain name of at least two labels, in lower case (RFC 1035 §2.3.1)."""
    return len(text) <= 253 and _DOMAIN.fullmatch(text) is not None


def is_domain_pattern(text: str) -> bool:
    """Tell whether `text` may stand in a domain list: a domain, or `*.` and a domain."""
    return is_domain(text.removeprefix("*."))


def domain_of(address: str) -> str:
    """Return what stands behind the last @."""
    return address.rpartition("@")[2].lower()


def listed(domain: str, patterns: frozenset[str]) -> str | None:
    """Return the entry that names `domain`: itself, or `*.` and a domain above it; None when nothing does.

    A plain entry names exactly one domain. The wildcard is a choice of ours: it names every domain below, not itself.
    """
    if domain in patterns:
        return domain
    _, dot, above = domain.partition(".")
    while dot:
        if f"*.{above}" in patterns:
            return f"*.{above}"
        _, dot, above = above.partition(".")
    return None
