"""Plain HTTP forwarding: one client connection, one flow for each origin that its requests name."""

from __future__ import annotations

import asyncio

from tunneld.inbound.reception import Reception
from tunneld.model.reasons import Reason
from tunneld.wire.http_head import encode_refusal


class HttpForwarder(asyncio.Protocol):
    """The client's side of a kept-alive HTTP proxy connection."""

    def __init__(self, reception: Reception, source: tuple[str, int]) -> None:
        self._reception = reception
        self.source = source

    def take_over(self, transport: asyncio.Transport, data: bytes) -> None:
        """Start with the bytes that the handshake has read."""
        transport.write(encode_refusal(Reason.UNSUPPORTED_PROTOCOL))
        transport.close()
