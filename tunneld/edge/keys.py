"""The keys of one issuer, fetched ahead of need and never at the pleasure of whoever sends tokens."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import httpx

from tunneld.edge.settings import KeysSection
from tunneld.model.errors import StreamError, TokenError
from tunneld.model.reasons import Reason
from tunneld.net.tls import trust_context
from tunneld.policy.key_set import MAX_DOCUMENT, PublishedKey, read_key_set

ABSENT_S = 60.0  # a key id that was looked for in vain is not looked for again this long
MAX_ABSENT = 1024

Fetch = Callable[[], Awaitable[bytes]]

_MAX_AGE = re.compile(r"(?:^|,)[ \t]*max-age=([0-9]{1,9})[ \t]*(?:,|$)", re.IGNORECASE)


class KeyDocument(bytes):
    """A key set as it came, with how long its issuer lets it be used without looking again (RFC 9111 §5.2.2.1)."""

    max_age_s: float | None = None


def max_age_of(cache_control: str) -> float | None:
    """Return the `max-age` of a Cache-Control field in seconds; None without one that can be read."""
    found = _MAX_AGE.search(cache_control)
    return float(found[1]) if found is not None else None


class KeyCache:
    """Keys by id: those of the last good document, while it is young enough.

    The document is replaced whole, so a key that the issuer withdraws stops working at the next look; when the issuer
    cannot be reached, the last good one stays for `lifetime_s`. A stranger who sends tokens with invented key ids
    causes one look per `unknown_s`, whatever the number of tokens.
    """

    def __init__(self, fetch: Fetch, rates: KeysSection, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._rates = rates
        self._clock = clock
        self._keys: Mapping[str, PublishedKey] = {}
        self._fetched_at: float | None = None
        self._next_demanded = clock()  # earliest time of a look that an unknown key id may cause
        self._absent: dict[str, float] = {}
        self._max_age_s: float | None = None
        self._one_at_a_time = asyncio.Lock()
        self.looks = 0
        self.generation = 0  # grows with every document that differs; whoever caches verifications watches it
        self.last_failure: str | None = None

    def known(self, key_id: str) -> PublishedKey | None:
        """Return a key that is at hand and not too old."""
        if self._fetched_at is None or self._clock() - self._fetched_at > self._rates.lifetime_s:
            return None
        return self._keys.get(key_id)

    async def find(self, key_id: str) -> PublishedKey:
        """Return the key, asking the issuer if need be. Raises TokenError."""
        found = self.known(key_id)
        if found is None:
            async with self._one_at_a_time:
                found = self.known(key_id)  # the one before us in the queue may have fetched it
                if found is None and self._may_look(key_id):
                    found = await self._look_for(key_id)
        if found is not None:
            return found
        if self._fetched_at is None or self.last_failure is not None:
            raise TokenError(Reason.IDP_UNREACHABLE, self.last_failure or "no keys yet")
        raise TokenError(Reason.TOKEN_KEY_UNKNOWN)

    async def refresh(self) -> bool:
        """Look now. On failure the old keys stay; tells whether it worked."""
        self.looks += 1
        try:
            document = await self._fetch()
            keys = read_key_set(document)
            if not keys:
                raise StreamError(Reason.IDP_UNREACHABLE, "the issuer publishes no usable key")
        except (TokenError, StreamError) as error:
            self.last_failure = str(error)
            return False
        self.last_failure = None
        self._max_age_s = document.max_age_s if isinstance(document, KeyDocument) else None
        self._fetched_at = self._clock()
        if {name: key.key.as_dict() for name, key in keys.items()} != {
            name: key.key.as_dict() for name, key in self._keys.items()
        }:
            self.generation += 1
        self._keys = keys
        return True

    def fetch_with(self, fetch: Fetch) -> None:
        """Use another fetch from the next look on."""
        self._fetch = fetch

    async def keep_fresh(self) -> None:
        """Look at once and then every `refresh_s`, sooner after a failure, for ever. The caller owns this task.

        An issuer that gives its document a shorter age is asked that often, so that a withdrawn key is gone by then,
        but never more often than after failures: its header must not make this edge hammer it.
        """
        while True:
            async with self._one_at_a_time:
                worked = await self.refresh()
            await asyncio.sleep(self.pause_s if worked else self._rates.retry_s)

    @property
    def pause_s(self) -> float:
        """Seconds from a look that worked to the next."""
        if self._max_age_s is None:
            return self._rates.refresh_s
        return min(self._rates.refresh_s, max(self._max_age_s, self._rates.retry_s))

    def _may_look(self, key_id: str) -> bool:
        now = self._clock()
        return now >= self._next_demanded and now >= self._absent.get(key_id, now)

    async def _look_for(self, key_id: str) -> PublishedKey | None:
        worked = await self.refresh()
        now = self._clock()
        self._next_demanded = now + (self._rates.unknown_s if worked else self._rates.retry_s)
        found = self.known(key_id)
        if found is None and worked:
            if len(self._absent) >= MAX_ABSENT:
                self._absent.clear()
            self._absent[key_id] = now + ABSENT_S
        return found


def https_fetch(url: str, *, trust: Path, timeout_s: float) -> Fetch:
    """Return a fetch of `url` that accepts the authority in `trust` and no other, no redirect and no environment.

    Raises DocumentError for an unusable `trust` file now, StreamError(`idp_unreachable`) when it is called in vain.
    """
    context = trust_context(trust)

    async def fetch() -> bytes:
        try:
            async with (
                asyncio.timeout(timeout_s),
                httpx.AsyncClient(verify=context, trust_env=False, follow_redirects=False) as client,
                client.stream("GET", url, headers={"accept": "application/json"}) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    raise StreamError(Reason.IDP_UNREACHABLE, f"{url} answers {response.status_code}")
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > MAX_DOCUMENT:
                        raise StreamError(Reason.IDP_UNREACHABLE, f"{url} is larger than {MAX_DOCUMENT} bytes")
                document = KeyDocument(body)
                document.max_age_s = max_age_of(response.headers.get("cache-control", ""))
                return document
        except (httpx.HTTPError, TimeoutError) as error:
            raise StreamError(Reason.IDP_UNREACHABLE, f"{url}: {type(error).__name__}: {error}") from None

    return fetch
