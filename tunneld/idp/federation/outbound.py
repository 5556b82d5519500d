"""Requests to outside providers: listed hosts, https, one trust, no redirect, a size and a time limit."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from tunneld.idp.federation_settings import FederationSettings
from tunneld.policy.federation.vouched import FederationError

MAX_ANSWER = 256 * 1024  # metadata and key sets take under 10 KiB


class Outbound:
    """The only way out. Raises FederationError("unreachable") for everything that goes wrong."""

    def __init__(self, settings: FederationSettings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        self._transport = transport
        self._trust: ssl.SSLContext | None = None
        self.requests = 0

    async def get(self, url: str, *, accept: str = "application/json") -> bytes:
        """Return the body of a 200."""
        return await self._send("GET", url, accept=accept)

    async def post(
        self, url: str, form: Mapping[str, str], *, basic: tuple[str, str] | None = None
    ) -> bytes:
        """Send a form and return the body of a 200."""
        return await self._send("POST", url, form, basic)

    async def _send(
        self, method: str, url: str, form: Mapping[str, str] | None = None, basic: tuple[str, str] | None = None,
        *, accept: str = "application/json",
    ) -> bytes:
        self._permit(url)
        self.requests += 1
        auth = httpx.BasicAuth(*basic) if basic is not None else None
        try:
            async with (
                asyncio.timeout(self._settings.timeout_s),
                self._client() as client,
                client.stream(
                    method, url, data=form, auth=auth, headers={"accept": accept}
                ) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    raise FederationError("unreachable", f"{url} answers {response.status_code}")
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > MAX_ANSWER:
                        raise FederationError("unreachable", f"{url} is larger than {MAX_ANSWER} bytes")
                return bytes(body)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise FederationError("unreachable", f"{url}: {type(error).__name__}") from None

    def _permit(self, url: str) -> None:
        """Refuse a URL whose host nobody listed: metadata of a provider must not steer us to our own network."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        host = (parts.hostname or "").lower()
        named = {host} if port in (None, 443) else set()
        if parts.scheme != "https" or not (named | {f"{host}:{port or 443}"}) & set(self._settings.hosts):
            raise FederationError("unreachable", "the host is not among those that the settings allow")

    def _client(self) -> httpx.AsyncClient:
        if self._transport is not None:
            return httpx.AsyncClient(transport=self._transport, follow_redirects=False)
        if self._trust is None:
            trust = self._settings.trust
            self._trust = ssl.create_default_context(cafile=str(trust) if trust is not None else None)
        return httpx.AsyncClient(verify=self._trust, trust_env=False, follow_redirects=False)
