"""Tenant restrictions on the data plane: does the policy of whoever owns the client's network permit this token here?

A sign-in under a restriction was judged when its token was issued. This stops a token that was issued elsewhere and
brought along. The judgement needs the owner's policy and the account's groups at home, so the identity provider makes
it (the form is that of token introspection, RFC 7662) and the edge remembers it for a minute. No answer is a refusal.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from tunneld.model.errors import StreamError, TokenError
from tunneld.model.reasons import Reason, reason_named
from tunneld.net.tls import trust_context

REMEMBERED_S = 60.0  # how late a change of the owner's policy may act; a token lives sixty to ninety minutes
MAX_REMEMBERED = 4096  # as many as verified tokens
MAX_ANSWER = 16 * 1024  # the answer is one small object
MAX_AT_ONCE = 16  # questions on their way; a thousand users signing in at a time are not a second's work

_POLICY = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Ask = Callable[[str, str], Awaitable[bytes]]
"""Sends policy and token to the identity provider and returns its answer. Raises StreamError."""


class RestrictionCheck:
    """Judges tokens under the restriction policies that connections name; remembers each answer for a while."""

    def __init__(self, ask: Ask | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._known: dict[tuple[str, bytes], tuple[float, Reason | None]] = {}
        self._room = asyncio.Semaphore(MAX_AT_ONCE)

    async def check(self, policy: str, token: str) -> None:
        """Return if `policy` permits `token`. Raises TokenError with the reason when it does not, or nobody says."""
        reason = await self._judged(policy.strip().lower(), token)
        if reason is not None:
            raise TokenError(reason)

    async def _judged(self, policy: str, token: str) -> Reason | None:
        if not _POLICY.fullmatch(policy) or self._ask is None:
            return Reason.TENANT_RESTRICTED  # what cannot be understood, or judged, must not open the network
        key = (policy, hashlib.sha256(token.encode()).digest())
        deadline, reason = self._known.get(key, (0.0, None))
        if self._clock() < deadline:
            return reason
        try:
            async with self._room:
                reason = _read(await self._ask(policy, token))
        except StreamError as error:
            return error.reason
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[key] = (self._clock() + REMEMBERED_S, reason)
        return reason


def https_ask(url: str, *, trust: Path, timeout_s: float) -> Ask:
    """Return a question to the identity provider at `url`, which the authority in `trust` vouches for."""
    context = trust_context(trust)

    async def ask(policy: str, token: str) -> bytes:
        try:
            async with (
                asyncio.timeout(timeout_s),
                httpx.AsyncClient(verify=context, trust_env=False, follow_redirects=False) as client,
                client.stream(
                    "POST", url, json={"policy": policy}, headers={"authorization": f"Bearer {token}"}
                ) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    raise StreamError(Reason.IDP_UNREACHABLE, f"{url} answers {response.status_code}")
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > MAX_ANSWER:
                        raise StreamError(Reason.IDP_UNREACHABLE, f"{url} answers more than {MAX_ANSWER} bytes")
                return bytes(body)
        except (httpx.HTTPError, TimeoutError) as error:
            raise StreamError(Reason.IDP_UNREACHABLE, f"{url}: {type(error).__name__}: {error}") from None

    return ask


def _read(answer: bytes) -> Reason | None:
    try:
        said = json.loads(answer)
        permitted, name = said["permitted"], said.get("reason")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise StreamError(Reason.IDP_UNREACHABLE, "the answer about tenant restrictions is malformed") from None
    if permitted is True:
        return None
    return reason_named(name if isinstance(name, str) else None) or Reason.TENANT_RESTRICTED
