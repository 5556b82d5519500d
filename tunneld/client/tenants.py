"""Which tenants this user may work in, and the forwarding profile of each."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from tunneld.client.endless import keep_at
from tunneld.client.identity import Account, Identity
from tunneld.client.ports import Denied
from tunneld.forwarding.compile import CompiledProfile, compile_profile
from tunneld.forwarding.document import ProfileDocument, load_profile
from tunneld.journal.files import write_atomic
from tunneld.model.errors import DocumentError
from tunneld.model.reasons import Reason
from tunneld.model.verdict import TERMINATE, Channel, SwitchPolicy
from tunneld.session.switching import allowed_channels

log = structlog.get_logger("tunneld.tenants")

LARGE = 256 * 1024  # compiling more than this (about 1,000 rules) takes over 50 ms, so a thread does it

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Tenant(NamedTuple):
    """A tenant as the user knows it. `user_type` is `Member` or `Guest`; both may be external."""

    id: str
    name: str
    display_name: str
    user_type: str
    home: bool

    def to_json(self) -> dict[str, object]:
        return self._asdict()


class Discovery:
    """The tenants of the signed-in account. While guest access is off it knows the home tenant and asks nobody."""

    def __init__(
        self, identity: Identity, *, home_name: str, guest_access: bool, now: Callable[[], float]
    ) -> None:
        self._identity = identity
        self.home_name = home_name
        """The home tenant as the settings name it."""
        self._now = now
        self.guest_access = guest_access
        self._tenants: tuple[Tenant, ...] = ()
        self.refreshed_at: float | None = None
        self._wake = asyncio.Event()

    def tenants(self) -> tuple[Tenant, ...]:
        """Return what is known now, home first; nothing while nobody is signed in."""
        account = self._identity.account
        if account is None:
            return ()
        return self._tenants or (self._home(account),)

    def home(self) -> Tenant:
        """Return the home tenant. Raises Denied(`signed_out`)."""
        account = self._identity.require_account()
        return next((t for t in self._tenants if t.home), self._home(account))

    async def refresh(self) -> None:
        """Ask the home tenant again, if guest access is on. Raises Denied; then what was known stays."""
        if not self.guest_access:
            return
        account = self._identity.require_account()
        credentials = self._identity.credentials(account.tenant_id)
        listed = await self._identity.provider.tenants(await credentials.directory_token())
        found = tuple(tenant for tenant in map(_tenant, listed) if tenant is not None)
        if found != self._tenants:
            log.info("tenants_discovered", tenants=[tenant.name for tenant in found])
        self._tenants = found
        self.refreshed_at = self._now()

    async def find(self, word: str) -> Tenant:
        """Return the tenant of that name or id. Raises Denied (`signed_out`, `guest_access_disabled`, …)."""
        self._identity.require_account()  # first: whatever the name, signing in is what helps
        known = self._named(word)
        if known is None and self.guest_access:
            await self.refresh()  # it may have invited the user a moment ago
            known = self._named(word)
        if known is not None and (known.home or self.guest_access):
            return known
        if not self.guest_access:
            raise Denied(Reason.GUEST_ACCESS_DISABLED, "set guest_access_enabled in the daemon's settings")
        offered = ", ".join(tenant.name for tenant in self.tenants())
        raise Denied(Reason.TENANT_UNKNOWN, f"{word!r} is not among: {offered}")

    def forget(self) -> None:
        """Drop what belonged to an account that has signed out."""
        self._tenants, self.refreshed_at = (), None

    async def run(self, interval: float) -> None:
        """Look again every `interval` seconds, so that a new invitation shows up by itself, until cancelled."""
        if self.guest_access:
            await keep_at(lambda: self._look(interval), name="discovery")

    def poke(self) -> None:
        """Look now: somebody has just signed in."""
        self._wake.set()

    async def _look(self, interval: float) -> None:
        if self._identity.account is not None:
            try:
                await self.refresh()
            except Denied as denied:
                log.warning("discovery_failed", reason=denied.reason.value)
        try:
            async with asyncio.timeout(interval):
                await self._wake.wait()
        except TimeoutError:
            pass  # the interval is over, which is the usual case
        self._wake.clear()

    def _named(self, word: str) -> Tenant | None:
        wanted = word.lower()
        return next((t for t in self.tenants() if wanted in (t.name.lower(), t.id)), None)

    def _home(self, account: Account) -> Tenant:
        return Tenant(account.tenant_id, self.home_name, self.home_name, "Member", home=True)


class Profile(NamedTuple):
    """A tenant's compiled profile, cut to the channels that this user may have there."""

    document: ProfileDocument
    compiled: CompiledProfile
    policies: Mapping[str, SwitchPolicy]
    etag: str | None
    confirmed_at: float | None


