"""Which redirect URIs a client may name: exact comparison, with any port on a loopback address (RFC 8252 §7.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LOOPBACK = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]))(?::([0-9]{1,5}))?(/[^\x00-\x20\x7f#\\]*)?")
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,2048}")  # 2,048: the longest URI that every browser takes


def redirect_allowed(wanted: str, registered: Iterable[str]) -> bool:
    """Tell whether `wanted` is one of the `registered` URIs.

    Simple string comparison (RFC 3986 §6.2.1, RFC 9700 §2.1): no prefix, no pattern, no normalisation. Only the
    port of a loopback *address* is free; `localhost` is a name that can be made to point elsewhere.
    """
    if not _PRINTABLE.fullmatch(wanted) or "#" in wanted:
        return False
    portless = _without_port(wanted)
    return any(wanted == uri or (portless is not None and portless == _without_port(uri)) for uri in registered)


def _without_port(uri: str) -> str | None:
    match = _LOOPBACK.fullmatch(uri)
    if match is None:
        return None
    origin, port, path = match.groups()
    if port is not None and not 1 <= int(port) <= 65535:
        return None
    return f"{origin}{path or ''}"
