"""How applications reach us: one local port that tells SOCKS5, SOCKS4a and HTTP apart by its first byte.

May import `net`, `journal`, the core and nothing above. Open `stream.py` first, then `request.py`: everything ends
in a `FlowRequest` that an `Opener` accepts or refuses. A new protocol costs a codec in `wire/` and one line here.
"""

from __future__ import annotations

from collections.abc import Callable
from string import ascii_letters
from typing import NamedTuple

from tunneld.wire.handshake import Credentials, Handshake
from tunneld.wire.http_proxy import HttpProxy
from tunneld.wire.socks4 import Socks4
from tunneld.wire.socks5 import Socks5


class InboundKind(NamedTuple):
    """A protocol of the mixed port: the bytes that it can start with, and its codec."""

    first_bytes: bytes
    codec: Callable[[Credentials | None], Handshake]


INBOUNDS: dict[str, InboundKind] = {
    "socks5": InboundKind(b"\x05", Socks5),
    "socks4": InboundKind(b"\x04", Socks4),
    "http": InboundKind(ascii_letters.encode(), HttpProxy),
}