class Profiles:
    """The last good profile of each tenant, in memory and on disk. A bad new one changes nothing."""

    def __init__(self, identity: Identity, directory: Path, *, now: Callable[[], float]) -> None:
        self._identity = identity
        self._directory = directory
        self._now = now
        self._last: dict[str, Profile] = {}
        self._suffixes_on_disk = frozenset(_suffixes_in(directory))

    def private_suffixes(self) -> frozenset[str]:
        """Return the suffixes of private names in every profile that this daemon holds, of whichever tenant.

        A name of the tenant that was left a minute ago is as private as one of the active tenant.
        """
        return self._suffixes_on_disk.union(*(last.document.private_dns.suffixes for last in self._last.values()))

    async def fetch(self, tenant: Tenant, *, all_channels: bool) -> Profile | None:
        """Return the tenant's profile, the same object while it has not changed; None if home has none.

        Raises Denied: the profile is not assigned, it is unusable, or the tenant cannot be asked.
        """
        token = await self._identity.credentials(tenant.id).directory_token()
        last = self._last.get(tenant.id)
        try:
            answer = await self._identity.provider.profile(token, last.etag if last else None)
        except Denied as denied:
            if denied.reason not in (Reason.NO_PROFILE, Reason.PROFILE_NOT_ASSIGNED):
                raise
            self._last.pop(tenant.id, None)
            await asyncio.to_thread(self._file(tenant.id).unlink, missing_ok=True)
            if tenant.home:  # a home without any configuration is a valid state
                return None
            raise
        if answer is None and last is not None:
            profile = last._replace(confirmed_at=self._now())
        elif answer is not None:
            profile = await self._read(tenant, answer[0], answer[1], all_channels)
            await asyncio.to_thread(self._save, tenant.id, answer[0], answer[1])
        else:
            raise Denied(Reason.PROFILE_INVALID, "the tenant says that the profile has not changed, but there was none")
        self._last[tenant.id] = profile
        return profile

    def age_s(self, tenant_id: str) -> float | None:
        """Return how long ago the tenant confirmed its profile; None if this process never asked with success."""
        last = self._last.get(tenant_id)
        return None if last is None or last.confirmed_at is None else self._now() - last.confirmed_at

    def forget(self) -> None:
        """Drop every profile: they were made for an account that has signed out."""
        self._last.clear()
        self._suffixes_on_disk = frozenset()
        if self._directory.is_dir():
            for file in self._directory.glob("*.json"):
                file.unlink(missing_ok=True)

    async def last_known(self, tenant: Tenant, *, all_channels: bool) -> Profile | None:
        """Return the profile of the last run, for a start while the tenant cannot be asked.

        Without it a private destination would go direct, which is what `hardening = "block"` forbids.
        """
        try:
            saved = json.loads(await asyncio.to_thread(self._file(tenant.id).read_bytes))
            profile = await self._read(tenant, saved["profile"], saved["etag"], all_channels)
        except (OSError, ValueError, KeyError, TypeError, Denied):
            return None
        self._last[tenant.id] = profile._replace(confirmed_at=None)
        return self._last[tenant.id]

    async def _read(self, tenant: Tenant, text: str, etag: str | None, all_channels: bool) -> Profile:
        where = f"profile of {tenant.name}"
        try:
            if len(text) > LARGE:
                return await asyncio.to_thread(self._compile, text, where, etag, all_channels)
            return self._compile(text, where, etag, all_channels)
        except DocumentError as error:
            log.error("profile_refused", tenant=tenant.name, cause=str(error))
            raise Denied(Reason.PROFILE_INVALID, str(error)) from None

    def _compile(self, text: str, where: str, etag: str | None, all_channels: bool) -> Profile:
        document = load_profile(text, where=where)
        document = restrict(document, allowed_channels(Channel, home=all_channels, machine_bound=False))
        policies = {rule.id: rule.on_switch for rule in document.rules if rule.on_switch != TERMINATE}
        return Profile(document, compile_profile(document), policies, etag, self._now())

    def _save(self, tenant_id: str, text: str, etag: str | None) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(self._file(tenant_id), json.dumps({"etag": etag, "profile": text}).encode(), mode=0o600)

    def _file(self, tenant_id: str) -> Path:
        return self._directory / f"{tenant_id}.json"


def restrict(document: ProfileDocument, channels: frozenset[Channel]) -> ProfileDocument:
    """Return the document without the channels that the user may not have, and without their rules."""
    if channels == frozenset(Channel):
        return document
    return document.model_copy(
        update={
            "channels": {name: channel for name, channel in document.channels.items() if name in channels},
            "rules": tuple(rule for rule in document.rules if rule.channel in channels),
        }
    )


def _tenant(entry: Any) -> Tenant | None:
    """Read one entry of the tenant list; what cannot be read is no tenant one could switch to."""
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str) or not isinstance(entry.get("name"), str):
        return None
    if not _GUID.fullmatch(entry["id"]):  # it names files and goes into addresses
        return None
    display_name = str(entry.get("displayName") or entry["name"])
    user_type = str(entry.get("userType") or "Guest")
    return Tenant(entry["id"].lower(), entry["name"], display_name, user_type, home=bool(entry.get("home")))


def _suffixes_in(directory: Path) -> Iterator[str]:
    """Yield the private suffixes of the profiles that earlier runs left; an unreadable file has none."""
    for file in directory.glob("*.json"):
        try:
            document = load_profile(json.loads(file.read_bytes())["profile"], where=str(file))
        except (OSError, ValueError, KeyError, TypeError, DocumentError):
            continue
        yield from document.private_dns.suffixes
