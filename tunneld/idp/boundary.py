"""The outermost layer of every request: a size limit, a correlation id, and headers that no answer goes without."""

from __future__ import annotations

import re
import secrets
from contextlib import suppress

import h11
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunneld.model.errors import TunneldError

MAX_BODY = 64 * 1024  # a form or a certificate request is under 8 KiB; RFC 6749 names no limit
MAX_API_BODY = 1024 * 1024  # a policy with thousands of ids; Microsoft Graph itself stops at 4 MiB
API_PREFIXES = ("/v1.0/", "/beta/")

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context §3.2
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class BodyTooLargeError(TunneldError):
    """A request body passed the limit."""


class Boundary:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self.inner = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        correlation_id = _correlation_id(scope)
        scope.setdefault("state", {})["correlation_id"] = correlation_id
        received = 0
        limit = MAX_API_BODY if scope["path"].startswith(API_PREFIXES) else MAX_BODY

        async def bounded_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise BodyTooLargeError
            return message

        async def finished_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["client-request-id"] = as_guid(correlation_id)
                headers.setdefault("cache-control", "no-store")  # RFC 6749 §5.1
                headers.setdefault("x-content-type-options", "nosniff")
                headers.setdefault("referrer-policy", "no-referrer")  # codes and states stay out of Referer
                headers.setdefault("strict-transport-security", "max-age=31536000")
            # A client whose body breaks HTTP has been answered 400 by uvicorn already; this answer is of no use to it.
            with suppress(h11.LocalProtocolError):
                await send(message)

        await self.inner(scope, bounded_receive, finished_send)


def as_guid(hexadecimal: str) -> str:
    """Return 32 hexadecimal digits in the form of a GUID."""
    h = hexadecimal
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def _correlation_id(scope: Scope) -> str:
    found = ""
    for name, value in scope["headers"]:
        if name == b"traceparent":
            match = _TRACEPARENT.fullmatch(value.decode("latin-1"))
            if match:
                return match[1]
        if name == b"client-request-id":
            found = value.decode("latin-1").lower()
    return found.replace("-", "") if _GUID.fullmatch(found) else secrets.token_hex(16)
