"""Everything that an endpoint works with, in one value that the server builds once."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request

from tunneld.idp.accounts import PasswordGate
from tunneld.idp.administration.cycle_runs import Cycles
from tunneld.idp.ceremonies import Factors
from tunneld.idp.changes import AuditEntry, ConflictError
from tunneld.idp.database import Database
from tunneld.idp.directory_source import DirectorySource, Loaded
from tunneld.idp.federation.desk import FederationDesk
from tunneld.idp.federation.domain_records import conflict_of_records
from tunneld.idp.grants import CodeBook, DeviceBook
from tunneld.idp.guests.passcodes import PasscodeBook
from tunneld.idp.keys import KeyRing
from tunneld.idp.live_directory import LiveDirectory
from tunneld.idp.records import Records
from tunneld.idp.sealing import Seal
from tunneld.idp.settings import IdpSettings
from tunneld.idp.store import Store
from tunneld.policy.directory import Directory, Tenant
from tunneld.policy.key_schedule import KeyPolicy
from tunneld.policy.objects import Change, ObjectRef
from tunneld.policy.token_claims import issuer

_LONGEST_TOKEN_S = 28 * 3600  # what a tenant's `token_lifetime` may reach; retired keys stay published that long


@dataclass(slots=True)
class Provider:
    """The identity provider's state and means."""

    settings: IdpSettings
    base_url: str
    source: DirectorySource
    live: LiveDirectory
    keys: KeyRing
    database: Database
    store: Store
    seal: Seal
    records: Records
    clock: Callable[[], float] = time.time
    codes: CodeBook = field(default_factory=CodeBook)
    devices: DeviceBook = field(default_factory=DeviceBook)
    gate: PasswordGate = field(default_factory=PasswordGate)
    factors: Factors = field(default_factory=Factors)
    federation: FederationDesk = field(default_factory=FederationDesk)
    passcodes: PasscodeBook = field(default_factory=PasscodeBook)
    cycles: Cycles = field(default_factory=Cycles)
    _one_key_change: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    async def open(cls, settings: IdpSettings, base_url: str, clock: Callable[[], float] = time.time) -> Provider:
        """Read the directory, open the state, make the keys. Raises DocumentError and leaves nothing open."""
        source = DirectorySource(settings.directory)
        home = make_private(settings.state.parent)
        policy = KeyPolicy(settings.lifetimes.key, settings.lifetimes.key_ahead, _LONGEST_TOKEN_S)
        keys = KeyRing(home / "idp-keys", policy)
        seal = Seal.load(home / "idp-secret")
        database = await Database.open(settings.database_url)
        try:
            records = Records.open(home, database, clock)
        except BaseException:
            await database.close()
            raise
        live = LiveDirectory(source.current, database, records, clock)
        store = Store(database)
        provider = cls(settings, base_url, source, live, keys, database, store, seal, records, clock)
        try:
            await live.open()
            await provider.advance_keys(provider.directory)
        except BaseException:
            await provider.close()
            raise
        return provider

    async def close(self) -> None:
        """Close files and the database."""
        await self.records.close()
        await self.database.close()

    async def commit(
        self, changes: Sequence[Change], audits: Sequence[AuditEntry], *, correlation_id: str,
        expected: Mapping[ObjectRef, str] | None = None,
    ) -> None:
        """Write to the directory: all of `changes` with their audit records, or nothing. Raises ConflictError."""
        conflict = await conflict_of_records(changes, self.settings.federation)
        if conflict is not None:
            raise ConflictError(conflict)
        await self.live.commit(changes, audits, correlation_id=correlation_id, expected=expected)

    @property
    def loaded(self) -> Loaded:
        return self.live.current

    @property
    def directory(self) -> Directory:
        return self.live.current.directory

    def now(self) -> int:
        """Return the time in whole seconds since the epoch."""
        return int(self.clock())

    def issuer(self, tenant: Tenant) -> str:
        """Return the `iss` of a tenant's tokens."""
        return issuer(self.base_url, tenant.id)

    def token_lifetime(self, tenant: Tenant) -> int:
        """Return a lifetime for one token, random within the configured range."""
        shortest, longest = tenant.token_lifetime or self.settings.lifetimes.access_token
        return random.randint(shortest, longest)

    async def refresh(self) -> bool:
        """Let the keys' schedule go on, and take over the directory's files if they changed; tell whether they did.

        Raises DocumentError for a bad file: everything stays as it was.
        """
        loaded = await asyncio.to_thread(self.source.changed)
        # Keys first: nobody may meet a tenant that cannot sign yet.
        await self.advance_keys(loaded.directory if loaded else self.directory)
        await self.live.follow()
        if loaded is None:
            return False
        self.source.current = loaded
        await self.live.take(loaded)
        return True

    async def advance_keys(self, directory: Directory) -> None:
        """Bring the signing keys of all tenants up to date."""
        await self._advance_keys({tenant.id: tenant.withdrawn_keys for tenant in directory.tenants.values()})

    async def withdraw_key(self, tenant: Tenant, kid: str) -> bool:
        """Take a key out of a tenant's set at once and for good; False when it is not in it.

        Another one signs from now on: the next, if there is one, and a new one otherwise. What the withdrawn one
        signed is refused from here on, and its file no longer has it, so that a restart changes nothing.
        """
        if kid not in self.keys.published(tenant.id):
            return False
        await self._advance_keys({tenant.id: tenant.withdrawn_keys | {kid}})
        return True

    async def _advance_keys(self, withdrawn: Mapping[str, Collection[str]]) -> None:
        async with self._one_key_change:
            changed = await asyncio.to_thread(self.keys.advance, withdrawn, self.now())
        for tenant_id in changed:
            self.records.audit(
                "Change signing keys", now=self.clock(), correlation_id="", tenant=tenant_id,
                signing=self.keys.kid(tenant_id), published=self.keys.published(tenant_id),
            )


def make_private(directory: Path) -> Path:
    """Make a directory for state that only its owner may read, unless it exists."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return directory


def provider_of(request: Request) -> Provider:
    """Return the provider that serves a request."""
    provider = request.app.state.provider
    assert isinstance(provider, Provider)
    return provider
