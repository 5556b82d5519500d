"""The keys and the metadata of one OpenID provider, cached: fetched by one caller at a time, and not too often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from tunneld.idp.federation.outbound import Outbound
from tunneld.model.errors import TokenError
from tunneld.policy.federation.compiled import TrustedProvider
from tunneld.policy.federation.openid import ProviderMetadata, read_metadata
from tunneld.policy.federation.vouched import FederationError
from tunneld.policy.key_set import PublishedKey, read_key_set

FRESH_S = 3600  # how long metadata and keys are used without looking again
COOL_DOWN_S = 300  # how often unknown key ids may cause a look, as in Microsoft's libraries


class KeySource:
    """One provider's documents. After a failed look the last good ones go on, as long as there are any."""

    def __init__(self, trusted: TrustedProvider, outbound: Outbound, clock: Callable[[], float]) -> None:
        self.trusted = trusted
        self._outbound = outbound
        self._clock = clock
        self._metadata: ProviderMetadata | None = None
        self._keys: Mapping[str, PublishedKey] = {}
        self._metadata_at = self._keys_at = float("-inf")
        self._one_at_a_time = asyncio.Lock()

    async def metadata(self) -> ProviderMetadata:
        """Return the discovery document. Raises FederationError."""
        if self._metadata is not None and self._clock() - self._metadata_at < FRESH_S:
            return self._metadata
        async with self._one_at_a_time:
            if self._metadata is None or self._clock() - self._metadata_at >= FRESH_S:
                try:
                    document = await self._outbound.get(self.trusted.metadata_url)
                    self._metadata = read_metadata(document, self.trusted.issuer)
                except FederationError:
                    if self._metadata is None:
                        raise
                self._metadata_at = self._clock()
            return self._metadata

    async def key(self, key_id: str) -> PublishedKey:
        """Return a key by its id, looking again for an unknown one when that is due. Raises FederationError."""
        metadata = await self.metadata()
        if key_id not in self._keys or self._clock() - self._keys_at >= FRESH_S:
            async with self._one_at_a_time:
                age = self._clock() - self._keys_at
                if age >= FRESH_S or (key_id not in self._keys and age >= COOL_DOWN_S):
                    await self._look(metadata)
        found = self._keys.get(key_id)
        if found is None:
            raise FederationError("key", "the provider publishes no such key")
        return found

    async def _look(self, metadata: ProviderMetadata) -> None:
        self._keys_at = self._clock()  # before the answer, so that a provider that is down is not asked by everybody
        try:
            self._keys = read_key_set(await self._outbound.get(metadata.jwks_uri))
        except TokenError as error:
            raise FederationError("key", error.detail) from None
